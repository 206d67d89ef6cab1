package geetest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// The form fields of version 4: what the widget's getValidate returns (docs).
const (
	fieldLot    = "lot_number"
	fieldOutput = "captcha_output"
	fieldPass   = "pass_token"
	fieldTime   = "gen_time"
)

var fields4 = []string{fieldLot, fieldOutput, fieldPass, fieldTime}

// The default URLs of version 4 (docs; the loader's own lists for https). The
// status API is documented for version 3's "gt" only, so there is no default.
var defaults4 = defaults{
	api:    "https://gcaptcha4.geetest.com",
	script: "https://static.geetest.com/v4/gt4.js",
}

// Provider4 asks GeeTest, version 4. The key signs what is asked, and is never
// sent. A wrong key looks like a wrong token; no answer of GeeTest tells them
// apart, so try the form once after a change.
type Provider4 struct {
	Account
}

// CaddyModule returns the Caddy module information.
func (*Provider4) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  provider.Namespace + ".geetest4",
		New: func() caddy.Module { return new(Provider4) },
	}
}

// Provision resolves the placeholders. It calls nobody.
func (p *Provider4) Provision(caddy.Context) error { return p.provision(defaults4) }

// Validate checks the options.
func (p *Provider4) Validate() error { return p.validate() }

// Fields returns the four fields of a token.
func (*Provider4) Fields() []string { return fields4 }

const (
	// maxAge is how old a token may be. GeeTest's own limit is not documented
	// (about ten minutes, from memory) and is enforced there; this only saves
	// the call for what cannot pass.
	maxAge = time.Hour
	// maxAhead is how far GeeTest's clock may be ahead of ours.
	maxAhead = 5 * time.Minute

	maxOutput = 8 << 10
	maxPass   = 512
)

// Parse checks the shape of a token and that its time is a time not long ago.
// What is not a number GeeTest refuses with status "error", which is easily
// taken for a failure of its own.
//
// The claim key is the lot number. In lower case, as GeeTest writes it: another
// spelling must not be another token.
func (p *Provider4) Parse(_ context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	if missing(fields, fields4) {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "the widget was not solved")
	}
	lot := fields[fieldLot]
	output, pass := fields[fieldOutput], fields[fieldPass]
	made, ok := parseTime(fields[fieldTime])
	received := p.received(req)
	switch {
	case len(lot) != 32 || !only(lot, isHex):
		return provider.Token{}, invalid(fieldLot + " is none of GeeTest's")
	case len(output) > maxOutput || !only(output, isBase64):
		return provider.Token{}, invalid(fieldOutput + " is none of GeeTest's")
	case len(pass) > maxPass || !only(pass, isBase64):
		return provider.Token{}, invalid(fieldPass + " is none of GeeTest's")
	case !ok:
		return provider.Token{}, invalid(fieldTime + " is not a time")
	case made.After(received.Add(maxAhead)):
		return provider.Token{}, invalid(fieldTime + " is in the future: compare the clock")
	case made.Before(received.Add(-maxAge)):
		return provider.Token{}, expired(fieldTime + " is long ago")
	case p.env.Now().After(made.Add(maxAge + maxUpload)):
		return provider.Token{}, expired(fieldTime + " is long before the request was complete")
	}
	return provider.Token{
		Key: "geetest4:" + lot,
		// from now, because gen_time is the client's word
		Expires: p.env.Now().Add(maxAhead + maxAge + maxUpload),
		Fields:  pick(fields, fields4),
	}, nil
}

