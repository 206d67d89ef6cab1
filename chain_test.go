package captcha

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// fakeProvider is a provider over the network, without the network.
type fakeProvider struct {
	Account string `json:"account,omitempty"`
}

// fakeWorld is what the fake providers of all configs talk to.
var fakeWorld = struct {
	sync.Mutex
	err      error // of verifications
	probe    error
	verdict  provider.Verdict
	verified int
	probed   int
}{}

func world(t *testing.T, verify, probe error, verdict provider.Verdict) {
	t.Helper()
	fakeWorld.Lock()
	defer fakeWorld.Unlock()
	fakeWorld.err, fakeWorld.probe, fakeWorld.verdict = verify, probe, verdict
	fakeWorld.verified, fakeWorld.probed = 0, 0
}

func worldCalls() (verified, probed int) {
	fakeWorld.Lock()
	defer fakeWorld.Unlock()
	return fakeWorld.verified, fakeWorld.probed
}

func init() { caddy.RegisterModule(fakeProvider{}) }

func (fakeProvider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.providers.fake", New: func() caddy.Module { return new(fakeProvider) }}
}

func (f *fakeProvider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for d.NextBlock(0) {
		if d.Val() != "account" || !d.AllArgs(&f.Account) {
			return d.ArgErr()
		}
	}
	return nil
}

func (*fakeProvider) Widget() provider.Widget {
	return provider.Widget{SiteKey: "key", Script: "https://widget.test/api.js", Markup: `<div class="fake"></div>`,
		CSP: map[string][]string{"script-src": {"https://widget.test"}}}
}

func (*fakeProvider) Fields() []string { return []string{"fake-token"} }

func (*fakeProvider) Parse(_ context.Context, _ provider.Request, fields map[string]string) (provider.Token, error) {
	if fields["fake-token"] == "" {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "empty")
	}
	return provider.Token{Key: "fake:" + fields["fake-token"], Expires: time.Now().Add(time.Minute), Fields: fields}, nil
}

func (*fakeProvider) Verify(context.Context, provider.Request, provider.Token) (provider.Verdict, error) {
	fakeWorld.Lock()
	defer fakeWorld.Unlock()
	fakeWorld.verified++
	return fakeWorld.verdict, fakeWorld.err
}

func (*fakeProvider) Probe(context.Context) error {
	fakeWorld.Lock()
	defer fakeWorld.Unlock()
	fakeWorld.probed++
	return fakeWorld.probe
}

var (
	unavailable = &provider.Fault{Class: provider.Unavailable, Err: errors.New("connection refused")}
	wrongKey    = &provider.Fault{Class: provider.Misconfigured, Err: errors.New("bad secret")}
	quotaSpent  = &provider.Fault{Class: provider.Throttled, Err: errors.New("429")}
	passed      = provider.Verdict{Outcome: provider.Pass}
)

// chainSite is a site with the fake provider, the given options and an account of
// its own, so that no test shares another's health.
func chainSite(t *testing.T, options string) string {
	return `captcha /login* {
		provider fake {
			account ` + strings.ReplaceAll(t.Name(), "/", "-") + `
		}
		fallback pow {
			difficulty 1000
		}
		bypass_check passive {
			fails 1
			passes 1
		}
		` + options + `
	}
	reverse_proxy {app}`
}

func (e *edge) fake(token string) reply {
	e.t.Helper()
	return e.post("/login", formType, url.Values{"fake-token": {token}}.Encode())
}

