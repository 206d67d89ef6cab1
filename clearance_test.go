package captcha

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const withClearance = `captcha /a* {
		provider pow {
			difficulty 1000
		}
		clearance 1h {
			uses 2
			scope shop
		}
	}
	captcha /b* {
		provider pow {
			difficulty 1000
		}
		clearance 1h {
			scope shop
		}
	}
	captcha /c* {
		provider pow {
			difficulty 1000
		}
		clearance 1h
	}
	reverse_proxy {app}`

func TestClearanceSparesTheNextCaptcha(t *testing.T) {
	e := serve(t, withClearance)
	r := e.form("/a", e.token("/a"))
	e.wantForwarded(r)
	cookies := r.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	c := cookies[0]
	if c.Name != "captcha-shop" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 3600 {
		t.Errorf("cookie %v", c)
	}
	cookie := c.Name + "=" + c.Value
	for range 2 {
		if s := e.wantForwarded(e.post("/a", formType, "x=1", "Cookie", cookie)); s.Header.Get(headerStatus) != "cleared" {
			t.Errorf("the app was told %q", s.Header.Get(headerStatus))
		}
	}
	e.wantProblem(e.post("/a", formType, "x=1", "Cookie", cookie), 403, "token-missing")     // used up
	e.wantForwarded(e.post("/b", formType, "x=1", "Cookie", cookie))                         // the same scope, no limit
	e.wantProblem(e.post("/c", formType, "x=1", "Cookie", cookie), 403, "token-missing")     // another scope
	e.wantProblem(e.post("/b", formType, "x=1", "Cookie", cookie+"x"), 403, "token-missing") // D-83
	e.wantProblem(e.post("/b", formType, "x=1", "Cookie", "captcha-shop="+strings.Repeat("a", 4000)), 403, "token-missing")
}

func TestNoClearanceWithoutTheDirective(t *testing.T) {
	e := serve(t, small)
	if r := e.form("/login", e.token("/login")); len(r.Cookies()) != 0 {
		t.Errorf("cookies %v", r.Cookies())
	}
}

func TestClearanceIsBoundD82(t *testing.T) { // D-82
	h := &Handler{scope: "shop", cookie: defaultCookie, Clearance: &Clearance{Bind: bindIP}, passes: testRing(t).Signer("clearance")}
	from := func(host, ip string) *http.Request {
		r := httptest.NewRequest("POST", "https://"+host+"/", nil)
		vars := map[string]any{caddyhttp.ClientIPVarKey: ip}
		return r.WithContext(contextWithVars(r, vars))
	}
	now := time.Now()
	r := from("example.com", "192.0.2.7")
	value, err := h.newPass(r.Context(), h.bindClearance(r), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, ip string
		at       time.Duration
		want     bool
	}{
		{"example.com", "192.0.2.7", 0, true},
		{"EXAMPLE.com:443", "192.0.2.200", 0, true},
		{"example.com", "192.0.3.7", 0, false},
		{"example.com", "2001:db8::1", 0, false},
		{"example.com", "", 0, false},
		{"example.com", "::ffff:192.0.2.9", 0, true},
		{"www.example.com", "192.0.2.7", 0, false},
		{"example.com", "192.0.2.7", 59 * time.Minute, true},
		{"example.com", "192.0.2.7", time.Hour, false},
	} {
		r := from(c.host, c.ip)
		if _, ok := h.openPass(r.Context(), value, h.bindClearance(r), now.Add(c.at)); ok != c.want {
			t.Errorf("%s from %s after %s: %v, want %v", c.host, c.ip, c.at, ok, c.want)
		}
	}
}

func TestNetworkD98(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
	} {
		if got := network(netip.MustParseAddr(ip)).String(); got != want {
			t.Errorf("network(%s) = %s, want %s", ip, got, want)
		}
	}
}

