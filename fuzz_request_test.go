package captcha

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// rawRequests are requests as they come over the wire. {good} is a genuine clearance.
var rawRequests = []string{
	"GET /login?_method=GET HTTP/1.1\r\nHost: example.com\r\nX-Captcha-Status: passed\r\nConnection: X-Captcha-Score\r\n\r\n",
	"GET /login?_method=DELETE HTTP/1.1\r\nHost: example.com\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: example.com\r\nX-HTTP-Method-Override: put\r\nUpgrade: h2c\r\n\r\n",
	"OPTIONS / HTTP/1.1\r\nHost: example.com\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\nCaptcha-Request: challenge\r\nCookie: {good}\r\n\r\n",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nCaptcha-Request: challenge\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nCaptcha-Redeem: 1\r\nOrigin: http://example.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 22\r\n\r\naltcha=x&captcha-seal=y",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nCookie: a=b; {good}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
	"POST /login HTTP/1.1\r\nHost: EXAMPLE.com.:80\r\nOrigin: http://example.com\r\nSec-Fetch-Mode: navigate\r\nAccept-Language: de\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 23\r\n\r\nuser=a&altcha=%41&b=%zz",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked\r\nTrailer: X-Captcha-Status, X-Sum\r\n\r\n" +
		"53\r\n--B\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\nT\r\n--B\r\nX: y\r\n\r\n\r\n--B--\r\n\r\n\r\n0\r\nX-Captcha-Status: passed\r\nX-Sum: 1\r\n\r\n",
	"PUT /login HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\nContent-Length: 19\r\nEarly-Data: 1\r\n\r\n{\"altcha\":\"\\u0041\"}",
	"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n{\"a\":\"" + strings.Repeat("x", 2900) + "\",\"altcha\":\"T\"}" + strings.Repeat(" ", 79),
	"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\nContent-Length: 5000\r\n\r\na=" + strings.Repeat("y", 4998),
	"POST /login HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6000\r\n\r\na=" + strings.Repeat("y", 5998),
	"POST /login HTTP/1.1\r\nHost: example.com\r\nCaptcha-Token: eyJh\r\nContent-Length: 9\r\n\r\nshort",
	"post /login HTTP/1.1\r\nHost: example.com\r\nReferer: http://example.com/\r\nAccept: text/html\r\n\r\n",
}

// FuzzRequest sends any request through the handler. Without a proof, nothing
// unsafe reaches the app; what does reach it is what was sent; and nothing is held
// afterwards.
func FuzzRequest(f *testing.F) {
	s := newStage(f, &Handler{MaxBuffer: 1 << 10, MaxBody: 4 << 10, Clearance: &Clearance{Duration: caddy.Duration(24 * time.Hour)}, CORS: []string{"https://app.example"}})
	good := s.goodCookie(f)
	for _, raw := range rawRequests {
		f.Add([]byte(raw), false)
		f.Add([]byte(raw), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, signal bool) {
		sent := bytes.ReplaceAll(raw, []byte("{good}"), []byte(good))
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
		if err != nil {
			return
		}
		body, broken := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if broken != nil {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)))
		}
		s.Mode = modeEnforce
		if signal {
			s.Mode = modeSignal
		}
		called := false
		next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			called = true
			if got, err := io.ReadAll(r.Body); !bytes.Equal(got, body) || (err == nil) != (broken == nil) {
				t.Errorf("%q: the app got the body %q (%v), want %q (%v)", raw, got, err, body, broken)
			}
			return nil
		})
		w := httptest.NewRecorder()
		if err := s.ServeHTTP(w, inServer(r), next); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		s.checkServed(t, r, w, called, bytes.Contains(sent, []byte(good)))
	})
}

// checkServed checks what became of a request.
func (s *stage) checkServed(t *testing.T, r *http.Request, w *httptest.ResponseRecorder, called, cleared bool) {
	t.Helper()
	safe := slices.Contains(safeMethods, r.Method)
	switch {
	case called && s.Mode == modeEnforce && !safe && !cleared:
		t.Errorf("%s %s reached the app", r.Method, r.URL)
	case !called && s.Mode == modeSignal && r.Header["Captcha-Request"] == nil && r.Header["Captcha-Redeem"] == nil:
		t.Errorf("%s %s did not reach the app: %d %s", r.Method, r.URL, w.Code, w.Body)
	case !called && w.Header().Get("Content-Type") == "application/problem+json":
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code {
			t.Errorf("%v in %s", err, w.Body)
		}
	case !called && w.Code == http.StatusOK && r.Header["Captcha-Request"] == nil:
		t.Errorf("%s %s got 200: %s", r.Method, r.URL, w.Body)
	}
	ours := called && len(r.Header[headerStatus]) == 1 && (s.Mode == modeSignal || cleared)
	for name, values := range r.Header {
		if forged(name) && !(ours && slices.Contains([]string{headerStatus, headerProvider, headerReason}, name)) {
			t.Errorf("%s %s: the app may see %s: %q", r.Method, r.URL, name, values)
		}
	}
	if b := &s.app.shared.budgets; b.memory.used.Load() != 0 || b.disk.used.Load() != 0 {
		t.Fatalf("%d and %d bytes are held", b.memory.used.Load(), b.disk.used.Load())
	}
}

// inServer gives a request what Caddy's server gives it.
func inServer(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	return r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "192.0.2.1"}))
}

