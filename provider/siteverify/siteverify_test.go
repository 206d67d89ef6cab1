package siteverify

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

var request = provider.Request{Host: "example.com"}

const (
	siteKey   = providertest.SiteKey
	secret    = providertest.Secret
	goodToken = providertest.GoodToken
)

// row is a provider of the table, and what it really receives and answers.
type row struct {
	providertest.Siteverify
	preset *preset
}

// rows are all of the table, turnstile first.
var rows = func() (all []row) {
	for _, p := range presets {
		for _, r := range providertest.Siteverifies {
			if r.Name == p.name {
				all = append(all, row{r, p})
			}
		}
	}
	return all
}()

// load makes a provider of the row that asks at base.
func (r row) load(t testing.TB, base string, change ...func(*Provider)) *Provider {
	t.Helper()
	p := &Provider{preset: r.preset, SiteKey: siteKey, SecretKey: secret, VerifyURL: base + "/verify"}
	for _, f := range change {
		f(p)
	}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	env, _ := providertest.NewEnv()
	if err := p.Bind(env); err != nil {
		t.Fatal(err)
	}
	return p
}

func (r row) fields(token string) map[string]string { return map[string]string{r.preset.field: token} }

// ask parses and verifies a token, and says what came of it in one word.
func (r row) ask(t testing.TB, p *Provider, token string) string {
	t.Helper()
	parsed, err := p.Parse(context.Background(), request, r.fields(token))
	if err != nil {
		var refusal *provider.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("Parse: %v", err)
		}
		return "refused: " + string(refusal.Reason)
	}
	v, err := p.Verify(context.Background(), request, parsed)
	return word(t, v, err)
}

func word(t testing.TB, v provider.Verdict, err error) string {
	t.Helper()
	var f *provider.Fault
	switch {
	case errors.As(err, &f):
		if v.Outcome != provider.Fail {
			t.Errorf("a fault and a verdict: %+v", v)
		}
		return string(f.Class)
	case err != nil:
		t.Fatalf("not a fault: %v", err)
	case v.Outcome == provider.Pass:
		return "pass"
	case v.Outcome == provider.ProviderFailover:
		return "failover"
	case v.Reason == "":
		t.Errorf("a failure without a reason: %+v", v)
	case v.Unknown != "":
		return string(v.Reason) + ", unknown " + v.Unknown
	}
	return string(v.Reason)
}

