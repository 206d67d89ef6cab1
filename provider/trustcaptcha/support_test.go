package trustcaptcha

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	testSite    = "11111111-2222-4333-8444-555555555555"
	testCaptcha = providertest.TrustCaptchaID
	testKey     = "ak_0123456789abcdef"
	testID      = "7a5909d5-bfc1-4f81-b9a9-3bd115b1ea73"

	// Made by the widget 3.0.2 with failover-enabled and no API, on
	// 2026-11-21 at 01:57:19.454 (PROVIDERS.md, part 2).
	realFailover = "eyJ2ZXJpZmljYXRpb25JZCI6IjFmNDNiOWZmLTRhNjYtNDJmZS1iZWFkLTc0ODAxNWNmODIyMyIsImV4cGlyZXNBdCI6IjIwMjYtMTEtMjFUMDI6MTI6MTkuNDU0WiIsImNsaWVudEZhaWxvdmVyIjp0cnVlfQ=="
	realID       = "1f43b9ff-4a66-42fe-bead-748015cf8223"
)

var testTime = time.Date(2026, 11, 21, 1, 57, 20, 0, time.UTC)

// gateway is the results API: what it knows of each verification.
type gateway struct {
	key     string
	prefix  string            // path before /v2
	results map[string]answer // by id; with "?clientFailover=true" behind it where so asked
}

type answer struct {
	status int
	body   string
}

// serve answers calls, and is strict about them.
func (g *gateway) serve(s *providertest.Server) providertest.Answerer {
	return providertest.TrustCaptcha{Key: g.key, Prefix: g.prefix, Result: func(id string) (int, string) {
		a := g.results[id]
		return a.status, a.body
	}}.Protocol(s)
}

// good is the result of a passed verification.
func good(id string) string { return providertest.TrustResult(id) }

// newProvider is a provider at url, changed by change.
func newProvider(t testing.TB, url string, change func(*Provider)) *Provider {
	t.Helper()
	p := &Provider{SiteKey: testSite, APIKey: testKey, APIURL: url}
	if change != nil {
		change(p)
	}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	env, _ := providertest.NewEnv()
	env.Now = func() time.Time { return testTime }
	if err := p.Bind(env); err != nil {
		t.Fatal(err)
	}
	return p
}

func failover(p *Provider) { p.ClientFailover = true }

func encode(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }

func regular(id string) string {
	return encode(`{"verificationId":"` + id + `","expiresAt":"2026-11-21T02:10:00.000Z"}`)
}

func request() provider.Request {
	return provider.Request{Host: "example.com", Received: testTime}
}

func (p *Provider) parse(raw string) (provider.Token, error) {
	return p.Parse(context.Background(), request(), map[string]string{field: raw})
}

// judgeToken parses a token and verifies it.
func judgeToken(p *Provider, req provider.Request, raw string) (provider.Verdict, error) {
	token, err := p.Parse(context.Background(), req, map[string]string{field: raw})
	if err != nil {
		return provider.Verdict{}, err
	}
	return p.Verify(context.Background(), req, token)
}

func wantReason(t testing.TB, err error, want provider.Reason) {
	t.Helper()
	var refusal *provider.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != want {
		t.Errorf("got %v, want the refusal %s", err, want)
	}
}

func wantClass(t testing.TB, err error, want provider.Class) *provider.Fault {
	t.Helper()
	var fault *provider.Fault
	if !errors.As(err, &fault) || fault.Class != want {
		t.Fatalf("got %v, want the fault %s", err, want)
	}
	return fault
}

func unmarshal(in string) (*Provider, error) {
	p := new(Provider)
	err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(in))
	return p, err
}
