package captcha

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// browser are the headers of a form post by a page of the given provenance.
func browser(from string) []string {
	h := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-User", "?1", "Accept", "text/html"}
	switch from {
	case "same-origin":
		return append(h, "Sec-Fetch-Site", "same-origin", "Origin", "{origin}", "Referer", "{origin}/form")
	case "same-site":
		return append(h, "Sec-Fetch-Site", "same-site", "Origin", "https://www.example.test", "Referer", "https://www.example.test/")
	case "cross-site":
		return append(h, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	}
	return h
}

func (e *edge) browse(from, path, contentType, body string, more ...string) reply {
	e.t.Helper()
	headers := append(browser(from), more...)
	for i := range headers {
		headers[i] = strings.ReplaceAll(headers[i], "{origin}", e.url)
	}
	return e.post(path, contentType, body, headers...)
}

// solvePage posts what the page's script posts.
func (e *edge) solvePage(path, seal string, more ...string) reply {
	e.t.Helper()
	body := "altcha=" + url.QueryEscape(e.token(path)) + "&captcha-seal=" + seal
	return e.browse("same-origin", path, formType, body, more...)
}

// Promise 1: a challenged form post reaches the app complete and unchanged.
func TestChallengedFormReachesTheAppUnchangedD78D79(t *testing.T) {
	e := serve(t, small)
	multi, multiType := multipartBody(t, "comment", "grüße", "password", "secret")
	for _, c := range []struct{ name, contentType, body string }{
		{"urlencoded", formType, "a=1&b=%C3%BC&c=+x&&=&d"},
		{"Latin-1", formType + "; charset=iso-8859-1", "name=J%FCrgen&x=\xfc"},
		{"multipart", multiType, multi},
		{"text", "text/plain", "a=b\r\nc=d\r\n"},
		{"binary", "application/octet-stream", strings.Repeat("\x00\xff\r\n", 1000)},
		{"empty", formType, ""},
		{"no type", "", "anything"},
		{"at the limit", "application/octet-stream", strings.Repeat("x", 1<<20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := e.browse("same-origin", "/login/%C3%BC?q=1&q=%20", c.contentType, c.body)
			if page.StatusCode != 403 || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
				t.Fatalf("%s %v", page.Status, page.Header)
			}
			if strings.Contains(string(page.body), "secret") {
				t.Error("the page shows what it carries")
			}
			if n := len(e.app.take()); n != 0 {
				t.Fatalf("%d requests reached the app", n)
			}
			s := e.wantForwarded(e.solvePage("/login/%C3%BC?q=1&q=%20", sealIn(t, page)))
			sameBytes(t, s.Body, c.body)
			h := s.Header
			if s.Method != "POST" || s.URI != "/login/%C3%BC?q=1&q=%20" || s.Length != int64(len(c.body)) || h.Get("Content-Type") != c.contentType {
				t.Errorf("the app saw %s %s, %d bytes of %q", s.Method, s.URI, s.Length, h.Get("Content-Type"))
			}
			if h.Get("Referer") != e.url+"/form" || h.Get("Sec-Fetch-Site") != "same-origin" || h.Get(headerStatus) != "passed" {
				t.Errorf("the app saw headers %v", h)
			}
		})
	}
}

func TestSameSitePostKeepsItsOrigin(t *testing.T) {
	e := serve(t, small)
	page := e.browse("same-site", "/login", formType, "a=1")
	if !strings.Contains(string(page.body), "https://www.example.test") {
		t.Error("the page does not name where the form came from")
	}
	s := e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
	if s.Header.Get("Origin") != "https://www.example.test" || s.Header.Get("Sec-Fetch-Site") != "same-site" {
		t.Errorf("the app saw headers %v", s.Header)
	}
}

func TestFailedTokenKeepsTheForm(t *testing.T) {
	e := serve(t, small)
	page := e.browse("same-origin", "/login", "text/plain", "precious")
	for range 3 { // where it came from travels through every later page
		page = e.browse("same-origin", "/login", formType, "altcha=bm9wZQ%3D%3D&captcha-seal="+sealIn(t, page))
		if page.StatusCode != 403 {
			t.Fatal(page.Status)
		}
	}
	s := e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
	sameBytes(t, s.Body, "precious")
	if s.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("the app saw %v", s.Header)
	}
}

// Promise 8: replay never launders a request.
func TestSealOpensOnlyWhereItMayD77(t *testing.T) {
	e := serve(t, small)
	page := e.browse("same-origin", "/login?a=1", formType, "a=1")
	seal := sealIn(t, page)
	tampered := seal[:len(seal)/2] + string("AB"[bool2int(seal[len(seal)/2] == 'A')]) + seal[len(seal)/2+1:]
	for _, c := range []struct{ name, from, path, seal string }{
		{"posted by another site", "cross-site", "/login?a=1", seal},
		{"posted by a sibling site", "same-site", "/login?a=1", seal},
		{"posted by nobody known", "", "/login?a=1", seal},
		{"tampered", "same-origin", "/login?a=1", tampered},
		{"cut", "same-origin", "/login?a=1", seal[:len(seal)-4]},
		{"empty box", "same-origin", "/login?a=1", "AAAA"},
		{"another path", "same-origin", "/login2?a=1", seal},
		{"another query", "same-origin", "/login?a=2", seal},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + c.seal
			r := e.browse(c.from, c.path, formType, body)
			if r.StatusCode != 400 || len(e.app.take()) != 0 {
				t.Errorf("%s", r.Status)
			}
		})
	}
	t.Run("another method", func(t *testing.T) {
		body := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + seal
		headers := browser("same-origin")
		for i := range headers {
			headers[i] = strings.ReplaceAll(headers[i], "{origin}", e.url)
		}
		if r := e.do(e.request("PUT", "/login?a=1", formType, body, headers...)); r.StatusCode != 400 || len(e.app.take()) != 0 {
			t.Errorf("%s", r.Status)
		}
	})
}

