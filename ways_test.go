package captcha

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Caddy's ways, each on the real server.

const pow1000 = `{
		provider pow {
			difficulty 1000
		}
	}`

func TestLongestPathDecides(t *testing.T) {
	e := serve(t, `captcha /a/b* {
		token_field other
		provider pow {
			difficulty 1000
		}
	}
	captcha /a* `+pow1000+`
	reverse_proxy {app}`)
	// one token, although two enforcing directives match
	s := e.wantForwarded(e.post("/a/b", formType, "other="+url.QueryEscape(e.token("/a/b"))))
	if s.Header.Get(headerStatus) != "passed" {
		t.Errorf("the app was told %q", s.Header.Get(headerStatus))
	}
	e.wantProblem(e.post("/a/c", formType, "other="+url.QueryEscape(e.token("/a/c"))), 403, "token-missing")
}

func TestEnforceReusesWhatSignalFoundOut(t *testing.T) {
	e := serve(t, `route {
		captcha {
			mode signal
			provider pow {
				difficulty 1000
			}
		}
		captcha /login* `+pow1000+`
		reverse_proxy {app}
	}`)
	e.wantForwarded(e.form("/other", "forged"))
	e.wantProblem(e.form("/login", "forged"), 403, "token-invalid")
	e.wantForwarded(e.form("/login", e.token("/login")))
	page := e.browse("same-origin", "/login", "text/plain", "precious")
	s := e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
	sameBytes(t, s.Body, "precious")
}

func TestPathsThatAreRewritten(t *testing.T) {
	for _, c := range []struct{ name, site, path, appURI string }{
		{"handle", `handle /form/* {
			captcha ` + pow1000 + `
			reverse_proxy {app}
		}`, "/form/x?q", "/form/x?q"},
		{"handle_path", `handle_path /form/* {
			captcha ` + pow1000 + `
			reverse_proxy {app}
		}`, "/form/x?q", "/x?q"},
		{"rewrite", `rewrite /form/* /index.php?{query}
		captcha /index.php ` + pow1000 + `
		reverse_proxy {app}`, "/form/x?q=1", "/index.php?q=1"},
		{"uri", `uri strip_prefix /form
		captcha /x ` + pow1000 + `
		reverse_proxy {app}`, "/form/x?q=1", "/x?q=1"},
		{"try_files", `root {dir}
		try_files {path} /index.php
		captcha /index.php ` + pow1000 + `
		reverse_proxy {app}`, "/form/x", "/index.php"},
		{"named matcher", `@form {
			path /form/*
			method POST
		}
		captcha @form ` + pow1000 + `
		reverse_proxy {app}`, "/form/x", "/form/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/index.php", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			e := serve(t, strings.ReplaceAll(c.site, "{dir}", dir))
			page := e.browse("same-origin", c.path, formType, "precious=1")
			if page.StatusCode != 403 {
				t.Fatal(page.Status)
			}
			s := e.wantForwarded(e.solvePage(c.path, sealIn(t, page)))
			sameBytes(t, s.Body, "precious=1")
			if s.URI != c.appURI {
				t.Errorf("the app saw %s, want %s", s.URI, c.appURI)
			}
		})
	}
}

func TestPrefixStrippingProxyInFront(t *testing.T) {
	e := serve(t, `@inner header X-Inner *
	handle @inner {
		captcha `+pow1000+`
		reverse_proxy {app}
	}
	handle_path /front/* {
		reverse_proxy {$UPSTREAM_SELF:127.0.0.1:1} {
			header_up X-Inner 1
		}
	}`)
	site := `@inner header X-Inner *
	handle @inner {
		captcha ` + pow1000 + `
		reverse_proxy {app}
	}
	handle_path /front/* {
		reverse_proxy 127.0.0.1:` + fmt.Sprint(e.port) + ` {
			header_up X-Inner 1
		}
	}`
	e.load("", site)
	page := e.browse("same-origin", "/front/form?q", formType, "precious=1")
	s := e.wantForwarded(e.solvePage("/front/form?q", sealIn(t, page)))
	sameBytes(t, s.Body, "precious=1")
	if s.URI != "/form?q" {
		t.Errorf("the app saw %s", s.URI)
	}
}

func TestErrorRoutesDoNotSeeOurAnswersD123(t *testing.T) { // D-123
	e := serve(t, small+`
	handle_errors {
		reverse_proxy {app}
	}`)
	e.wantProblem(e.post("/login", formType, "user=a"), 403, "token-missing")
	e.wantProblem(e.post("/login", formType, "altcha=a&altcha=b"), 400, "bad-request")
}

func TestRetriesGetTheWholeBodyD124(t *testing.T) { // D-124
	dead := freePort(t)
	for _, option := range []string{"", "request_buffers 1MiB"} {
		e := serve(t, fmt.Sprintf(`captcha /login* `+pow1000+`
	reverse_proxy 127.0.0.1:%d {app} {
		lb_policy first
		lb_retries 2
		fail_duration 1m
		%s
	}`, dead, option))
		body := "altcha=" + url.QueryEscape(e.token("/login")) + "&text=" + strings.Repeat("x", 100_000)
		s := e.wantForwarded(e.post("/login", formType, body))
		sameBytes(t, s.Body, body)
		page := e.browse("same-origin", "/login", formType, "precious=1")
		s = e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
		sameBytes(t, s.Body, "precious=1")
		_ = caddy.Stop()
	}
}

