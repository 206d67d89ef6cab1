package altcha

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// solve issues a challenge for req and solves it.
func solve(t *testing.T, p *Provider, req provider.Request) string {
	t.Helper()
	doc, err := p.Challenge(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return powtest.Solve(doc)
}

func TestOwnChallenge(t *testing.T) {
	p := newProvider(t, nil)
	const role = "geetest:unreachable_1.x-Y"
	for _, want := range []string{"", role} {
		req := request()
		req.Role = want
		token, err := p.judge(solve(t, p, req))
		if err != nil || token.Role != want || !token.Issued.Equal(testTime) || !token.Expires.Equal(testTime.Add(lifetime+maxUpload)) {
			t.Errorf("role %q: %+v, %v", want, token, err)
		}
	}
	req := request()
	req.Role = "a role"
	if _, err := p.Challenge(context.Background(), req); err == nil {
		t.Error("a role that would break the salt")
	}
	payload := solve(t, p, request())
	other := request()
	other.Host = "other.example"
	_, err := p.Parse(context.Background(), other, map[string]string{field: payload})
	wantReason(t, err, provider.TokenInvalid)
	bind(t, p, func(env *provider.Env) { env.Since = func() time.Time { return testTime.Add(time.Millisecond) } })
	_, err = p.judge(payload)
	wantReason(t, err, provider.TokenExpired)
	bind(t, p, func(env *provider.Env) { env.Now = func() time.Time { return testTime.Add(-2 * maxSkew) } })
	_, err = p.judge(payload)
	wantReason(t, err, provider.TokenInvalid)
	if err := p.Probe(context.Background()); err != nil {
		t.Errorf("there is nobody to ask: %v", err)
	}
}

// foreign is a challenge of another server, as altcha-lib-go v1.0.0 writes it,
// but for one change.
func foreign(old, new string) string {
	salt := goodSalt()
	challenge := strings.Repeat("ab", 32)
	doc := fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%s","maxNumber":50000,"salt":"%s","signature":"%s"}`,
		challenge, strings.ReplaceAll(salt, "&", `\u0026`), sign(challenge))
	return strings.Replace(doc, old, new, 1)
}

func serve(t *testing.T, body *string) *providertest.Server {
	return providertest.Serve(t, func(s *providertest.Server) providertest.Answerer {
		return func(c providertest.Call) (int, string) {
			if c.Method != http.MethodGet || c.Path != "/v1/challenge" || c.Query.Encode() != "apiKey=k" || len(c.Body) > 0 || c.Header.Get("Accept") != "application/json" {
				s.Strict("%+v", c)
			}
			return http.StatusOK, *body
		}
	})
}

func TestForeignChallenge(t *testing.T) {
	body := ""
	url := serve(t, &body).URL() + "/v1/challenge?apiKey=k"
	page := newProvider(t, func(p *Provider) { p.ChallengeURL = url })
	widget := newProvider(t, func(p *Provider) { p.ChallengeURL, p.ScriptURL = url, "https://cdn.example/altcha.js" })
	v2 := `{"parameters":` + parametersV2() + `,"signature":"00"}`
	for _, tc := range []struct{ name, body, page, widget string }{
		{"Go's", foreign("", ""), "ok", "ok"},
		{"JavaScript's", strings.ReplaceAll(foreign("maxNumber", "maxnumber"), `\u0026`, "&"), "ok", "ok"},
		{"no maxnumber", foreign(`"maxNumber":50000,`, ""), "unavailable", "ok"},
		{"endless", foreign("50000", "100000001"), "misconfigured", "ok"},
		{"another key's", foreign(`"signature":"`, `"signature":"00`), "misconfigured", "ok"},
		{"SHA-1", foreign("SHA-256", "SHA-1"), "misconfigured", "ok"},
		{"no expiry", foreign("expires", "x"), "misconfigured", "ok"},
		{"expired", foreign("expires=17", "expires=16"), "misconfigured", "ok"},
		{"no & at the end", foreign(`\u0026`, ""), "misconfigured", "ok"},
		{"protocol v2", v2, "misconfigured", "ok"},
		{"signs of a human first", `{"his":{"url":"/v1/his"}}`, "unavailable", "ok"},
		{"an error", `{"error":"x"}`, "unavailable", "unavailable"},
		{"null", "null", "unavailable", "unavailable"},
	} {
		body = tc.body
		for p, want := range map[*Provider]string{page: tc.page, widget: tc.widget} {
			doc, err := p.Challenge(context.Background(), request())
			if want == "ok" {
				if err != nil || !json.Valid(doc) || strings.ContainsAny(string(doc), "<>&") {
					t.Errorf("%s: %s, %v", tc.name, doc, err)
				}
				continue
			}
			wantClass(t, err, provider.Class(want))
			wantClass(t, p.Probe(context.Background()), provider.Class(want))
		}
	}
	body = foreign("", "")
	doc, _ := page.Challenge(context.Background(), request())
	if want := strings.Replace(body, "maxNumber", "maxnumber", 1); string(doc) != want {
		t.Errorf("got %s, want %s", doc, want)
	}
	// A fallback's challenge is ours, because it carries the role.
	req := request()
	req.Role = "pow:x"
	if token, err := page.judge(solve(t, page, req)); err != nil || token.Role != req.Role {
		t.Errorf("got %+v, %v", token, err)
	}
}

