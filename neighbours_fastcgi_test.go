package captcha

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// fastCGI is an app that speaks FastCGI, as PHP does.
func fastCGI(t *testing.T) (addr string, take func() []seen) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	var all []seen
	go func() {
		_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, seen{r.Method, r.RequestURI, r.Header.Clone(), body, r.ContentLength, nil})
			_, _ = io.WriteString(w, "from PHP")
		}))
	}()
	return l.Addr().String(), func() []seen {
		mu.Lock()
		defer mu.Unlock()
		s := all
		all = nil
		return s
	}
}

// FastCGI says how long a body is before it sends it, and PHP believes it.
func TestFastCGIGetsTheWholeBody(t *testing.T) {
	addr, take := fastCGI(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/index.php", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := serve(t, "root "+dir+"\n\tcaptcha /login* "+pow1000+"\n\tphp_fastcgi "+addr)
	check := func(what string, r reply, want string) {
		t.Helper()
		got := take()
		if r.StatusCode != 200 || string(r.body) != "from PHP" || len(got) != 1 {
			t.Fatalf("%s: %s %q, %d requests reached PHP", what, r.Status, r.body, len(got))
		}
		sameBytes(t, got[0].Body, want)
		if got[0].Length != int64(len(want)) || got[0].Header.Get(headerStatus) != "passed" || got[0].Method != "POST" {
			t.Errorf("%s: PHP saw %s with length %d, want %d, %v", what, got[0].Method, got[0].Length, len(want), got[0].Header)
		}
	}
	for _, size := range []int{10, 200_000, 2_000_000} { // in memory, and spilled
		for _, last := range []bool{true, false} {
			token, text := "altcha="+url.QueryEscape(e.token("/login")), "text="+strings.Repeat("x", size)
			body := token + "&" + text
			if last {
				body = text + "&" + token
			}
			check(fmt.Sprint(size, last), e.post("/login", formType, body), body)
		}
	}
	page := e.browse("same-origin", "/login", "text/plain", "precious")
	check("page", e.solvePage("/login", sealIn(t, page)), "precious")
	// where nobody has said how long it is
	body := "text=" + strings.Repeat("x", 200_000) + "&altcha=" + url.QueryEscape(e.token("/login"))
	req := e.request("POST", "/login", formType, body)
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	r, got := e.do(req), take()
	req = e.request("POST", "/free", formType, body)
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	free, plain := e.do(req), take()
	if r.StatusCode != free.StatusCode || len(got) != len(plain) || len(got) == 1 && (string(got[0].Body) != string(plain[0].Body) || got[0].Length != plain[0].Length) {
		t.Errorf("of unknown length: %s, want %s as without us; PHP saw %d bytes of length %d, want %d of %d",
			r.Status, free.Status, len(got[0].Body), got[0].Length, len(plain[0].Body), plain[0].Length)
	}
	e.waitNothingHeld()
}
