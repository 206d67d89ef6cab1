package captcha

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// Two tokens in two places: the query's is none.
func TestTokenInQueryAndBodyD02(t *testing.T) {
	e := serve(t, small)
	good, other := e.token("/login"), e.token("/login")
	e.wantProblem(e.form("/login?altcha="+url.QueryEscape(good), "forged"), 403, "token-invalid")
	e.wantForwarded(e.form("/login?altcha="+url.QueryEscape(other), good))
	e.wantForwarded(e.form("/login", other)) // it was not spent
}

// hCaptcha's form has reCAPTCHA's field too. Only its own counts.
func TestFieldOfAnotherProviderD05(t *testing.T) {
	s := providertest.Serve(t, func(*providertest.Server) providertest.Answerer {
		return func(c providertest.Call) (int, string) {
			form, _ := url.ParseQuery(string(c.Body))
			return 200, fmt.Sprintf(`{"success":%t,"hostname":"127.0.0.1"}`, form.Get("response") == "P1_good-token")
		}
	})
	e := serve(t, "captcha {\nprovider hcaptcha {\nsite_key 11111111-2222-4333-8444-555555555555\nsecret_key 0xsecret\nverify_url "+s.URL()+"/siteverify\n}\n}\nreverse_proxy {app}")
	both := func(h, g string) string {
		return url.Values{"g-recaptcha-response": {g}, "h-captcha-response": {h}}.Encode()
	}
	e.wantProblem(e.post("/", formType, both("P1_bad-token", "P1_good-token")), 403, "token-invalid")
	e.wantProblem(e.post("/", formType, url.Values{"g-recaptcha-response": {"P1_good-token"}}.Encode()), 403, "token-missing")
	e.wantForwarded(e.post("/", formType, both("P1_good-token", "P1_bad-token")))
}

// Tokens that cannot be any are judged without asking anybody.
func TestImpossibleTokensAskNobodyD21(t *testing.T) {
	g := newGateway(t, "turnstile")
	e := serve(t, "captcha {\n"+g.block(false)+"\n}\nreverse_proxy {app}")
	for name, c := range map[string]struct {
		token  string
		status int
		reason string
	}{
		"D-21 longer than any":    {strings.Repeat("x", maxTokenLen+1), 400, "bad-request"},
		"D-21 a line end":         {"0.a\r\nb", 403, "token-invalid"},
		"D-21 a NUL":              {"0.a\x00b", 403, "token-invalid"},
		"D-21 beyond ASCII":       {"0.ä", 403, "token-invalid"},
		"D-22 spaces":             {" \t ", 403, "token-invalid"},
		"D-21 longer than theirs": {"0." + strings.Repeat("x", 4096), 403, "token-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			e.t = t
			e.wantProblem(e.post("/", formType, url.Values{"cf-turnstile-response": {c.token}}.Encode()), c.status, c.reason)
		})
	}
	if n := g.count(callVerify, 0); n > 0 {
		t.Errorf("%d calls for tokens that cannot be any", n)
	}
}

// Every spelling of the path is protected, or the app does not know it.
func TestPathsD24(t *testing.T) {
	mux := http.NewServeMux() // cleans and redirects, as standard apps do
	var entered atomic.Int32
	mux.HandleFunc("POST /login", func(http.ResponseWriter, *http.Request) { entered.Add(1) })
	mux.HandleFunc("POST /login/", func(http.ResponseWriter, *http.Request) { entered.Add(1) })
	e := serve(t, strings.ReplaceAll(small, "{app}", newStrictApp(t, mux)))
	for _, path := range []string{
		"/login", "//login", "///login", "/./login", "/x/../login", "/x/./../login", "/LOGIN", "/Login", "/login/", "/login//",
		"/login.php", "/login;x=1", "/login?x", "/%6cogin", "/%6Cogin", "/login%2f", "/login%00", "/login%20", "/login%2e", "/login.",
		"/%2flogin", "/x%2f..%2flogin", "/x/%2e%2e/login", "/%2e/login", "/%256cogin", "/login%252f", `/\login`, `/x\..\login`, "/%5clogin",
		"/lo%67in/../login", "/login/../login", "/login/..%2flogin", "/;x/login", "/..;/login", "/x/..;/login", "/%ef%bd%8cogin", "/ſlogin",
		"/lo%C5%BFgin", "http://127.0.0.1/login", "login", "/login#x", "/\tlogin", "/login\x7f",
	} {
		for range 2 { // the second time as POST after a redirect would be
			text := "POST " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
			if got := e.wire(t, text, false); len(got) == 0 || got[0] == 200 || entered.Load() > 0 {
				t.Errorf("%q: answered %v, entered %d times", path, got, entered.Load())
			}
		}
	}
}

