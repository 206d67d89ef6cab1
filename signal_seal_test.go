package captcha

import (
	"net/url"
	"strings"
	"testing"
)

// signalSite is a directive that is switched to mode signal while its pages are open.
func signalSite(options string) string {
	return strings.Replace(small, "captcha /login* {", "captcha /login* {\n"+options, 1)
}

// Promise 1: whoever meets the challenge page just before the operator writes `mode
// signal` has a form in it that nobody else can open.
func TestPagesThatAreOpenWhenSignalBegins(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"alone", "", "mode signal"},
		{"of one scope", "clearance 1h {\nscope s\n}", "mode signal\nclearance 1h {\nscope s\n}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, signalSite(c.before))
			const form = "a=1&b=%C3%BC&&c"
			seal := sealIn(t, e.browse("same-origin", "/login?q=1", formType, form))
			e.load("", signalSite(c.after))
			for status, token := range map[string]string{"passed": e.token("/login?q=1"), "failed": "nothing", "missing": ""} {
				r := e.wantForwarded(e.browse("same-origin", "/login?q=1", formType, "altcha="+url.QueryEscape(token)+"&captcha-seal="+seal))
				sameBytes(t, r.Body, form)
				if got := r.Header.Get("X-Captcha-Status"); got != status {
					t.Errorf("%q, want %q", got, status)
				}
			}
			cookie := e.browse("same-origin", "/login", formType, "altcha="+url.QueryEscape(e.token("/login"))).Header.Get("Set-Cookie")
			e.app.take()
			if cookie, _, _ = strings.Cut(cookie, ";"); cookie != "" { // a visitor who is cleared meanwhile
				r := e.wantForwarded(e.browse("same-origin", "/login?q=1", formType, "altcha=&captcha-seal="+seal, "Cookie", cookie))
				sameBytes(t, r.Body, form)
			}
			for _, from := range []string{"cross-site", "same-site", ""} { // promise 8
				body := "altcha=x&captcha-seal=" + seal
				sameBytes(t, e.wantForwarded(e.browse(from, "/login?q=1", formType, body)).Body, body)
			}
			body := "altcha=x&captcha-seal=" + seal[:len(seal)-4]
			sameBytes(t, e.wantForwarded(e.browse("same-origin", "/login?q=1", formType, body)).Body, body)
		})
	}
}

// The page of a directive that still enforces is left to it.
func TestSignalLeavesPagesToTheDirectiveBehind(t *testing.T) {
	inner := strings.Replace(small, "captcha /login* {", "captcha /login* {\nclearance 1h {\nscope s\n}", 1)
	e := serve(t, "captcha {\nmode signal\nprovider pow {\ndifficulty 2000\n}\nclearance 1h {\nscope s\n}\n}\n"+inner)
	const form = "a=1&b=2"
	page := e.browse("same-origin", "/login", formType, form)
	if page.StatusCode != 403 {
		t.Fatal(page.Status)
	}
	sameBytes(t, e.wantForwarded(e.solvePage("/login", sealIn(t, page))).Body, form)
}