func bool2int(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCrossSitePostIsNeverSubmittedAgainD76(t *testing.T) {
	e := serve(t, small)
	r := e.browse("cross-site", "/login", formType, "transfer=all")
	if r.StatusCode != 403 || strings.Contains(string(r.body), "captcha-seal") {
		t.Errorf("%s: on plain http a form from another site gets no way through: %.500s", r.Status, r.body)
	}
}

// A page with "Referrer-Policy: no-referrer" sends "Origin: null", and on plain http
// browsers send no Sec-Fetch-Site: its visitors must not be locked out.
func TestPlainHTTPFormFromNowhereKnownGetsAOneTimeClearance(t *testing.T) {
	for name, headers := range map[string][]string{
		"Origin: null":               {"Origin", "null"},
		"no header at all":           nil,
		"opened by the visitor":      {"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"},
		"a sibling that hides":       {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Origin", "null"},
		"a word nobody knows so far": {"Sec-Fetch-Site", "lunar", "Sec-Fetch-Mode", "navigate"},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, small)
			page := e.post("/login", formType, "a=1", append([]string{"Accept", "text/html"}, headers...)...)
			text := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + sealIn(t, page)
			r := e.post("/login", formType, text, "Captcha-Redeem", "1", "Origin", e.url)
			if r.StatusCode != 204 || len(r.Cookies()) != 1 {
				t.Fatalf("%s, cookies %v: %s", r.Status, r.Cookies(), r.body)
			}
			c := r.Cookies()[0]
			if c.SameSite != http.SameSiteLaxMode { // browsers want https for None; and another site's post must not have it
				t.Errorf("cookie %v", c)
			}
			sameBytes(t, e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", c.Name+"="+c.Value)).Body, "a=1")
		})
	}
}

func TestPlainHTTPFormFromAnotherSiteGetsNoWayThrough(t *testing.T) {
	for name, headers := range map[string][]string{
		"by its origin":         {"Origin", "https://evil.example"},
		"by its referrer":       {"Referer", "https://evil.example/page"},
		"by the browser's word": {"Origin", "null", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, small).post("/login", formType, "a=1", append([]string{"Accept", "text/html"}, headers...)...)
			if r.StatusCode != 403 || strings.Contains(string(r.body), "captcha-seal") {
				t.Errorf("%s: %.500s", r.Status, r.body)
			}
		})
	}
}

func TestSealExpires(t *testing.T) {
	h := &Handler{scope: "s", sealer: testRing(t).Sealer("seal")}
	r, _ := http.NewRequest("POST", "http://example.com/login", nil)
	now := time.Now()
	c := h.carry(r, now)
	c.body = []byte("body")
	text, err := h.seal(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.open(r, text, now.Add(sealTTL-time.Second)); err != nil || string(got.body) != "body" {
		t.Errorf("%v, %v", err, got)
	}
	if _, err := h.open(r, text, now.Add(sealTTL)); err == nil {
		t.Error("opened after an hour")
	}
	if _, err := h.open(httptest.NewRequest("POST", "http://example.com/other", nil), text, now); err == nil {
		t.Error("opened at another path")
	}
}

func TestTooLargeToCarryGetsAOneTimeClearance(t *testing.T) {
	e := serve(t, `captcha /login* {
		max_replay 1KiB
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`)
	body := "text=" + strings.Repeat("x", 2000)
	page := e.browse("same-origin", "/login?x", formType, body)
	redeem := func(seal string, headers ...string) reply {
		text := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + seal
		return e.post("/login?x", formType, text, append([]string{"Captcha-Redeem", "1"}, headers...)...)
	}
	seal := sealIn(t, page)
	e.wantProblem(redeem(seal, "Sec-Fetch-Site", "cross-site"), 400, "bad-request")
	e.wantProblem(redeem(seal), 400, "bad-request")
	e.wantProblem(redeem("AAAA", "Sec-Fetch-Site", "same-origin"), 400, "bad-request")
	r := redeem(seal, "Origin", e.url)
	if r.StatusCode != 204 || len(r.Cookies()) != 1 {
		t.Fatalf("%s, cookies %v: %s", r.Status, r.Cookies(), r.body)
	}
	c := r.Cookies()[0]
	if !strings.HasPrefix(c.Name, "captcha-once-") || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 120 || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	cookie := c.Name + "=" + c.Value
	e.wantProblem(e.post("/login?y", formType, body, "Cookie", cookie), 403, "token-missing")
	s := e.wantForwarded(e.post("/login?x", formType, body, "Cookie", cookie))
	sameBytes(t, s.Body, body)
	if s.Header.Get(headerStatus) != "cleared" {
		t.Errorf("the app was told %q", s.Header.Get(headerStatus))
	}
	e.wantProblem(e.post("/login?x", formType, body, "Cookie", cookie), 403, "token-missing")
	// a seal without a body cannot be posted as a form
	if r := e.browse("same-origin", "/login?x", formType, "altcha="+url.QueryEscape(e.token("/login"))+"&captcha-seal="+seal); r.StatusCode != 400 {
		t.Error(r.Status)
	}
}

func BenchmarkSeal(b *testing.B) {
	h := &Handler{sealer: testRing(b).Sealer("seal")}
	c := &carried{sealed: sealed{
		Host: "www.example.com", Method: "POST", URI: "/login?next=/account", Scope: "0123456789ab", From: sameOrigin,
		Header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {"https://www.example.com"},
			"Referer": {"https://www.example.com/login"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"},
		},
	}, body: []byte("user=alice&password=correct+horse+battery+staple&remember=1")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.seal(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
