// Package geetest judges GeeTest's CAPTCHAs: version 3, with its register and
// validate calls and its bypass mode, and version 4.
//
// In what GeeTest calls offline mode its own demos take any three values for a
// pass. Here they are none: an answer that the widget made without GeeTest is
// told apart and left to the operator's policy.
//
// Comments name the sources of what is not obvious: "demo" is
// GeeTeam/gt3-server-golang-gin-bypass, "docs" is docs.geetest.com, "loader" is
// the script gt.js or gt4.js as GeeTest serves it.
package geetest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func init() {
	caddy.RegisterModule(new(Provider))
	caddy.RegisterModule(new(Provider4))
}

// The form fields of version 3, which the widget adds as hidden inputs.
const (
	fieldChallenge = "geetest_challenge"
	fieldValidate  = "geetest_validate"
	fieldSeccode   = "geetest_seccode"
)

var fields3 = []string{fieldChallenge, fieldValidate, fieldSeccode}

// sdk is what we call ourselves in the parameter of that name. Nothing of the
// visitor is sent: user_id, ip_address and the like are optional (demo).
const sdk = "caddy-captcha"

// The default URLs of version 3. The demo has http; docs have https for the
// status API, and the others answer over https as well. The loader is the one
// that public integrations name; docs advise to host a copy.
var defaults3 = defaults{
	api:    "https://api.geetest.com",
	bypass: "https://bypass.geetest.com/v1/bypass_status.php",
	script: "https://static.geetest.com/static/tools/gt.js",
}

// Provider asks GeeTest, version 3. A challenge is registered with GeeTest, the
// visitor's widget solves it there, and GeeTest is asked whether it was.
//
// While GeeTest is down a page gets a local challenge, with which its widget
// runs in offline mode. The answer to one proves nothing: it counts only where
// the directive says `unreachable allow`.
type Provider struct {
	Account

	// Digest is the algorithm of the challenge: md5, sha256 or hmac-sha256.
	// Default: md5.
	Digest string `json:"digest,omitempty"`

	digest digest
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  provider.Namespace + ".geetest",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision resolves the placeholders. It calls nobody.
func (p *Provider) Provision(caddy.Context) error {
	p.digest = digest(p.Digest)
	if p.Digest == "" {
		p.digest = digestMD5
	}
	return p.provision(defaults3)
}

// Validate checks the options.
func (p *Provider) Validate() error {
	if err := checkDigest(string(p.digest)); err != nil {
		return err
	}
	return p.validate()
}

// Fields returns the three fields of a token.
func (*Provider) Fields() []string { return fields3 }

// document is what the widget's initGeetest wants to know, as the demo writes
// it for the page.
type document struct {
	Success    int    `json:"success"`
	GT         string `json:"gt"`
	Challenge  string `json:"challenge"`
	NewCaptcha bool   `json:"new_captcha"`
}

// Challenge registers a challenge with GeeTest, or, while GeeTest is down,
// makes a local one and calls nobody.
func (p *Provider) Challenge(ctx context.Context, req provider.Request) (json.RawMessage, error) {
	doc := document{GT: p.id, NewCaptcha: true}
	if req.Down {
		local, err := p.issueLocal(ctx, req.Host)
		if err != nil {
			return nil, err
		}
		doc.Challenge = local
		return json.Marshal(doc)
	}
	origin, err := p.register(ctx)
	if err != nil {
		return nil, err
	}
	doc.Success, doc.Challenge = 1, p.digest.challenge(origin, p.key)
	return json.Marshal(doc)
}

// answer3 is an answer of version 3's API. An error has error_code (docs,
// errorcode/server, for the numbers; memory, for the member's name).
type answer3 struct {
	Challenge *string `json:"challenge"`
	Seccode   *string `json:"seccode"`
	ErrorCode code    `json:"error_code"`
}

// wrongID are the codes of a captcha_id that is null, invalid, of no account,
// or wrong (docs, errorcode/server).
func wrongID(c code) bool { return c == "31" || c == "32" || c == "34" || c == "42" }

// register asks for a challenge.
func (p *Provider) register(ctx context.Context) (origin string, err error) {
	query := url.Values{
		"gt":          {p.id},
		"digestmod":   {string(p.digest)},
		"client_type": {"web"},
		"json_format": {"1"},
		"sdk":         {sdk},
	}
	answer, err := p.call(ctx, http.MethodGet, p.api+"/register.php?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	return registered(answer)
}

// registered reads register's answer. "0", or what is not 32 characters long, is
// how GeeTest refuses an id (demo): it looks like an outage, and GeeTest's guide
// even tests the bypass mode with it, but it is a typo that would open the
// door for ever.
func registered(answer outbound.Answer) (string, error) {
	var a answer3
	switch {
	case !answer.Object(&a):
		return "", outbound.Unavailable("register's answer is not GeeTest's protocol")
	case wrongID(a.ErrorCode):
		return "", outbound.Misconfigured("register refuses the captcha_id with code " + string(a.ErrorCode))
	case a.Challenge == nil:
		return "", outbound.Unavailable("register's answer has no challenge")
	case len(*a.Challenge) != 32 || !only(*a.Challenge, isLower):
		return "", outbound.Misconfigured("register gives no challenge for this captcha_id: compare it with GeeTest's dashboard")
	}
	return *a.Challenge, nil
}

// Probe asks validate about a token that nobody was given, which GeeTest is to
// refuse, and register for a challenge, where a wrong id shows.
func (p *Provider) Probe(ctx context.Context) error {
	const nobodys = "00000000000000000000000000000000"
	verdict, err := p.ask(ctx, nobodys, nobodys+"|jordan")
	if err != nil {
		return err
	}
	if verdict.Outcome == provider.Pass {
		return outbound.Unavailable("validate passes a token that GeeTest never made")
	}
	_, err = p.register(ctx)
	return err
}

// Status asks GeeTest's status API.
func (p *Provider) Status(ctx context.Context) (bool, error) { return p.status(ctx) }

// errOffline is in the *provider.Fault of Verify for an answer to a local
// challenge of ours, given while GeeTest is confirmed to be down: it is no
// proof, and counts only where the directive says `unreachable allow`.
var errOffline = errors.New("an offline answer to a local challenge proves nothing")

// errDown is in the Fault of Verify for a token of which only GeeTest could
// say something, while it is confirmed to be down.
var errDown = errors.New("not asked: GeeTest is confirmed to be down")

const (
	// lifetime is how long GeeTest lets a challenge live (docs, glossary).
	lifetime = 10 * time.Minute
	// claimed is how long a token of version 3 stays spent: the challenge's
	// lifetime, generously, as nothing says when it was registered.
	claimed = time.Hour
	// maxUpload is how long after its expiry a token's request may still be
	// on its way.
	maxUpload = time.Hour
	// maxSkew is how far another node's clock may be ahead of ours.
	maxSkew = time.Minute
)

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddy.CleanerUpper    = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Challenger   = (*Provider)(nil)
	_ provider.Prober       = (*Provider)(nil)
	_ provider.StatusAPI    = (*Provider)(nil)
	_ provider.Presenter    = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