// goodCookie is the cookie of a genuine clearance, name and value.
func (s *stage) goodCookie(tb testing.TB) string {
	tb.Helper()
	w := httptest.NewRecorder()
	s.grantClearance(w, s.request("POST", ""), time.Now())
	cookie, _, ok := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	if !ok {
		tb.Fatal("no clearance")
	}
	return cookie
}

// FuzzCookieD83 looks for a genuine clearance among any cookies.
func FuzzCookieD83(f *testing.F) {
	s := newStage(f, &Handler{Clearance: &Clearance{Duration: caddy.Duration(24 * time.Hour)}})
	good := s.goodCookie(f)
	name, _, _ := strings.Cut(good, "=")
	for _, seed := range []string{
		"", "a=b", "{good}", `a="{good}`, "{name}=x; {good}", "{name}=1;{name}=2;{name}=3", "{name}=1;{name}=2;{name}=3;{name}=4", "{name}=\"\"", "$Version=1; {name}; =", "captcha-once-0011=x.y.z; {name}=",
		";;;,{name}=\x00", "x{good}", "{good}x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.NewReplacer("{good}", good, "{name}", name).Replace(line)
		r := s.request("POST", "")
		r.Header["Cookie"] = []string{line}
		if s.cleared(r, time.Now()) && !strings.Contains(line, good) {
			t.Fatalf("%q clears", line)
		}
		// three of the name in front of it are looked at, but not any number; and
		// net/http takes a line with thousands for an attack
		if strings.Count(line, name) < 4 && strings.Count(line, ";") < 1000 {
			r.Header["Cookie"] = []string{line + "; " + good}
			if !s.cleared(r, time.Now()) {
				t.Fatalf("%q hides what is behind it", line)
			}
		}
	})
}

// FuzzInjected rewrites any answer of an app: nothing of it is lost, and what is no
// page stays as it is.
func FuzzInjected(f *testing.F) {
	s := newStage(f, new(Handler))
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	f.Cleanup(cancel)
	i := new(Injector)
	if err := i.Provision(ctx); err != nil {
		f.Fatal(err)
	}
	page := []byte(`<!doctype html><html><head><title>a</title></head><body><form method=post action="/a"><input></form><form></form></body></html>`)
	for n, seed := range [][3]string{
		{"text/html; charset=utf-8", "", ""}, {"", "", ""}, {"text/html", "", "default-src 'none'"}, {"TEXT/HTML;charset=gbk", "identity", "sandbox"}, {"text/html; charset=utf-16", "", ""},
		{"application/json", "", ""}, {"text/html", "gzip", ""}, {"text/html; charset", "", "script-src 'self', x"}, {"text/html\xff", "", ""}, {"text/html;;", "", "require-trusted-types-for 'script'"},
	} {
		f.Add(uint16(0), seed[0], seed[1], seed[2], page, uint64(n))
		f.Add(uint16(204), seed[0], seed[1], seed[2], bytes.Repeat(page, 5), uint64(n))
	}
	f.Add(uint16(4), "text/html", "", "", []byte{}, uint64(1))
	policy := regexp.MustCompile(`(?i)content-security`) // of a page itself is extended in place
	f.Fuzz(func(t *testing.T, status uint16, contentType, encoding, csp string, body []byte, seed uint64) {
		if status = 200 + status%400; !mayHaveBody(int(status)) {
			body = nil
		}
		header := http.Header{"Content-Type": {contentType}, "Content-Encoding": {encoding}, "Content-Security-Policy": {csp}, "Etag": {`"a"`}}
		for name, values := range header {
			if values[0] == "" {
				delete(header, name)
			}
		}
		w := httptest.NewRecorder()
		if err := i.ServeHTTP(w, s.request("GET", "", "Sec-Fetch-Dest", "document"), appOf(int(status), header, body, seed)); err != nil {
			t.Fatal(err)
		}
		got := w.Body.Bytes()
		media, _, err := mime.ParseMediaType(contentType)
		noPage := contentType != "" && (err != nil && err != mime.ErrInvalidMediaParameter || media != "text/html")
		if (noPage || encoding != "" && !strings.EqualFold(encoding, "identity")) && !bytes.Equal(got, body) {
			t.Fatalf("%q became %q", body, got)
		}
		if w.Code != int(status) || w.Header().Get("Etag") != "" && !bytes.Equal(got, body) {
			t.Fatalf("%d became %d %v", status, w.Code, w.Header())
		}
		if n := w.Header().Get("Content-Length"); n != "" {
			t.Fatalf("%q: a length of %s", body, n)
		}
		got = bytes.ReplaceAll(bytes.ReplaceAll(got, i.script, nil), i.inputs, nil)
		if !bytes.Equal(got, body) && !policy.Match(body) {
			t.Fatalf("%q became %q", body, got)
		}
	})
}

// appOf is an app that answers in pieces, and flushes some of them.
func appOf(status int, header http.Header, body []byte, seed uint64) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		for name, values := range header {
			w.Header()[name] = slices.Clone(values)
		}
		w.WriteHeader(status)
		r := rand.New(rand.NewPCG(seed, 1))
		for rest := body; len(rest) > 0; {
			n := min(1+r.IntN(300), len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			if rest = rest[n:]; r.IntN(4) == 0 {
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