// parseTime reads gen_time: Unix seconds, or milliseconds.
func parseTime(s string) (time.Time, bool) {
	if len(s) != 10 && len(s) != 13 || !only(s, isDigit) {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if len(s) == 13 {
		return time.UnixMilli(n), err == nil
	}
	return time.Unix(n, 0), err == nil
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' }

// isBase64 allows both alphabets, and what else a URL leaves alone.
func isBase64(c byte) bool {
	return isLower(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("+/=-_.~", c) >= 0
}

// Verify asks GeeTest about a token. While GeeTest is confirmed to be down it
// is not called, and the token counts again after the outage.
func (p *Provider4) Verify(ctx context.Context, req provider.Request, token provider.Token) (provider.Verdict, error) {
	if req.Down {
		return provider.Verdict{}, &provider.Fault{Class: provider.Unavailable, Err: errDown}
	}
	return p.ask(ctx, token.Fields)
}

// Probe asks about a token that nobody was given, which GeeTest is to refuse.
func (p *Provider4) Probe(ctx context.Context) error {
	verdict, err := p.ask(ctx, map[string]string{
		fieldLot:    "00000000000000000000000000000000",
		fieldOutput: "probe",
		fieldPass:   "probe",
		fieldTime:   "1700000000",
	})
	if err == nil && verdict.Outcome == provider.Pass {
		return outbound.Unavailable("validate passes a token that GeeTest never made")
	}
	return err
}

// errNoStatusAPI is what Status returns where no bypass_url is configured.
var errNoStatusAPI = errors.New("geetest4 has no status API of its own; bypass_url names one")

// HasStatusAPI reports whether Status asks somebody: only where bypass_url is
// configured.
func (p *Provider4) HasStatusAPI() bool { return p.bypass != "" }

// Status asks the API that bypass_url names, as version 3's is asked.
func (p *Provider4) Status(ctx context.Context) (bool, error) {
	if !p.HasStatusAPI() {
		return false, errNoStatusAPI
	}
	return p.status(ctx)
}

// answer4 is an answer of validate (docs, BehaviorVerification/deploy/server).
type answer4 struct {
	Status string          `json:"status"`
	Result string          `json:"result"`
	Reason string          `json:"reason"`
	Code   code            `json:"code"`
	Args   json.RawMessage `json:"captcha_args"`
}

// ask asks validate. The id stands in the query, as in GeeTest's demos, so that
// its logs have it; the key only signs.
func (p *Provider4) ask(ctx context.Context, fields map[string]string) (provider.Verdict, error) {
	form := url.Values{"sign_token": {hmacHex(fields[fieldLot], p.key)}}
	for _, name := range fields4 {
		form.Set(name, fields[name])
	}
	query := url.Values{"captcha_id": {p.id}}
	answer, err := p.call(ctx, http.MethodPost, p.api+"/validate?"+query.Encode(), form)
	if err != nil {
		return provider.Verdict{}, err
	}
	return p.read(answer, fields)
}

// read reads validate's answer.
func (p *Provider4) read(answer outbound.Answer, fields map[string]string) (provider.Verdict, error) {
	var a answer4
	if !answer.Object(&a) {
		return provider.Verdict{}, outbound.Unavailable("validate's answer is not GeeTest's protocol")
	}
	switch {
	case a.Status == "error":
		return p.refused(a.Code, fields)
	case a.Status == "success" && a.Result == "success":
		return sameLot(a.Args, fields[fieldLot])
	case a.Status == "success" && a.Result == "fail":
		return failed(a.Reason), nil
	}
	return provider.Verdict{}, outbound.Unavailable("validate's answer has no result")
}

// codes4 are the codes of status "error" that are the client's fault (docs,
// errorcode; -50005, "illegal gen_time", was seen).
var codes4 = table(map[provider.Reason]string{
	provider.TokenDuplicate: "50003",       // "repeated verification"
	provider.TokenExpired:   "50305 50308", // lot number, payload
	provider.TokenInvalid:   "50001 50002 50004 50005 50301 50302 50303 50304 50306 50307",
})

// refused sorts the codes of status "error". All but these are the client's
// fault, unknown ones too: they come from what the client sent.
func (p *Provider4) refused(c code, fields map[string]string) (provider.Verdict, error) {
	switch c {
	case "50101", "50102", "50103", "50104", "50105": // no, wrong, unknown, deleted, paused captcha_id
		return provider.Verdict{}, outbound.Misconfigured("validate refuses the captcha_id with code " + string(c))
	case "50000": // "run-time error"
		return provider.Verdict{}, outbound.Unavailable("validate has a runtime error of its own")
	case "":
		return fail(provider.TokenInvalid, "validate refuses without a code"), nil
	}
	return c.refusal(codes4, p.key, fields[fieldLot], fields[fieldOutput], fields[fieldPass]), nil
}

// failed is the verdict for result "fail". Its reason is prose, of which only
// "pass_token expire" is documented; whatever it says is the client's fault.
func failed(prose string) provider.Verdict {
	prose = strings.ToLower(prose)
	switch {
	case strings.Contains(prose, "expire"):
		return fail(provider.TokenExpired, "validate says that the token expired")
	case strings.Contains(prose, "repeat"), strings.Contains(prose, "duplicate"), strings.Contains(prose, "used"):
		return fail(provider.TokenDuplicate, "validate says that the token was used")
	}
	return fail(provider.TokenInvalid, "validate says fail")
}

// sameLot passes where the answer is about the token that was asked about, as
// far as it says which one it is about.
func sameLot(args json.RawMessage, lot string) (provider.Verdict, error) {
	var named struct {
		Lot *string `json:"lot_number"`
	}
	if len(args) > 0 && json.Unmarshal(args, &named) != nil {
		return provider.Verdict{}, outbound.Unavailable("validate's captcha_args are not GeeTest's protocol")
	}
	if named.Lot != nil && *named.Lot != lot {
		return fail(provider.TokenInvalid, "validate answers about another lot_number"), nil
	}
	return provider.Verdict{Outcome: provider.Pass}, nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider4)(nil)
	_ caddy.Validator       = (*Provider4)(nil)
	_ caddy.CleanerUpper    = (*Provider4)(nil)
	_ caddyfile.Unmarshaler = (*Provider4)(nil)
	_ provider.Provider     = (*Provider4)(nil)
	_ provider.Prober       = (*Provider4)(nil)
	_ provider.StatusAPI    = (*Provider4)(nil)
	_ provider.Presenter    = (*Provider4)(nil)
	_ provider.Binder       = (*Provider4)(nil)
)