func TestEveryPresetHasARow(t *testing.T) {
	tested := make(map[*preset]bool)
	for _, r := range rows {
		tested[r.preset] = true
		if r.Field != r.preset.field {
			t.Errorf("%s: the field is %s, and %s in its row", r.Name, r.preset.field, r.Field)
		}
	}
	if len(rows) != len(providertest.Siteverifies) {
		t.Error("a row of internal/providertest/siteverify_rows.go has no preset")
	}
	for _, p := range presets {
		if !tested[p] {
			t.Errorf("%s has no row in internal/providertest/siteverify_rows.go", p.name)
		}
		if p.page == "" || p.field == "" || p.max < 64 || p.lifetime < time.Minute || len(p.pass) == 0 {
			t.Errorf("%s: the row is incomplete", p.name)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, r := range rows {
		t.Run(r.preset.name, func(t *testing.T) {
			providertest.Suite{
				Protocol: r.Protocol,
				New: func(t testing.TB, url string) provider.Provider {
					p := &Provider{preset: r.preset, SiteKey: siteKey, SecretKey: secret, VerifyURL: url + "/verify"}
					if err := providertest.Provision(t, p); err != nil {
						t.Fatal(err)
					}
					return p
				},
				Fields:    r.fields(r.Good()),
				Secrets:   []string{secret},
				Classes:   r.Classes,
				RetrySafe: r.preset.ask.idempotency != "",
			}.Run(t)
		})
	}
}

// TestAnswers asks every provider's every code, and the answers that careless
// code takes for a pass.
func TestAnswersD42D62(t *testing.T) {
	for _, r := range rows {
		t.Run(r.preset.name, func(t *testing.T) {
			for code := range r.preset.meanings {
				if _, ok := r.Codes[code]; !ok {
					t.Errorf("the code %q is not tested", code)
				}
			}
			var status int
			var body string
			s := providertest.Serve(t, func(s *providertest.Server) providertest.Answerer {
				return func(c providertest.Call) (int, string) { r.Strict(s, c); return status, body }
			})
			p := r.load(t, s.URL())
			try := func(what, want string) {
				want, probed, differs := strings.Cut(want, "/")
				if got := r.ask(t, p, r.Good()); got != want {
					t.Errorf("%s: %s, want %s", what, got, want)
				}
				if !differs {
					if probed = "healthy"; want == "misconfigured" || want == "unavailable" || want == "throttled" {
						probed = want
					}
				}
				got := "healthy"
				if err := p.Probe(context.Background()); err != nil {
					got = word(t, provider.Verdict{}, err)
				}
				if got != probed {
					t.Errorf("%s, to a probe: %s, want %s", what, got, probed)
				}
			}
			for code, want := range r.Codes {
				status, body = r.Refuse(code)
				try(code, want)
			}
			for answer, want := range r.Answers {
				text, rest, _ := strings.Cut(answer, " ")
				status, _ = strconv.Atoi(text)
				body = rest
				try(answer, want)
			}
		})
	}
}

// TestParameterInjection sends tokens that are parameters (D-68). The fake is
// strict, so it reports whatever arrives as more than one value.
func TestParameterInjectionD68(t *testing.T) {
	for _, r := range rows {
		t.Run(r.preset.name, func(t *testing.T) {
			s := providertest.Serve(t, r.Protocol)
			p := r.load(t, s.URL())
			for _, token := range []string{
				"x&secret=theirs&response=good", "x&privatekey=theirs", `x","secret":"theirs`, "x%26secret%3Dtheirs",
				"x+y", "x;secret=theirs", "?#/../", `\u0022`,
			} {
				if got := r.ask(t, p, token); got == "pass" || got == "failover" {
					t.Errorf("%q: %s", token, got)
				}
			}
			for _, token := range []string{"a b", "a\r\nX: y", "a\x00", "a\x7f", "ü", strings.Repeat("a", r.preset.max+1)} {
				calls := len(s.Calls())
				if got := r.ask(t, p, token); got != "refused: token-invalid" {
					t.Errorf("%.20q: %s", token, got)
				}
				if len(s.Calls()) != calls {
					t.Errorf("%.20q was sent", token)
				}
			}
		})
	}
}

func TestUnsolvedD22(t *testing.T) {
	for _, r := range rows {
		p := r.load(t, "http://127.0.0.1:1")
		unsolved := []string{"", "undefined", "null"}
		if r.preset == &friendlycaptcha {
			unsolved = append(unsolved, ".UNSTARTED", ".ERROR", ".UNCONNECTED", ".UNACTIVATED", ".HEADLESS_ERROR", ".ERROR.UNREACHABLE~eyJ4IjoxfQ")
		}
		for _, token := range unsolved {
			if got := r.ask(t, p, token); got != "refused: token-missing" {
				t.Errorf("%s: %q: %s", r.preset.name, token, got)
			}
		}
	}
}

func TestLostReplyD56(t *testing.T) {
	r := rows[0]
	s := providertest.Serve(t, r.Protocol)
	p := r.load(t, s.URL())
	s.Inject(providertest.Reset)
	key := func(i int) string {
		values, _ := url.ParseQuery(string(s.Calls()[i].Body))
		return values.Get("idempotency_key")
	}
	token, err := p.Parse(context.Background(), request, r.fields(goodToken))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Verify(context.Background(), request, token)
	var f *provider.Fault
	if !errors.As(err, &f) || !f.Again {
		t.Fatalf("a lost reply: %v", err)
	}
	s.Inject(providertest.None)
	if v, err := p.Verify(context.Background(), request, token); err != nil || v.Outcome != provider.Pass {
		t.Fatal(v, err)
	}
	if key(0) == "" || key(0) != key(1) {
		t.Errorf("the second call of a submission has the key %q, not %q", key(1), key(0))
	}
	if got := r.ask(t, p, goodToken); got != "pass" {
		t.Fatal(got)
	}
	if key(2) == key(0) {
		t.Error("another submission of the same token has the same key: every replay would pass")
	}
}

func TestClaimKey(t *testing.T) {
	seen := make(map[string]string)
	for _, r := range rows {
		p := r.load(t, "http://127.0.0.1:1")
		now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
		p.env.Now = func() time.Time { return now }
		a, err := p.Parse(context.Background(), request, r.fields(r.Good()))
		if err != nil {
			t.Fatal(r.preset.name, err)
		}
		b, _ := p.Parse(context.Background(), request, r.fields(r.Good()))
		if a.Key != b.Key || len(a.Key) != 64 || strings.Contains(a.Key, r.Good()) {
			t.Errorf("%s: keys %q and %q", r.preset.name, a.Key, b.Key)
		}
		if other, twice := seen[a.Key]; twice {
			t.Errorf("%s and %s share a key", r.preset.name, other)
		}
		seen[a.Key] = r.preset.name
		if !a.Expires.Equal(now.Add(r.preset.lifetime)) {
			t.Errorf("%s: expires %s", r.preset.name, a.Expires)
		}
	}
}