// An error route may give a request to another app: that gets it whole, too.
func TestErrorRoutesGetTheWholeBodyD124(t *testing.T) { // D-124
	site := fmt.Sprintf("captcha /login* %s\nreverse_proxy 127.0.0.1:%d\n", pow1000, freePort(t))
	e := serve(t, site+"handle_errors {\nreverse_proxy {app}\n}")
	post := func(size int) (body string, r reply) {
		body = "text=" + strings.Repeat("x", size) + "&altcha=" + url.QueryEscape(e.token("/login"))
		return body, e.post("/login", formType, body)
	}
	for _, size := range []int{10, 200_000} { // in memory, and spilled
		body, r := post(size)
		s := e.wantForwarded(r)
		sameBytes(t, s.Body, body)
		if s.Header.Get(headerStatus) != "passed" {
			t.Errorf("the app saw %v", s.Header)
		}
	}
	e.load("", site+"handle_errors {\nrespond sorry\n}")
	if _, r := post(200_000); string(r.body) != "sorry" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	b := &e.handler().app.shared.budgets
	for end := time.Now().Add(time.Minute); b.memory.used.Load()+b.disk.used.Load() > 0 && time.Now().Before(end); {
		runtime.Gosched() // the request ends when its answer is out already
	}
	e.checkNothingHeld()
}

func TestUpstreamThatAnswersBeforeItHasRead(t *testing.T) {
	e := serve(t, small)
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "early")
	}))
	defer early.Close()
	e.load("", strings.ReplaceAll(small, "{app}", strings.TrimPrefix(early.URL, "http://")))
	for range 20 {
		body := "altcha=" + url.QueryEscape(e.token("/login")) + "&text=" + strings.Repeat("x", 1<<20)
		if r := e.post("/login", formType, body); string(r.body) != "early" && r.StatusCode != 502 {
			t.Fatalf("%s %q", r.Status, r.body)
		}
	}
}

func TestClientThatGoesAway(t *testing.T) {
	e := serve(t, small)
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\naltcha=", formType)
	_ = conn.Close()
	// the edge goes on, and nothing was forwarded
	e.wantForwarded(e.form("/login", e.token("/login")))
}

// Promise 1: the forwarded body has its length and trailers as they came.
func TestTrailersReachWhatComesNext(t *testing.T) {
	e := serve(t, `captcha /login* `+pow1000+`
	captcha_test_next`)
	req := e.request("POST", "/login", formType, "")
	body := "altcha=" + url.QueryEscape(e.token("/login"))
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	req.Trailer = http.Header{"X-Checksum": {"42"}, "X-Captcha-Status": {"passed"}}
	if r := e.do(req); string(r.body) != body+" trailer map[X-Checksum:[42]] length -1" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	// the same on a path that is not protected
	req = e.request("POST", "/other", formType, "")
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader("x")), -1
	req.Trailer = http.Header{"X-Checksum": {"42"}, "X-Captcha-Status": {"passed"}}
	if r := e.do(req); string(r.body) != "x trailer map[X-Checksum:[42]] length -1" {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

func init() {
	caddy.RegisterModule(testNext{})
	httpcaddyfile.RegisterHandlerDirective("captcha_test_next", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return testNext{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("captcha_test_next", httpcaddyfile.Before, "respond")
}

// testNext tells the client what a handler behind us saw.
type testNext struct{}

func (testNext) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha_test_next", New: func() caddy.Module { return new(testNext) }}
}

func (testNext) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r.URL.Path == "/abort" {
		time.AfterFunc(10*time.Millisecond, func() { abortRead(w, r.Body) })
		if _, err := r.Body.Read(make([]byte, 1)); err == nil {
			return errors.New("read something")
		}
		_, err := io.WriteString(w, "aborted")
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s trailer %v length %d", body, r.Trailer, r.ContentLength)
	return nil
}

func TestEarlyDataIsRefused(t *testing.T) {
	e := serve(t, small)
	h := e.handler()
	r := httptest.NewRequest("POST", "https://example.com/login", strings.NewReader("altcha=x"))
	r.TLS = &tls.ConnectionState{HandshakeComplete: false}
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(nil)); err != nil || w.Code != http.StatusTooEarly {
		t.Errorf("%d, %v", w.Code, err)
	}
}

// A visitor whose upload has no token sees our answer, not a broken connection.
func TestLargeUploadWithoutTokenIsAnsweredD20(t *testing.T) {
	e := serve(t, small)
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 30 << 20
	fmt.Fprintf(conn, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\ntext=", formType, size+5)
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range size / len(chunk) {
		if _, err := conn.Write(chunk); err != nil {
			t.Fatalf("the server stopped reading: %v", err)
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 413" {
		t.Errorf("%q, %v", answer, err)
	}
}

// The body's reader may return an error of Caddy's own; it is returned as it is.
func TestRequestBodyLimitStaysInForce(t *testing.T) {
	e := serve(t, `request_body {
		max_size 1KiB
	}
	`+small)
	if r := e.post("/login", formType, strings.Repeat("x", 5000)); r.StatusCode != 413 || len(e.app.take()) != 0 {
		t.Errorf("%s", r.Status)
	}
}

func TestMatcherErrorsAreNotTakenForANo(t *testing.T) {
	e := serve(t, `@odd expression {http.request.body}.size() > 5
	captcha @odd `+pow1000+`
	reverse_proxy {app}`)
	if r := e.post("/", formType, "123456789"); r.StatusCode == 200 {
		t.Error("a matcher that failed let the request through")
	}
}

func loadCaddyfile(text string) error {
	out, err := adaptText(text)
	return errors.Join(err, caddy.Load(out, true))
}

// handler returns a handler of the running app's configuration, for requests
// that no client can make.
func (e *edge) handler() *Handler {
	e.t.Helper()
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	e.t.Cleanup(cancel)
	h := &Handler{ProviderRaw: []byte(`{"name":"pow","difficulty":1000}`)}
	if err := errors.Join(h.Provision(ctx), h.Validate()); err != nil {
		e.t.Fatal(err)
	}
	return h
}