func TestOutageStepsDownToTheFallbackD84(t *testing.T) {
	e := serve(t, chainSite(t, "clearance 1h"))
	world(t, nil, nil, passed)
	early := e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")
	if !strings.Contains(string(early.Captcha), `"provider":"fake"`) {
		t.Fatalf("%s", early.Captcha)
	}
	r := e.fake("first")
	if s := e.wantForwarded(r); s.Header.Get(headerProvider) != "fake" || len(r.Cookies()) != 1 {
		t.Errorf("the app was told %v, cookies %v", s.Header, r.Cookies())
	}

	// the outage begins: the request in flight waits for the probe's word
	world(t, unavailable, unavailable, provider.Verdict{})
	page := e.browse("same-origin", "/login", formType, "fake-token=second&comment=precious")
	if page.StatusCode != 403 || !strings.Contains(string(page.body), `name="altcha"`) {
		t.Fatalf("%s %.300s", page.Status, page.body)
	}
	if verified, _ := worldCalls(); verified != 1 {
		t.Errorf("%d verifications, want 1", verified)
	}
	// after that nobody asks the provider (promise 7)
	p := e.wantProblem(e.fake("third"), 403, "provider-unreachable")
	token := solveIn(t, p.Captcha)
	if verified, _ := worldCalls(); verified != 1 {
		t.Errorf("%d verifications in a known outage", verified)
	}
	r = e.post("/login", formType, "altcha="+url.QueryEscape(token))
	if s := e.wantForwarded(r); s.Header.Get(headerProvider) != "pow" || s.Header.Get(headerStatus) != "passed" || len(r.Cookies()) != 0 {
		t.Errorf("the app was told %v, cookies %v", s.Header, r.Cookies())
	}
	s := e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
	sameBytes(t, s.Body, "fake-token=second&comment=precious")
	late := e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")

	// it ends: the primary's challenge again, its unspent token counts, and the
	// fallback's proof still does, for the grace
	world(t, nil, nil, passed)
	l := e.healthOf(t)
	<-l.confirm()
	p = e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")
	if !strings.Contains(string(p.Captcha), `"provider":"fake"`) {
		t.Errorf("%s", p.Captcha)
	}
	e.wantForwarded(e.fake("second"))
	e.wantForwarded(e.post("/login", formType, "altcha="+url.QueryEscape(solveIn(t, late.Captcha))))
	if o := l.overview(time.Now()).outages; len(o) != 1 || o[0].FailedOver == 0 || o[0].End.IsZero() {
		t.Errorf("outages %+v", o)
	}
}

func (e *edge) healthOf(t *testing.T) *health {
	t.Helper()
	var found *health
	healths.Range(func(key, value any) bool {
		if strings.Contains(key.(string), strings.ReplaceAll(t.Name(), "/", "-")) {
			found = value.(*health)
		}
		return true
	})
	if found == nil {
		t.Fatal("no health")
	}
	return found
}

// Promise 4: nobody can pick the easy provider.
func TestFallbackProofWithoutAnOutageIsRefusedD49(t *testing.T) {
	e := serve(t, small)
	primaryProof := e.token("/login") // of a site where pow is the primary
	world(t, nil, nil, passed)
	e.load("", chainSite(t, ""))
	e.wantProblem(e.form("/login", primaryProof), 403, "token-invalid")

	world(t, unavailable, unavailable, provider.Verdict{})
	p := e.wantProblem(e.fake("x"), 403, "provider-unreachable")
	proof := solveIn(t, p.Captcha)
	world(t, nil, nil, passed)
	// the same proof at another primary of the same host
	other := strings.Replace(chainSite(t, ""), "account ", "account other-", 1)
	e.load("", other)
	e.wantProblem(e.form("/login", proof), 403, "token-invalid")
}

func TestUnconfirmedFaultsNeverOpenD36D37(t *testing.T) { // promise 3, D-36, D-37
	e := serve(t, chainSite(t, `failover {
			unreachable allow
		}`))
	world(t, unavailable, nil, provider.Verdict{}) // verification fails, the probe is good
	for i := range 20 {
		e.wantProblem(e.fake("token"+string(rune('a'+i))), 403, "try-again")
	}
	if e.healthOf(t).standing(time.Now()).down {
		t.Error("verifications alone made an outage")
	}
	world(t, &provider.Fault{Class: provider.Unavailable, Err: errors.New("reset"), Again: true}, nil, provider.Verdict{})
	e.wantProblem(e.fake("again"), 403, "try-again")
	if verified, _ := worldCalls(); verified != 2 {
		t.Errorf("%d verifications, want one more where it is safe", verified)
	}
	// the token met no verdict: it is not spent
	world(t, nil, nil, passed)
	e.wantForwarded(e.fake("again"))
}

