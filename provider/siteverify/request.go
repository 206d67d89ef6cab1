package siteverify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// request builds the call about a token. Every value is encoded: a token is the
// client's, and must not add a parameter of its own.
func (p *Provider) request(ctx context.Context, token, idempotency string) (*http.Request, error) {
	params := make(map[string]string)
	for name, value := range map[string]string{
		p.ask.token: token, p.ask.secret: p.set.secret, p.ask.siteKey: p.set.siteKey,
		p.ask.action: p.set.action, p.ask.idempotency: idempotency,
	} {
		if name != "" && value != "" {
			params[name] = value
		}
	}
	target, body, contentType, err := p.encode(params, token)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, p.method(), target, strings.NewReader(body))
	if err != nil {
		// the error would tell the URL
		return nil, outbound.Unavailable("the request cannot be built")
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	if p.ask.secretHeader != "" {
		req.Header.Set(p.ask.secretHeader, p.set.secret)
	}
	if p.ask.siteKeyHeader != "" {
		req.Header.Set(p.ask.siteKeyHeader, p.set.siteKey)
	}
	// net/http repeats a GET by itself when a reused connection breaks, and a
	// token that was asked about twice is spent: a new connection each time
	req.Close = p.ask.encoding == query
	return req, nil
}

func (p *Provider) encode(params map[string]string, token string) (target, body, contentType string, err error) {
	values := make(url.Values, len(params))
	for name, value := range params {
		values.Set(name, value)
	}
	switch p.ask.encoding {
	case raw:
		return p.set.verify, token, "text/plain", nil
	case asJSON:
		var doc any = params
		if p.ask.wrap != "" {
			doc = map[string]any{p.ask.wrap: params}
		}
		text, err := json.Marshal(doc)
		return p.set.verify, string(text), "application/json", err
	case query:
		return p.set.verify + separator(p.set.verify) + values.Encode(), "", "", nil
	}
	return p.set.verify, values.Encode(), "application/x-www-form-urlencoded", nil
}
