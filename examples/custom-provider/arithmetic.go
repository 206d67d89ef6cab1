// Package arithmetic is an example of a provider in a repository of its own: it
// asks the visitor for the sum of two numbers.
//
// It is a toy. Every program can add, so it protects nothing; it is here to show
// what a provider has to do. What is real in it is what a provider that issues
// its own challenges needs: they are signed, expire, are bound to a host and to
// the role that they were issued in, and name what is spent.
package arithmetic

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func init() {
	caddy.RegisterModule(new(Provider))
}

const (
	field    = "arithmetic"
	lifetime = 10 * time.Minute
	skew     = time.Minute // another node's clock
	maxToken = 512

	defaultHighest = 9
	maxHighest     = 1000
)

// Provider asks for the sum of two numbers.
type Provider struct {
	// Highest is the highest number in a question, from 1 to 1000. Default: 9.
	Highest int `json:"highest,omitempty"`

	env provider.Env
}

// CaddyModule returns the Caddy module information. The namespace makes it a
// provider, the rest of the ID is its name in the Caddyfile.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: provider.Namespace + ".arithmetic", New: func() caddy.Module { return new(Provider) }}
}

// Provision fills in the defaults. It must touch neither network nor storage.
func (p *Provider) Provision(caddy.Context) error {
	if p.Highest == 0 {
		p.Highest = defaultHighest
	}
	return nil
}

// Validate checks the final values.
func (p *Provider) Validate() error {
	if p.Highest < 1 || p.Highest > maxHighest {
		return fmt.Errorf("highest %d is out of range: write a number from 1 to %d", p.Highest, maxHighest)
	}
	return nil
}

// Bind takes what the host lends: a signer, whose keys it makes, shares and
// rotates, and the clock.
func (p *Provider) Bind(env provider.Env) error {
	if env.Signer == nil || env.Now == nil {
		return errors.New("arithmetic needs a signer and a clock")
	}
	p.env = env
	return nil
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	arithmetic {
//		highest <n>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("arithmetic takes no argument, got %q: write its options in a block", d.Val())
	}
	for d.NextBlock(0) {
		if d.Val() != "highest" {
			return d.Errf("unrecognized subdirective '%s': arithmetic has highest", d.Val())
		}
		var text string
		if !d.AllArgs(&text) {
			return d.ArgErr()
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return d.Errf("highest must be a number from 1 to %d, got '%s'", maxHighest, text)
		}
		p.Highest = n
	}
	return nil
}

// Fields names the one form field of a token.
func (*Provider) Fields() []string { return []string{field} }

// question is a challenge. All of it is signed, with the host.
type question struct {
	id     string
	issued time.Time
	key    string // that signed
	role   string
	a, b   int
}

// text is what travels: a role and a key's name have no | in them.
func (q question) text() string {
	return strings.Join([]string{q.id, strconv.FormatInt(q.issued.UnixMilli(), 10), q.key, q.role, strconv.Itoa(q.a), strconv.Itoa(q.b)}, "|")
}

func (p *Provider) sign(ctx context.Context, q question, host string) (string, error) {
	mac, err := p.env.Signer.MAC(ctx, q.key, []byte(q.text()+"|"+host))
	return hex.EncodeToString(mac), err
}

// Challenge issues a question. Nothing is kept: what must be known later
// travels in it.
func (p *Provider) Challenge(ctx context.Context, req provider.Request) (json.RawMessage, error) {
	key, err := p.env.Signer.KeyID(ctx)
	if err != nil {
		return nil, err
	}
	q := question{id: rand.Text(), issued: p.env.Now(), key: key, role: req.Role, a: p.number(), b: p.number()}
	mac, err := p.sign(ctx, q, req.Host)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{
		"question":  fmt.Sprintf("%d + %d", q.a, q.b),
		"challenge": q.text() + "|" + mac,
	})
}

func (p *Provider) number() int {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(p.Highest)))
	if err != nil {
		panic(err) // it never fails
	}
	return int(n.Int64()) + 1
}

// Parse checks a token, which is the challenge with |answer behind it. It asks
// nobody. What is the client's fault is a Refusal; any other error is ours.
func (p *Provider) Parse(ctx context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	text := fields[field]
	if text == "" { // the widget's field, not filled in
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "no answer")
	}
	parts := strings.Split(text, "|")
	if len(text) > maxToken || len(parts) != 8 {
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "not a token")
	}
	millis, err1 := strconv.ParseInt(parts[1], 10, 64)
	a, err2 := strconv.Atoi(parts[4])
	b, err3 := strconv.Atoi(parts[5])
	if errors.Join(err1, err2, err3) != nil {
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "not a number")
	}
	q := question{id: parts[0], issued: time.UnixMilli(millis), key: parts[2], role: parts[3], a: a, b: b}
	mac, err := p.sign(ctx, q, req.Host)
	switch {
	case errors.Is(err, provider.ErrUnknownKey):
		return provider.Token{}, provider.Refuse(provider.TokenExpired, "its key is gone")
	case err != nil:
		return provider.Token{}, err
	case !hmac.Equal([]byte(mac), []byte(parts[6])):
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "the signature is not ours, or for another host")
	}
	token := provider.Token{Key: field + ":" + q.id, Issued: q.issued, Expires: q.issued.Add(lifetime), Role: q.role, Fields: fields}
	switch since := p.env.Since(); {
	case req.Received.After(token.Expires), q.issued.Before(since): // before since, nobody knows what was spent
		return provider.Token{}, provider.Refuse(provider.TokenExpired, "too old")
	case q.issued.After(req.Received.Add(skew)):
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "from the future")
	case parts[7] != strconv.Itoa(q.a+q.b):
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "wrong answer")
	}
	return token, nil
}

// Verify passes: there is nothing to ask that Parse has not checked. A provider
// that is a service asks it here, and returns a *provider.Fault where that brings
// no verdict. That the token is spent is the host's business.
func (*Provider) Verify(context.Context, provider.Request, provider.Token) (provider.Verdict, error) {
	return provider.Verdict{Outcome: provider.Pass}, nil
}

// Widget is what the challenge page shows: a question and a field, and the script
// between them. It loads nothing, so it needs nothing of the page's policy.
func (*Provider) Widget() provider.Widget {
	return provider.Widget{
		Markup: `<label><span id="arithmetic-question"></span> = <input id="arithmetic-answer" inputmode="numeric" autocomplete="off" size="5"></label>
<button type="button" id="arithmetic-ok">OK</button>`,
		Glue: `
const at = (name) => document.getElementById("arithmetic-" + name);
at("question").textContent = captcha.challenge.question;
const done = () => captcha.set({arithmetic: captcha.challenge.challenge + "|" + at("answer").value.trim()});
at("ok").onclick = done;
at("answer").onkeydown = (e) => { if (e.key === "Enter") { e.preventDefault(); done(); } };
`,
	}
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Challenger   = (*Provider)(nil)
	_ provider.Presenter    = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