func TestAllowForwardsWithOrWithoutToken(t *testing.T) {
	e := serve(t, chainSite(t, `failover {
			unreachable allow
		}`))
	world(t, unavailable, unavailable, provider.Verdict{})
	page := e.browse("same-origin", "/login", "text/plain", "precious") // from before the outage
	s := e.wantForwarded(e.fake("a"))
	if s.Header.Get(headerStatus) != "failover" || s.Header.Get(headerReason) != "provider-unreachable" {
		t.Errorf("the app was told %v", s.Header)
	}
	e.wantForwarded(e.post("/login", formType, "no=token"))
	// a page that is open brings its form back whole
	r := e.browse("same-origin", "/login", formType, "fake-token=b&captcha-seal="+sealIn(t, page))
	sameBytes(t, e.wantForwarded(r).Body, "precious")
}

func TestDenyIsFinal(t *testing.T) {
	e := serve(t, chainSite(t, `failover {
			unreachable deny
		}`))
	world(t, unavailable, unavailable, provider.Verdict{})
	r := e.fake("a")
	p := e.wantProblem(r, 503, "provider-unreachable")
	if len(p.Captcha) != 0 || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", r.body, r.Header)
	}
}

func TestSituationsOfOneRequest(t *testing.T) {
	for _, c := range []struct {
		name, options string
		err, probe    error
		verdict       provider.Verdict
		status        int
		reason        string
	}{
		{"wrong key", "", wrongKey, wrongKey, provider.Verdict{}, 503, "misconfigured"},
		{"D-42 a token that makes it look so", "", wrongKey, nil, provider.Verdict{}, 403, "try-again"},
		{"D-39 quota", "", quotaSpent, nil, provider.Verdict{}, 403, "throttled"},
		{"D-39 quota, no fallback", "failover {\n\t\t\tthrottled deny\n\t\t}", quotaSpent, nil, provider.Verdict{}, 503, "throttled"},
		{"client's word", "", nil, nil, provider.Verdict{Outcome: provider.ClientReported}, 403, "client-reported-outage"},
		{"client's word, denied", "failover {\n\t\t\tclient_reported deny\n\t\t}", nil, nil, provider.Verdict{Outcome: provider.ClientReported}, 403, "client-reported-outage"},
		{"provider's failover", "", nil, nil, provider.Verdict{Outcome: provider.ProviderFailover}, 200, ""},
		{"provider's failover, denied", "failover {\n\t\t\tprovider_failover deny\n\t\t}", nil, nil, provider.Verdict{Outcome: provider.ProviderFailover}, 503, "provider-failover"},
		{"a verdict of nothing", "", nil, nil, provider.Verdict{Reason: provider.TokenInvalid}, 403, "token-invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, chainSite(t, c.options))
			world(t, c.err, c.probe, c.verdict)
			r := e.fake("a")
			if c.status == 200 {
				if s := e.wantForwarded(r); s.Header.Get(headerStatus) != "failover" {
					t.Errorf("the app was told %v", s.Header)
				}
				e.wantProblem(e.fake("a"), 403, "token-duplicate")
				return
			}
			e.wantProblem(r, c.status, c.reason)
		})
	}
}

func TestRequestModeAsksBeforeUse(t *testing.T) {
	e := serve(t, strings.Replace(chainSite(t, ""), "passive", "request 5s", 1))
	world(t, nil, unavailable, passed)
	e.wantProblem(e.fake("a"), 403, "provider-unreachable")
	if verified, probed := worldCalls(); verified != 0 || probed == 0 {
		t.Errorf("%d verifications, %d probes", verified, probed)
	}
}

