package siteverify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

var request = provider.Request{Host: "example.com"}

func (r row) goodToken() string {
	if r.token != "" {
		return r.token
	}
	return goodToken
}

// protocol is the provider: it passes the good token, refuses others, and knows
// exactly one way to be asked.
func (r row) protocol(s *providertest.Server) providertest.Answerer {
	return func(c providertest.Call) (int, string) {
		token := r.strict(s, c)
		if token == r.goodToken() {
			return 200, r.pass
		}
		if r.junk == "" {
			return 200, strings.Replace(r.pass, "true", "false", 1)
		}
		return r.refuse(r.junk)
	}
}

var (
	aUUID    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	ordinary = map[string]bool{"Accept": true, "Content-Type": true, "Content-Length": true, "User-Agent": true, "Connection": true}
)

// strict reports everything about a call that is not the protocol, and returns
// the call's token.
func (r row) strict(s *providertest.Server, c providertest.Call) string {
	want, inQuery := strings.CutPrefix(r.params, "?")
	method, contentType := "POST", r.contentType
	if inQuery {
		method = "GET"
	} else if contentType == "" {
		contentType = "application/x-www-form-urlencoded"
	}
	if c.Method != method || c.Path != "/verify" || (!inQuery && len(c.Query) > 0) || (inQuery && len(c.Body) > 0) {
		s.Strict("%s %s ?%v %q", c.Method, c.Path, c.Query, c.Body)
	}
	if got := c.Header.Get("Content-Type"); got != contentType {
		s.Strict("Content-Type %q, want %q", got, contentType)
	}
	for name := range c.Header {
		if _, mine := r.headers[name]; !mine && !ordinary[name] {
			s.Strict("unknown header %s", name)
		}
	}
	for name, value := range r.headers {
		if got := c.Header.Get(name); got != strings.NewReplacer("$secret", secret, "$key", siteKey).Replace(value) {
			s.Strict("header %s is %q", name, got)
		}
	}
	got := sent(s, c, contentType)
	token := ""
	for _, param := range strings.Fields(want) {
		name, value, _ := strings.Cut(param, "=")
		if param == "$token" {
			name, value = "", "$token"
		}
		have, ok := got[name]
		delete(got, name)
		switch {
		case !ok:
			s.Strict("parameter %s is missing", name)
		case value == "$token":
			token = have
		case value == "$uuid" && aUUID.MatchString(have), value == "$secret" && have == secret, value == "$key" && have == siteKey:
		default:
			s.Strict("parameter %s is %q", name, have)
		}
	}
	if len(got) > 0 {
		s.Strict("unknown parameters %v", got)
	}
	return token
}

// sent are the parameters of a call.
func sent(s *providertest.Server, c providertest.Call, contentType string) map[string]string {
	got := make(map[string]string)
	switch contentType {
	case "text/plain":
		got[""] = string(c.Body)
	case "application/json":
		var doc map[string]any
		if err := json.Unmarshal(c.Body, &doc); err != nil {
			s.Strict("%v", err)
		}
		flatten(got, "", doc)
	default:
		values := c.Query
		if contentType != "" {
			var err error
			if values, err = url.ParseQuery(string(c.Body)); err != nil {
				s.Strict("%v", err)
			}
		}
		for name, v := range values {
			if got[name] = v[0]; len(v) != 1 {
				s.Strict("parameter %s is there %d times", name, len(v))
			}
		}
	}
	return got
}

func flatten(into map[string]string, prefix string, doc map[string]any) {
	for name, v := range doc {
		switch v := v.(type) {
		case map[string]any:
			flatten(into, prefix+name+".", v)
		case string:
			into[prefix+name] = v
		default:
			into[prefix+name] = fmt.Sprintf("%T", v)
		}
	}
}

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
	}
	for _, p := range presets {
		if !tested[p] {
			t.Errorf("%s has no row in rows_test.go", p.name)
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
				Protocol: r.protocol,
				New: func(t testing.TB, url string) provider.Provider {
					p := &Provider{preset: r.preset, SiteKey: siteKey, SecretKey: secret, VerifyURL: url + "/verify"}
					if err := providertest.Provision(t, p); err != nil {
						t.Fatal(err)
					}
					return p
				},
				Fields:    r.fields(r.goodToken()),
				Secrets:   []string{secret},
				Classes:   r.classes,
				RetrySafe: r.preset.ask.idempotency != "",
			}.Run(t)
		})
	}
}

// TestAnswers asks every provider's every code, and the answers that careless
// code takes for a pass.
func TestAnswers(t *testing.T) {
	for _, r := range rows {
		t.Run(r.preset.name, func(t *testing.T) {
			for code := range r.preset.meanings {
				if _, ok := r.codes[code]; !ok {
					t.Errorf("the code %q is not tested", code)
				}
			}
			var status int
			var body string
			s := providertest.Serve(t, func(s *providertest.Server) providertest.Answerer {
				return func(c providertest.Call) (int, string) { r.strict(s, c); return status, body }
			})
			p := r.load(t, s.URL())
			try := func(what, want string) {
				want, probed, differs := strings.Cut(want, "/")
				if got := r.ask(t, p, r.goodToken()); got != want {
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
			for code, want := range r.codes {
				status, body = r.refuse(code)
				try(code, want)
			}
			for answer, want := range r.answers {
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
func TestParameterInjection(t *testing.T) {
	for _, r := range rows {
		t.Run(r.preset.name, func(t *testing.T) {
			s := providertest.Serve(t, r.protocol)
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

func TestUnsolved(t *testing.T) {
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

func TestLostReply(t *testing.T) {
	r := rows[0]
	s := providertest.Serve(t, r.protocol)
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
		a, err := p.Parse(context.Background(), request, r.fields(r.goodToken()))
		if err != nil {
			t.Fatal(r.preset.name, err)
		}
		b, _ := p.Parse(context.Background(), request, r.fields(r.goodToken()))
		if a.Key != b.Key || len(a.Key) != 64 || strings.Contains(a.Key, r.goodToken()) {
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