// TestFaults breaks the ALTCHA server in every way. Payloads are verified
// without it, so Suite does not fit.
func TestFaults(t *testing.T) {
	body := foreign("", "")
	good := forgeV1(goodSalt(), "12")
	for fault, class := range providertest.Classes() {
		t.Run(string(fault), func(t *testing.T) {
			s := serve(t, &body)
			url := s.URL()
			if fault == providertest.BadCertificate {
				url = s.TLSURL()
			}
			p := newProvider(t, func(p *Provider) { p.ChallengeURL = url + "/v1/challenge?apiKey=k" })
			s.Inject(fault)
			patience := 10 * time.Second
			if fault == providertest.Hang || fault == providertest.SlowDrip {
				patience = 150 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, err := p.Challenge(ctx, request())
			wantClass(t, err, class)
			if err != nil && (strings.Contains(err.Error(), testKey) || strings.Contains(err.Error(), "apiKey")) {
				t.Errorf("a secret is told: %v", err)
			}
			wantClass(t, p.Probe(ctx), class)
			if _, err := p.judge(good); err != nil {
				t.Errorf("a proof is refused because of it: %v", err)
			}
			if len(s.Elsewhere()) > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestWidget(t *testing.T) {
	if w := newProvider(t, nil).Widget(); w.Script != "" || w.Markup != "" || w.Glue != "" || w.CSP != nil {
		t.Errorf("without a script: %+v", w)
	}
	w := newProvider(t, func(p *Provider) { p.ScriptURL = "https://cdn.example/altcha.js" }).Widget()
	if !w.Module || w.Markup != mount || !strings.Contains(w.Glue, `const url = "";`) || w.CSP["connect-src"] != nil || w.CSP["script-src"][0] != "https://cdn.example" {
		t.Errorf("got %+v", w)
	}
	w = newProvider(t, func(p *Provider) {
		p.ScriptURL, p.ChallengeURL = "https://cdn.example/altcha.js", `https://altcha.example:8443/c?a=</script>&b="`
	}).Widget()
	if !strings.Contains(w.Glue, `const url = "https://altcha.example:8443/c?a=\u003c/script\u003e\u0026b=\"";`) || w.CSP["connect-src"][0] != "https://altcha.example:8443" {
		t.Errorf("got %+v", w)
	}
}

func FuzzChallenge(f *testing.F) {
	p := newProvider(f, nil)
	for _, seed := range []string{"", "null", "{}", foreign("", ""), foreign("maxNumber", "maxnumber"), `{"parameters":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := parseDocument(body)
		if err != nil {
			return
		}
		for _, read := range []func(value) (json.RawMessage, error){p.forPage, p.forWidget} {
			if out, err := read(doc); err == nil && !json.Valid(out) {
				t.Fatalf("%q becomes %q", body, out)
			}
		}
	})
}