func TestOutageOutlivesAReload(t *testing.T) { // promise 12
	e := serve(t, chainSite(t, ""))
	world(t, unavailable, unavailable, provider.Verdict{})
	e.wantProblem(e.fake("a"), 403, "provider-unreachable")
	for i := range 3 {
		e.load("", chainSite(t, "")+"\n\theader X-Reload "+string(rune('0'+i)))
		e.wantProblem(e.fake("b"), 403, "provider-unreachable")
	}
	if verified, _ := worldCalls(); verified != 1 {
		t.Errorf("%d verifications", verified)
	}
	if n, _ := healths.References(e.healthKey(t)); n != 1 {
		t.Errorf("%d references to the health", n)
	}
}

func (e *edge) healthKey(t *testing.T) (found string) {
	healths.Range(func(key, _ any) bool {
		if strings.Contains(key.(string), t.Name()) {
			found = key.(string)
		}
		return true
	})
	return found
}

// Two directives share a provider, and one of them never steps down: what the other
// one's fallback has given out must not open it.
func TestProofOfAnotherDirectivesFallbackD126(t *testing.T) {
	for _, c := range []struct {
		name, lenient, strict string
		err, probe            error
		status                int
		reason                string
	}{
		{"unreachable", "unreachable fallback", "unreachable deny", unavailable, unavailable, 503, "provider-unreachable"},
		{"throttled", "throttled fallback", "throttled deny", quotaSpent, quotaSpent, 503, "throttled"},
		{"misconfigured", "misconfigured fallback", "misconfigured deny", wrongKey, wrongKey, 503, "misconfigured"},
		{"widget_blocked", "widget_blocked fallback", "widget_blocked deny", nil, nil, 403, "token-invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lenient := chainSite(t, "failover {\n"+c.lenient+"\n}")
			strict := strings.Replace(chainSite(t, "failover {\n"+c.strict+"\n}"), "/login*", "/strict*", 1)
			strict, _, _ = strings.Cut(strict, "\treverse_proxy")
			e := serve(t, strict+lenient)
			world(t, c.err, c.probe, passed)
			form := "fake-token=a"
			if c.err == nil {
				form = "captcha-blocked=1&captcha-seal=" + sealIn(t, e.browse("same-origin", "/login", formType, "a=1"))
			}
			p := e.post("/login", formType, form, "Sec-Fetch-Site", "same-origin").problem(t)
			proof := solveIn(t, p.Captcha)
			e.wantProblem(e.form("/strict", proof), c.status, c.reason)
			e.wantForwarded(e.form("/login", proof))
		})
	}
}

// Nor does a directive in mode signal, which lets everything on, decide for one that
// enforces another policy.
func TestProofThatSignalTookD126(t *testing.T) {
	signal, _, _ := strings.Cut(chainSite(t, "mode signal"), "\treverse_proxy")
	for options, want := range map[string]int{"": 200, "failover {\nunreachable deny\n}": 503, "fallback off": 503} {
		enforce := chainSite(t, options)
		if options == "fallback off" {
			enforce = strings.Replace(enforce, "fallback pow {\n\t\t\tdifficulty 1000\n\t\t}", "", 1)
		}
		e := serve(t, "route {\n"+signal+enforce+"\n}")
		world(t, unavailable, unavailable, provider.Verdict{})
		e.fake("a") // the outage begins
		if r := e.form("/login", e.token("/login")); r.StatusCode != want {
			t.Errorf("%q: %s %s, want %d", options, r.Status, r.body, want)
		}
	}
}

// What passes where test keys are allowed may be the provider's published token.
func TestTestKeysOfSignalD126(t *testing.T) {
	for options, want := range map[string]int{"": 403, "allow_test_keys": 200} {
		signal, _, _ := strings.Cut(chainSite(t, "mode signal\nallow_test_keys"), "\treverse_proxy")
		e := serve(t, "route {\n"+signal+chainSite(t, options)+"\n}")
		world(t, nil, nil, passed)
		if r := e.fake("a" + options); r.StatusCode != want {
			t.Errorf("%q: %s %s, want %d", options, r.Status, r.body, want)
		}
	}
}
