package captcha

import (
	"net/http"
	"testing"
)

func TestForgedNames(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Captcha-Status": true, "x-captcha-status": true, "X-CAPTCHA-ANYTHING": true, "X_captcha_status": true,
		"X.captcha.status": true, "X-Captcha_Status": true, "X-Captcha-": true, "X~captcha~status": true,
		"X-Captcha": false, "X-Captchas-Status": false, "Captcha-Token": false, "Xx-Captcha-Status": false, "": false,
	} {
		if got := forged(name); got != want {
			t.Errorf("forged(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestConnectionCannotNameOurHeaders(t *testing.T) { // E13
	for _, c := range []struct{ in, want []string }{
		{[]string{"keep-alive, X-Captcha-Status"}, []string{"keep-alive"}},
		{[]string{"x-captcha-status"}, nil},
		{[]string{"a,X_Captcha_Reason,b", "X-Captcha-Score"}, []string{"a, b"}},
		{[]string{"keep-alive", "upgrade"}, []string{"keep-alive", "upgrade"}},
	} {
		h := http.Header{"Connection": c.in}
		scrubConnection(h)
		if got := h["Connection"]; len(got) != len(c.want) || (len(got) == 1 && got[0] != c.want[0]) {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
}

// Promise 10: what is not protected costs nothing but the removal of forged
// headers.
func TestStrippingAllocatesNothing(t *testing.T) {
	r, _ := http.NewRequest("GET", "http://example.com/a?b=c", nil)
	for _, name := range []string{"Accept", "User-Agent", "Cookie", "X-Forwarded-For", "X-Custom", "Connection"} {
		r.Header.Set(name, "x")
	}
	if n := testing.AllocsPerRun(100, func() { stripForged(r) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	h := new(Handler)
	if n := testing.AllocsPerRun(100, func() { h.protects(r) }); n != 0 {
		t.Errorf("looking at the method: %v allocations, want none", n)
	}
}

func TestForgedHeadersAreRemovedEverywhereD88D89(t *testing.T) { // D-88, D-89
	e := serve(t, `captcha /login* {
		provider pow {
			difficulty 1000
		}
	}
	captcha /other* {
		mode signal
	}
	handle_path /in/* {
		captcha /deep*
		reverse_proxy {app}
	}
	reverse_proxy {app}`)
	for _, path := range []string{"/", "/unmatched", "/login", "/in/x"} {
		for _, method := range []string{"GET", "POST"} {
			if method == "POST" && path == "/login" {
				continue
			}
			s := e.wantForwarded(e.do(e.request(method, path, "", "",
				"X-Captcha-Status", "passed", "x-captcha-provider", "pow", "X-Captcha-Anything", "1", "X_Captcha_Status", "passed",
				"Connection", "X-Captcha-Status, X-Keep")))
			for name := range s.Header {
				if forged(name) {
					t.Errorf("%s %s: the app saw the forged header %s", method, path, name)
				}
			}
		}
	}
	// and ours cannot be taken away
	s := e.wantForwarded(e.form("/login", e.token("/login"), "Connection", "X-Captcha-Status", headerStatus, "failed"))
	if got := s.Header[headerStatus]; len(got) != 1 || got[0] != "passed" {
		t.Errorf("the app was told %q", got)
	}
}