// newStrictApp serves h and returns its address.
func newStrictApp(t *testing.T, h http.Handler) string {
	a := newApp(t)
	a.Config.Handler = h
	return strings.TrimPrefix(a.URL, "http://")
}

// A GET is no way in: it cannot be protected, and it is the app's to be safe.
func TestSafeMethodsCannotBeProtectedD25(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
		if _, err := adaptText("example.com {\n\tcaptcha {\n\t\tmethods POST " + method + "\n\t}\n}\n"); err == nil || !strings.Contains(err.Error(), method) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// A safe method with a body stays what it is, and says nothing of a check.
func TestSafeMethodsWithABodyD26(t *testing.T) {
	e := serve(t, small)
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		e.do(e.request(method, "/login", formType, "altcha=x&a=1", headerStatus, "passed", "Access-Control-Request-Method", "POST"))
		if s := e.app.one(t); s.Method != method || s.Header.Get(headerStatus) != "" || string(s.Body) != "altcha=x&a=1" {
			t.Errorf("the app saw %s with %q: %v", s.Method, s.Body, s.Header)
		}
	}
}

// Nothing that a client says of itself spares it the check.
func TestNothingIsExemptD34(t *testing.T) {
	e := serve(t, small)
	for _, header := range [][2]string{
		{"User-Agent", "UptimeRobot/2.0"}, {"User-Agent", "Googlebot/2.1 (+http://www.google.com/bot.html)"}, {"Accept", "application/json"},
		{"Referer", "http://127.0.0.1/login"}, {"X-Requested-With", "XMLHttpRequest"}, {"X-Forwarded-For", "127.0.0.1"}, {"X-Real-Ip", "127.0.0.1"},
		{"Forwarded", "for=127.0.0.1"}, {"Authorization", "Bearer x"}, {"Sec-Fetch-Mode", "cors"}, {"Purpose", "prefetch"}, {"Early-Data", "0"},
		{"X-Captcha-Status", "passed"}, {"Captcha-Verdict", "pass"}, {"Captcha-Token", ""}, {"Captcha-Request", "no"}, {"Cookie", "captcha=1; __Host-captcha=1"},
		{"X-Original-Url", "/other"}, {"X-Rewrite-Url", "/other"}, {"X-Original-Method", "GET"}, {"X-Http-Method-Override", "GET"},
	} {
		t.Run("D-34 "+header[0]+" "+header[1], func(t *testing.T) {
			e.t = t
			e.wantProblem(e.post("/login", formType, "a=1", header[0], header[1]), 403, "token-missing")
		})
	}
}

// What is said of the visitor in front of us counts only from a trusted proxy.
func TestForwardedHeadersD32D33(t *testing.T) {
	const site = `captcha /login* {
		clearance 1h {
			bind ip
		}
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`
	e := serve(t, site)
	r := e.form("/login", e.token("/login"), "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "elsewhere.test")
	e.wantForwarded(r)
	c := r.Cookies()[0]
	if c.Secure {
		t.Error("the client's word made it https")
	}
	cookie := c.Name + "=" + c.Value
	// the address is the connection's, whatever a header says
	e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", cookie, "X-Forwarded-For", "198.51.100.1", "X-Real-Ip", "198.51.100.1"))
	// where the proxy is trusted it is what the proxy says
	e.load("servers {\ntrusted_proxies static 127.0.0.1\n}", site)
	e.wantProblem(e.post("/login", formType, "a=1", "Cookie", cookie, "X-Forwarded-For", "198.51.100.1"), 403, "token-missing")
	// and no header moves a proof to another host
	token := e.token("/login")
	req := e.request("POST", "/login", formType, form("altcha", token), "X-Forwarded-Host", "127.0.0.1")
	req.Host = fmt.Sprintf("localhost:%d", e.port)
	e.wantProblem(e.do(req), 403, "token-invalid")
}

// A directive that is written behind the proxy stands in front of it.
func TestOrderD122(t *testing.T) {
	e := serve(t, "reverse_proxy {app}\nrespond /x done\ncaptcha "+pow1000)
	for _, path := range []string{"/", "/x"} {
		e.wantProblem(e.post(path, formType, "a=1"), 403, "token-missing")
	}
}

// testStore is a store that remembers, or that has gone away, and counts what it
// is asked to remember.
type testStore struct {
	Gone bool `json:"gone,omitempty"`
}

var testClaims struct {
	sync.Mutex
	keys map[string]bool
}

func init() { caddy.RegisterModule(testStore{}) }

func (testStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "captcha.stores.test", New: func() caddy.Module { return new(testStore) }}
}

