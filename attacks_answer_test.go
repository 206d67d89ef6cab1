package captcha

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Naming somebody's challenge does not spend it: only a solved one is claimed.
func TestJunkSpendsNothingD53D97(t *testing.T) {
	e := serve(t, small)
	e.loadWithStore(small, "")
	token := e.token("/login")
	text, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		junk := strings.Replace(string(text), `"number":`, fmt.Sprintf(`"number":%d`, i+1), 1)
		e.wantProblem(e.form("/login", base64.StdEncoding.EncodeToString([]byte(junk))), 403, "token-invalid")
	}
	if n := claims(); n != 0 {
		t.Errorf("%d claims of what nobody has solved", n)
	}
	e.wantForwarded(e.form("/login", token))
	if n := claims(); n != 1 {
		t.Errorf("%d claims, want the one that passed", n)
	}
}

// Asking for challenges leaves nothing behind.
func TestPuzzlesAreStatelessD110(t *testing.T) {
	e := serve(t, small)
	e.loadWithStore(small, "")
	for range 300 {
		r := e.post("/login", "", "", "Captcha-Request", "challenge")
		if r.StatusCode != 200 || len(r.body) > 2048 || r.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s, %d bytes, %v", r.Status, len(r.body), r.Header)
		}
	}
	e.checkNothingHeld()
	if n := claims(); n != 0 {
		t.Errorf("%d claims", n)
	}
}

// An answer of ours leads nowhere: it has no address in it that a client chose.
func TestNoRedirectsD74D75(t *testing.T) {
	e := serve(t, "captcha "+pow1000+"\nreverse_proxy {app}")
	for _, path := range []string{
		"//evil.test", "///evil.test/%2e%2e", "/%5cevil.test", "/?next=https://evil.test", "/?r=%0d%0aLocation:%20https://evil.test",
		"/%0d%0aSet-Cookie:a=b", `/"><script>alert(1)</script>`, "/?x='onload=alert(1)",
	} {
		req := e.request("POST", "/", formType, `a="><script>alert(2)</script>`, append(browser("same-site"), "Accept-Language", `"><script>`)...)
		if req.URL.Opaque = path; path == "//evil.test" { // which Opaque would make a host
			req.URL.Opaque, req.URL.Path = "", path
		}
		req.Header.Set("Referer", "https://www.example.test/?\"><script>alert(3)</script>")
		req.Header.Set("Origin", `https://www.example.test"><script>alert(4)</script>`)
		r := e.do(req)
		page := string(r.body)
		if r.StatusCode != 403 || r.Header.Get("Location") != "" || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %s %v", path, r.Status, r.Header)
		}
		for _, sign := range []string{"<script>alert", "'onload", "evil.test", " action="} {
			if i := strings.Index(page, sign); i >= 0 {
				t.Errorf("%s: the page holds what the client sent: …%s…", path, page[max(0, i-100):i+50])
			}
		}
	}
}

// No cache keeps an answer of ours.
func TestNoCacheD81(t *testing.T) {
	e := serve(t, small)
	for name, r := range map[string]reply{
		"page":    e.browse("same-origin", "/login", formType, "a=1"),
		"stop":    e.browse("same-origin", "/login", formType, "altcha=a&altcha=b"),
		"problem": e.post("/login", formType, "a=1"),
		"puzzle":  e.post("/login", "", "", "Captcha-Request", "challenge"),
		"redeem":  e.post("/login", formType, "a=1", "Captcha-Redeem", "1"),
	} {
		if cc := r.Header.Get("Cache-Control"); cc != "no-store" || r.Header.Get("Etag") != "" {
			t.Errorf("%s: %s with Cache-Control %q", name, r.Status, cc)
		}
	}
}

