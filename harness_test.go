package captcha

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// seen is one request as the app saw it.
type seen struct {
	Method, URI string
	Header      http.Header
	Body        []byte
	Length      int64
	Trailer     http.Header
}

// app is an upstream that remembers what reaches it.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := new(app)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the edge broke off: nothing has reached the app whole
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen = append(a.seen, seen{r.Method, r.RequestURI, r.Header.Clone(), body, r.ContentLength, r.Trailer.Clone()})
		fmt.Fprint(w, "from the app")
	}))
	t.Cleanup(a.Close)
	return a
}

// take returns what has reached the app since the last call.
func (a *app) take() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.seen
	a.seen = nil
	return s
}

// asked reports whether anything has reached the app since the last take.
func (a *app) asked() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen) > 0
}

// one returns the only request that reached the app since the last call.
func (a *app) one(t *testing.T) seen {
	t.Helper()
	s := a.take()
	if len(s) != 1 {
		t.Fatalf("%d requests reached the app, want 1", len(s))
	}
	return s[0]
}

// edge is a running Caddy with the handler.
type edge struct {
	t    *testing.T
	app  *app
	url  string
	port int
	dir  string
	http *http.Client

	loads int // of configurations
}

// serve runs a Caddyfile whose site block is given. {app} in it stands for the
// upstream's address.
func serve(t *testing.T, site string) *edge {
	t.Helper()
	e := &edge{t: t, app: newApp(t), dir: storageDir(t)}
	e.move()
	e.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // our own server
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(e.http.CloseIdleConnections)
	e.load("", site)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// load replaces the running config, as a reload does.
func (e *edge) load(global, site string) {
	e.t.Helper()
	if err := caddy.Load(e.adapt(global, site), true); err != nil {
		e.t.Fatal(err)
	}
	e.loads++
	e.http.CloseIdleConnections() // the old server is about to
}

// move lets the next load listen at another port, where no connection meets the old
// config's listener, which closes a moment after.
func (e *edge) move() {
	e.port = freePort(e.t)
	e.url = fmt.Sprintf("http://127.0.0.1:%d", e.port)
}

// adapt turns a site block into JSON.
func (e *edge) adapt(global, site string) []byte {
	e.t.Helper()
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %s
	grace_period 1ns
	log {
		output file %s/log
		level DEBUG
	}
	%s
}
http://127.0.0.1:%d, http://localhost:%d {
	%s
}
`, e.dir, e.dir, global, e.port, e.port, strings.ReplaceAll(site, "{app}", strings.TrimPrefix(e.app.URL, "http://")))
	out, err := adaptText(text)
	if err != nil {
		e.t.Fatalf("%v\n%s", err, text)
	}
	return out
}

func adaptText(text string) ([]byte, error) {
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return out, err
}

// storageDir is like t.TempDir, but bears that the keys are being stored while it
// is removed.
func storageDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "captcha-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// reply is an answer with its body.
type reply struct {
	*http.Response
	body []byte
}

func (e *edge) do(req *http.Request) reply {
	e.t.Helper()
	resp, err := e.http.Do(req)
	for range 5 {
		// Caddy closes the old config's listener after the new one has started:
		// what waits in its queue is reset, unseen
		if err == nil || e.loads < 2 || req.GetBody == nil || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			break
		}
		if req.Body, err = req.GetBody(); err == nil {
			resp, err = e.http.Do(req)
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return reply{resp, body}
}

// post sends a body; headers are given as name, value, name, value.
func (e *edge) post(path, contentType, body string, headers ...string) reply {
	e.t.Helper()
	return e.do(e.request("POST", path, contentType, body, headers...))
}

func (e *edge) request(method, path, contentType, body string, headers ...string) *http.Request {
	e.t.Helper()
	req, err := http.NewRequest(method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	return req
}

const formType = "application/x-www-form-urlencoded"

// form posts an urlencoded form with a token.
func (e *edge) form(path, token string, headers ...string) reply {
	e.t.Helper()
	return e.post(path, formType, url.Values{"altcha": {token}, "comment": {"hello"}}.Encode(), headers...)
}

// token asks a protected path for a puzzle and solves it.
func (e *edge) token(path string) string {
	e.t.Helper()
	r := e.post(path, "", "", "Captcha-Request", "challenge")
	if r.StatusCode != 200 {
		e.t.Fatalf("asking for a puzzle: %s: %s", r.Status, r.body)
	}
	var p puzzle
	if err := json.Unmarshal(r.body, &p); err != nil {
		e.t.Fatalf("%v in %s", err, r.body)
	}
	return powtest.Solve(p.Challenge)
}

// problem reads a problem document.
func (r reply) problem(t *testing.T) problem {
	t.Helper()
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%s with Content-Type %q, want a problem document: %.300s", r.Status, ct, r.body)
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	if p.Status != r.StatusCode || p.Reference == "" || p.Title == "" || p.Detail == "" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("incomplete problem document %s, headers %v", r.body, r.Header)
	}
	return p
}

// wantProblem checks status and reason, and that nothing reached the app.
func (e *edge) wantProblem(r reply, status int, reason string) problem {
	e.t.Helper()
	p := r.problem(e.t)
	if r.StatusCode != status || string(p.Reason) != reason {
		e.t.Errorf("got %d %s, want %d %s", r.StatusCode, p.Reason, status, reason)
	}
	if got := e.app.take(); len(got) != 0 {
		e.t.Errorf("%d requests reached the app, want none", len(got))
	}
	return p
}

// wantForwarded checks that the app has answered, and returns what it saw.
func (e *edge) wantForwarded(r reply) seen {
	e.t.Helper()
	if r.StatusCode != 200 || string(r.body) != "from the app" {
		e.t.Fatalf("not forwarded: %s: %.300s", r.Status, r.body)
	}
	return e.app.one(e.t)
}

func sameBytes(t *testing.T, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("the app saw %d bytes %.200q, want %d bytes %.200q", len(got), got, len(want), want)
	}
}