func (s *testStore) Claim(_ context.Context, key string, _ time.Time) (bool, error) {
	testClaims.Lock()
	defer testClaims.Unlock()
	if s.Gone {
		return true, errStoreGone
	}
	spent := testClaims.keys[key]
	if !strings.HasPrefix(key, "ping-") { // which asks whether the store is there
		testClaims.keys[key] = true
	}
	return !spent, nil
}

func (s *testStore) Release(_ context.Context, key string) error {
	testClaims.Lock()
	defer testClaims.Unlock()
	delete(testClaims.keys, key)
	return nil
}

func (s *testStore) Count(context.Context, string, time.Time) (int64, error) { return 1, errStoreGone }
func (s *testStore) Since() time.Time                                        { return time.Time{} }

var errStoreGone = errors.New("gone")

// loadWithStore runs a site with the test store, which has forgotten everything.
func (e *edge) loadWithStore(site, options string) {
	e.t.Helper()
	testClaims.Lock()
	testClaims.keys = make(map[string]bool)
	testClaims.Unlock()
	config := strings.Replace(string(e.adapt("", site)), `"apps":{`, `"apps":{"captcha":{"store":{"name":"test"`+options+`}},`, 1)
	if err := caddy.Load([]byte(config), true); err != nil {
		e.t.Fatal(err)
	}
	e.loads++
	e.http.CloseIdleConnections()
}

// claims is how many tokens the test store remembers.
func claims() int {
	testClaims.Lock()
	defer testClaims.Unlock()
	return len(testClaims.keys)
}

// Where nobody knows which tokens are spent, none counts.
func TestStoreOutageD117(t *testing.T) {
	e := serve(t, redCleared)
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	cookie := r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
	e.loadWithStore(strings.Replace(redCleared, "clearance 1h", "clearance 1h {\nuses 5\n}", 1), `,"gone":true},"store_failure":"deny","keys":{`)
	e.wantProblem(e.form("/login", e.token("/login")), 503, "try-again")
	e.wantProblem(e.post("/login", formType, "a=1", "Cookie", cookie), 403, "token-missing")
}

// A token that a client sent and did not wait for is spent.
func TestClientThatLeavesItsTokenD101(t *testing.T) {
	g := newGateway(t, "turnstile")
	asked, free := make(chan struct{}, 10), make(chan struct{})
	g.set(func(_ providertest.Call, what int) (int, string) {
		if what == callVerify {
			asked <- struct{}{}
			<-free
		}
		return 0, ""
	})
	e := serve(t, "captcha {\n"+g.block(false)+"\n}\nreverse_proxy {app}")
	body := url.Values{"cf-turnstile-response": {g.issue("0." + randomHex(20))}}.Encode()
	conn := e.dial(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body))
	<-asked
	_ = conn.Close()
	e.wantProblem(e.post("/", formType, body), 403, "token-duplicate")
	close(free)
	for range 20 {
		if r := e.post("/", formType, body); r.StatusCode != 403 {
			t.Fatalf("%s: one token was judged twice", r.Status)
		}
	}
	if n := g.count(callVerify, 0); n != 1 {
		t.Errorf("%d verifications", n)
	}
}