// Only what we have signed is a clearance; that a cookie is there means nothing.
func TestForgedClearancesD83(t *testing.T) {
	e := serve(t, redCleared)
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	c := r.Cookies()[0]
	parts := strings.Split(c.Value, ".")
	if len(parts) != 5 {
		t.Fatalf("a clearance of %d parts", len(parts))
	}
	change := func(i int, part string) string {
		all := append([]string(nil), parts...)
		all[i] = part
		return strings.Join(all, ".")
	}
	for name, value := range map[string]string{
		"D-83 empty": "", "D-83 presence": "1", "D-83 alg none": "eyJhbGciOiJub25lIn0.e30.", "D-83 no code": strings.Join(parts[:4], ".") + ".",
		"D-83 another id": change(0, "AAAAAAAAAAAAAAAAAAAAAAAAAA"), "D-83 later": change(2, "zzzzzzz"), "D-83 another key": change(3, "0000000000000000"),
		"D-83 no key": change(3, ""), "D-83 cut": c.Value[:len(c.Value)-1], "D-83 padded": c.Value + "=", "D-83 a part more": change(3, parts[3]+".x"),
		"D-83 another spelling": change(4, strings.TrimRight(parts[4], "AEIMQUYcgkosw048")+"B"), "D-83 upper case": strings.ToUpper(c.Value),
		"D-83 long": strings.Repeat(c.Value, 20),
	} {
		t.Run(name, func(t *testing.T) {
			if value == c.Value {
				t.Fatal("that is the genuine one")
			}
			e.t = t
			e.wantProblem(e.post("/login", formType, "a=1", "Cookie", c.Name+"="+value), 403, "token-missing")
		})
	}
	e.t = t
	// tossed cookies of the same name in front of it take nothing away
	tossed := strings.Repeat(c.Name+"=x; ", maxSameName-1)
	e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", tossed+c.Name+"="+c.Value))
	// and however many there are, the answer is one of ours
	bomb := strings.Repeat(c.Name+"=x; a=b; captcha-once-x=1; ", 300)
	e.wantProblem(e.post("/login", formType, "a=1", "Cookie", bomb), 403, "token-missing")
}

// A cookie that came without __Host- is none of ours on https.
func TestTossedCookieOverHTTPSD86(t *testing.T) {
	e := serveAll(t, redCleared)
	e.http.Transport = e.transports["HTTP/2.0"]
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	c := r.Cookies()[0]
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure {
		t.Errorf("%v", c)
	}
	plain := strings.TrimPrefix(c.Name, "__Host-")
	e.wantProblem(e.post("/login", formType, "a=1", "Cookie", plain+"="+c.Value), 403, "token-missing")
	e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", c.Name+"="+c.Value))
}

// The app's own cookies and policies stay beside our cookie.
func TestCookiesOfTheAppD91(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "session=1")
		w.Header().Add("Set-Cookie", "csrf=2")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	}))
	defer app.Close()
	e := serve(t, strings.ReplaceAll(redCleared, "{app}", strings.TrimPrefix(app.URL, "http://")))
	r := e.form("/login", e.token("/login"))
	if len(r.Cookies()) != 3 || r.Header.Get("Content-Security-Policy") != "default-src 'self'" {
		t.Errorf("%v", r.Header)
	}
}

// What clients send makes no new time series and no line of its own in the log.
func TestLabelsAreOursD102(t *testing.T) {
	e := serve(t, "handle /metrics {\nmetrics\n}\n"+small)
	series := func() (lines []string) {
		for line := range strings.Lines(string(e.do(e.request("GET", "/metrics", "", "")).body)) {
			if strings.HasPrefix(line, "caddy_captcha_") && !strings.Contains(line, "_bucket") {
				name, _, _ := strings.Cut(line, "} ")
				lines = append(lines, name)
			}
		}
		return lines
	}
	hostile := func(i int) {
		e.post(fmt.Sprintf("/login/%d", i), formType, url.Values{"altcha": {fmt.Sprintf("\n\"%d", i)}}.Encode(),
			"User-Agent", fmt.Sprint("agent ", i), "X-Captcha-Reason", fmt.Sprint(i), "Captcha-Request", fmt.Sprint(i))
	}
	e.app.take()
	hostile(0)
	before := series()
	for i := range 50 {
		hostile(i + 1)
	}
	if after := series(); len(before) == 0 || len(after) != len(before) {
		t.Errorf("%d time series became %d: %q", len(before), len(after), after)
	}
}

// A forged token is told nothing of what is wrong with it.
func TestRefusalsLookAlikeD119(t *testing.T) {
	e := serve(t, small)
	token := e.token("/login")
	text, _ := base64.StdEncoding.DecodeString(token)
	var first string
	for _, forged := range []string{
		"x", base64.StdEncoding.EncodeToString([]byte("{}")),
		base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(text), `"signature":"`, `"signature":"0`, 1))),
		base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(text), `"number":`, `"number":1`, 1))),
	} {
		p := e.wantProblem(e.form("/login", forged), 403, "token-invalid")
		said := p.Type + p.Title + p.Detail + string(p.Reason)
		if first == "" {
			first = said
		} else if said != first {
			t.Errorf("%q, for another one %q", said, first)
		}
	}
}