func TestAtMostFourOneTimeClearances(t *testing.T) {
	h := &Handler{scope: "s", cookie: defaultCookie, passes: testRing(t).Signer("clearance")}
	r := httptest.NewRequest("POST", "https://example.com/x", nil)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		r.AddCookie(&http.Cookie{Name: "__Host-captcha-once-" + n, Value: "v"})
	}
	w := httptest.NewRecorder()
	if err := h.grantOnce(w, r, &carried{sealed: sealed{Method: "POST", From: elsewhere}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	kept := 5
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			kept--
		} else {
			kept++
		}
	}
	if kept != 4 {
		t.Errorf("%d are kept, want 4", kept)
	}
}

func TestSecurePrefixIsForHTTPSAlone(t *testing.T) {
	for name, want := range map[string]string{"__Host-a": "a", "__Secure-a": "a", "__host-a": "a", "__SECURE-a": "a", "a": "a", "__Host": "__Host", "": ""} {
		if got := withoutSecurePrefix(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestCORS(t *testing.T) {
	e := serve(t, `captcha {
		cors https://app.test http://other.test:8080 capacitor://localhost http://[::1]:8080
		provider pow {
			difficulty 1000
		}
	}
	@preflight method OPTIONS
	handle @preflight {
		header Access-Control-Allow-Origin {header.Origin}
		header Access-Control-Allow-Headers Content-Type
		respond 204
	}
	reverse_proxy {app}`)
	r := e.post("/", formType, "a=1", "Origin", "https://app.test")
	e.wantProblem(r, 403, "token-missing")
	if h := r.Header; h.Get("Access-Control-Allow-Origin") != "https://app.test" || h.Get("Access-Control-Allow-Credentials") != "true" ||
		h.Get("Access-Control-Expose-Headers") != "Captcha-Required, Retry-After" || h.Get("Vary") != "Origin" {
		t.Errorf("headers %v", h)
	}
	if got := e.post("/", formType, "a=1", "Origin", "capacitor://localhost").Header.Get("Access-Control-Allow-Origin"); got != "capacitor://localhost" {
		t.Errorf("an app in a web view is granted %q", got)
	}
	for _, origin := range []string{"https://evil.test", "https://app.test.evil.test", "null", "http://app.test"} {
		r := e.post("/", formType, "a=1", "Origin", origin)
		if h := r.Header; h.Get("Access-Control-Allow-Origin") != "" || h.Get("Vary") != "Origin" {
			t.Errorf("%s: headers %v", origin, h)
		}
	}
	preflight := func(origin string) http.Header {
		return e.do(e.request("OPTIONS", "/", "", "", "Origin", origin, "Access-Control-Request-Method", "POST")).Header
	}
	if got := preflight("https://app.test").Get("Access-Control-Allow-Headers"); got != "Content-Type, Captcha-Token, Captcha-Request" {
		t.Errorf("granted %q", got)
	}
	if got := preflight("https://evil.test").Get("Access-Control-Allow-Headers"); got != "Content-Type" {
		t.Errorf("granted %q to another origin", got)
	}
}

func TestPuzzleOnRequest(t *testing.T) {
	e := serve(t, small)
	r := e.post("/login", "", "", "Captcha-Request", "challenge")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" || len(e.app.take()) != 0 {
		t.Errorf("%s %v", r.Status, r.Header)
	}
	if strings.Contains(string(r.body), `\u0026`) || !strings.Contains(string(r.body), `"provider":"pow","fields":["altcha"],"challenge":{"algorithm":"SHA-256"`) {
		t.Errorf("%s", r.body)
	}
	// with a body it is a request like any other
	e.wantProblem(e.post("/login", formType, "a=1", "Captcha-Request", "challenge"), 403, "token-missing")
	e.wantProblem(e.post("/login", formType, "", "Captcha-Request", "other"), 403, "token-missing")
	req := e.request("POST", "/login", formType, "", "Captcha-Request", "challenge")
	req.Body, req.ContentLength = http.NoBody, -1
	if r := e.do(req); r.StatusCode != 200 {
		t.Errorf("an empty chunked body: %s", r.Status)
	}
	req = e.request("POST", "/login", formType, "", "Captcha-Request", "challenge")
	body := "altcha=" + url.QueryEscape(e.token("/login"))
	req.Body, req.ContentLength = readCloser(body), -1
	sameBytes(t, e.wantForwarded(e.do(req)).Body, body)
}
