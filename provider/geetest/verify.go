package geetest

import (
	"context"
	"net/http"
	"net/url"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// origin is where the answer in a token of version 3 was made.
type origin uint8

const (
	online  origin = iota // by GeeTest, if it is genuine
	offline               // by the widget alone
	ours                  // by the widget alone, to a local challenge of ours
)

// Parse checks the shape of a token, and a local challenge completely: its
// signature, host and expiry. What GeeTest issued only GeeTest can judge.
//
// Issued is set for an answer to a local challenge, and for nothing else. The
// claim key is the challenge without the two characters that the slide widget
// appends (docs, glossary): whether GeeTest looks at them is its secret, and
// one challenge is one token.
func (p *Provider) Parse(ctx context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	if missing(fields, fields3) {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "the widget was not solved")
	}
	challenge, validate, seccode := fields[fieldChallenge], fields[fieldValidate], fields[fieldSeccode]
	base, ok := baseOf(challenge)
	switch {
	case !ok:
		return provider.Token{}, invalid(fieldChallenge + " is none of GeeTest's or ours")
	case len(validate) > maxValidate || !only(validate, isValidate):
		return provider.Token{}, invalid(fieldValidate + " is none of GeeTest's")
	case len(seccode) > maxSeccode || !only(seccode, isSeccode):
		return provider.Token{}, invalid(fieldSeccode + " is none of GeeTest's")
	}
	token := provider.Token{
		Key:     "geetest:" + base,
		Expires: p.env.Now().Add(claimed),
		Fields:  pick(fields, fields3),
		Data:    online,
	}
	if madeOffline(challenge, validate) {
		token.Data = offline
	}
	issued, isOurs, err := p.readLocal(ctx, req.Host, challenge)
	if err != nil || !isOurs {
		return token, err
	}
	if token.Data != offline {
		return provider.Token{}, invalid("no offline widget answers a local challenge like this")
	}
	if err := p.judgeLocal(req, issued); err != nil {
		return provider.Token{}, err
	}
	token.Data, token.Issued, token.Expires = ours, issued, issued.Add(lifetime+maxUpload)
	return token, nil
}

// Shapes, wider than what was seen: a challenge is an md5 or SHA-256 in hex and
// up to two characters behind it, validate 32 characters, seccode validate with
// "|jordan".
const (
	maxValidate = 128
	maxSeccode  = 256
)

func isValidate(c byte) bool { return isLower(c) || c >= 'A' && c <= 'Z' || c == '_' || c == '-' }

func isSeccode(c byte) bool { return isValidate(c) || c == '|' || c == '.' }

// baseOf returns a challenge without what the widget appends.
func baseOf(challenge string) (string, bool) {
	if !only(challenge, isLower) {
		return "", false
	}
	switch len(challenge) {
	case 32, 33, 34:
		return challenge[:32], true
	case 64, 65, 66:
		return challenge[:64], true
	}
	return "", false
}

// madeOffline reports whether the widget answered by itself: validate is the
// challenge (loader of 2020, observed), or the md5 of it (server SDK of 2019).
// Widgets do so in online mode too, where the browser cannot reach GeeTest.
func madeOffline(challenge, validate string) bool {
	return validate == challenge || validate == md5Hex(challenge)
}

// Verify asks GeeTest about a token. Offline answers are not for GeeTest:
//
//	the challenge       GeeTest is up    GeeTest is confirmed down
//	ours, local         ClientReported   Fault Unavailable with errOffline
//	any other           ClientReported   Fail
//
// So a status that changes between a challenge and its answer costs nobody a
// form, and no offline answer passes by itself. While GeeTest is down it is not
// called: the Fault is Unavailable, and the token counts again after the outage.
func (p *Provider) Verify(ctx context.Context, req provider.Request, token provider.Token) (provider.Verdict, error) {
	challenge := token.Fields[fieldChallenge]
	from, _ := token.Data.(origin)
	if from == online && madeOffline(challenge, token.Fields[fieldValidate]) {
		from = offline
	}
	switch {
	case from == online && req.Down:
		return provider.Verdict{}, &provider.Fault{Class: provider.Unavailable, Err: errDown}
	case from == online:
		return p.ask(ctx, challenge, token.Fields[fieldSeccode])
	case !req.Down:
		return provider.Verdict{
			Outcome: provider.ClientReported,
			Detail:  "the widget answered offline, and GeeTest is up",
		}, nil
	case from == ours:
		return provider.Verdict{}, &provider.Fault{Class: provider.Unavailable, Err: errOffline}
	}
	return fail(provider.TokenInvalid, "an offline answer to a challenge that is none of ours"), nil
}

// ask asks validate.
func (p *Provider) ask(ctx context.Context, challenge, seccode string) (provider.Verdict, error) {
	form := url.Values{
		"seccode":     {seccode},
		"json_format": {"1"},
		"challenge":   {challenge},
		"sdk":         {sdk},
		"captchaid":   {p.id},
	}
	answer, err := p.call(ctx, http.MethodPost, p.api+"/validate.php", form)
	if err != nil {
		return provider.Verdict{}, err
	}
	return p.read(answer, challenge, seccode)
}

// read reads validate's answer. A pass is the digest of the seccode, and nothing
// else: the demo takes everything but "false" for one.
func (p *Provider) read(answer outbound.Answer, challenge, seccode string) (provider.Verdict, error) {
	var a answer3
	switch {
	case !answer.Object(&a):
		return provider.Verdict{}, outbound.Unavailable("validate's answer is not GeeTest's protocol")
	case wrongID(a.ErrorCode):
		return provider.Verdict{}, outbound.Misconfigured("validate refuses the captcha_id with code " + string(a.ErrorCode))
	case a.ErrorCode == "00": // "runtime error, such as server error" (docs)
		return provider.Verdict{}, outbound.Unavailable("validate has a runtime error of its own")
	case a.ErrorCode != "":
		return a.ErrorCode.refusal(codes3, p.key, challenge, seccode), nil
	case a.Seccode == nil:
		return provider.Verdict{}, outbound.Unavailable("validate's answer has no seccode")
	case *a.Seccode == "false":
		return fail(provider.TokenInvalid, "validate says false"), nil
	case p.digest.confirms(*a.Seccode, seccode, p.key):
		return provider.Verdict{Outcome: provider.Pass}, nil
	}
	return fail(provider.TokenInvalid, "validate answers for another seccode"), nil
}

// codes3 are the codes that are the client's fault (docs, errorcode/server).
var codes3 = table(map[provider.Reason]string{
	provider.TokenDuplicate: "02 11 51", // the challenge, or its verification
	provider.TokenInvalid: "01 03 12 13 14 15 16 17 18 19 21 22 23 41 52 53 " +
		"61 62 63 64 65 66 67 68 69 70 71",
})
