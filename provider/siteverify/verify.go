package siteverify

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// Verify asks the service about a token.
func (p *Provider) Verify(ctx context.Context, req provider.Request, token provider.Token) (provider.Verdict, error) {
	idempotency, _ := token.Data.(string)
	verdict, err := p.verify(ctx, req, token.Fields[p.field], idempotency, false)
	var f *provider.Fault
	if idempotency != "" && errors.As(err, &f) && f.Class == provider.Unavailable && !f.Again {
		// the same key: the service gives its first answer once more
		again := *f
		again.Again = true
		return provider.Verdict{}, &again
	}
	return verdict, err
}

// Metered says whether every verification, a probe's too, counts against a quota:
// reCAPTCHA's free tier has 10,000 assessments a month
// (https://cloud.google.com/recaptcha/quotas).
func (p *Provider) Metered() bool { return p.preset.metered }

// Probe asks about a token that nobody was given. Refusing it is health.
func (p *Provider) Probe(ctx context.Context) error {
	token := probeToken
	if p.probe != nil {
		token = p.probe(p.set.siteKey)
	}
	var idempotency string
	if p.ask.idempotency != "" {
		idempotency = newUUID()
	}
	verdict, err := p.verify(ctx, provider.Request{}, token, idempotency, true)
	if err == nil && verdict.Outcome != provider.Fail && !p.tests {
		p.env.Logger.Warn("the provider passes a token that nobody was given: does its account still protect anything?")
	}
	return err
}

func (p *Provider) verify(ctx context.Context, r provider.Request, token, idempotency string, probe bool) (provider.Verdict, error) {
	req, err := p.request(ctx, token, idempotency)
	if err != nil {
		return provider.Verdict{}, err
	}
	answer, err := p.client.Do(req)
	if err != nil {
		return provider.Verdict{}, err
	}
	doc, outcome, code, m, err := p.read(answer)
	if err != nil {
		return provider.Verdict{}, p.naming(code, token, err)
	}
	if outcome == provider.Fail {
		return p.refusal(code, m, token, probe)
	}
	verdict, err := p.checkPass(doc, r.Host, outcome != provider.Pass)
	if err == nil && verdict.Outcome == provider.Pass {
		verdict.Outcome = outcome
	}
	return verdict, err
}

// naming is a fault that names the unknown code which came with it: whoever reads
// of an outage learns that the protocol may have changed instead.
func (p *Provider) naming(code, token string, err error) error {
	var f *provider.Fault
	if code == "" || !errors.As(err, &f) {
		return err
	}
	named := *f
	named.Err = fmt.Errorf("%w, with the unknown code %s", f.Err, outbound.Visible(code, token, p.set.secret))
	return &named
}

// refusal is an answer that is no pass.
func (p *Provider) refusal(code string, m meaning, token string, probe bool) (provider.Verdict, error) {
	_, known := p.meanings[code]
	known = known || code == "" // some services have no word for it
	// a code is a word of the protocol, but a stranger wrote it
	code = outbound.Visible(code, token, p.set.secret)
	if probe && m.ours {
		m = misconfigured
	}
	switch {
	case m.class != "":
		return provider.Verdict{}, &provider.Fault{Class: m.class, Err: errors.New("the provider says " + code)}
	case m.test && p.env.AllowTestKeys:
		p.env.Logger.Warn("a token of a published test key is passed: this site is not protected")
		return provider.Verdict{Outcome: provider.Pass}, nil
	case !known:
		// not ours to interpret: the client's fault, and for somebody to look at
		return provider.Verdict{Reason: m.reason, Detail: "unknown code " + code, Unknown: code}, nil
	}
	return provider.Verdict{Reason: m.reason, Detail: code}, nil
}
