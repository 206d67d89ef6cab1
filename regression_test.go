package captcha

// What a review of the whole found, each as it was made to fail.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

const redCleared = `captcha /login* {
		clearance 1h
		max_replay 1KiB
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`

func (e *edge) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, text)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// a same-site post without a readable Origin is a 500 of ours.
func TestSameSiteWithoutOrigin(t *testing.T) {
	e := serve(t, small)
	if r := e.post("/login", formType, "a=1", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-site", "Origin", "null"); r.StatusCode != 403 {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

// returned errors run handle_errors, which gives the unproven POST to the app.
func TestErrorRoutesBypassD123(t *testing.T) {
	var hits atomic.Int32
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		fmt.Fprint(w, "app did ", r.Method, " ", r.URL)
	}))
	defer app.Close()
	up := app.Listener.Addr().String()
	e := serve(t, "captcha "+pow1000+"\nreverse_proxy "+up+"\nhandle_errors {\nreverse_proxy "+up+"\n}")
	for name, text := range map[string]string{
		"render error":  "POST /delete?id=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-site\r\nContent-Length: 0\r\n\r\n",
		"chunked error": "POST /delete?id=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + formType + "\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
	} {
		hits.Store(0)
		_, _ = e.dial(t, text).Read(make([]byte, 300))
		time.Sleep(200 * time.Millisecond)
		if hits.Load() != 0 {
			t.Errorf("%s: an unproven POST reached the app", name)
		}
	}
}

// a clearance won in another tab makes the edge forward token and seal instead of the form.
func TestClearedVisitorPostsASeal(t *testing.T) {
	e := serve(t, redCleared)
	seal := sealIn(t, e.browse("same-origin", "/login", formType, "precious=1"))
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	c := r.Cookies()[0]
	s := e.wantForwarded(e.solvePage("/login", seal, "Cookie", c.Name+"="+c.Value))
	sameBytes(t, s.Body, "precious=1")
}

// App.Cleanup takes away what requests in flight use.
func TestReloadWhileTheBodyComes(t *testing.T) {
	e := serve(t, small)
	body := "altcha=" + url.QueryEscape(e.token("/login"))
	conn := e.dial(t, fmt.Sprintf("POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body[:20]))
	time.Sleep(200 * time.Millisecond)
	e.load("", small+"\nheader X-New 1")
	time.Sleep(300 * time.Millisecond)
	fmt.Fprint(conn, body[20:])
	if b, _ := io.ReadAll(io.LimitReader(conn, 15)); string(b) != "HTTP/1.1 200 OK" {
		t.Errorf("%q (nil pointer in verify)", b)
	}
}

// 256 connections that send no body take all memory that bodies may take.
func TestBudgetForNothing(t *testing.T) {
	e := serve(t, small)
	for range 256 {
		e.dial(t, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nTransfer-Encoding: chunked\r\n\r\n")
	}
	time.Sleep(500 * time.Millisecond)
	if r := e.form("/login", e.token("/login")); r.StatusCode != 200 {
		t.Error(r.Status)
	}
}

// a placeholder behind captcha reads the body away.
func TestBodyPlaceholder(t *testing.T) {
	e := serve(t, `captcha /login* `+pow1000+`
	@x expression {http.request.body}.contains("a=1")
	handle @x {
		reverse_proxy {app}
	}`)
	e.wantForwarded(e.post("/other", formType, "a=1"))
	body := "altcha=" + url.QueryEscape(e.token("/login")) + "&a=1"
	sameBytes(t, e.wantForwarded(e.post("/login", formType, body)).Body, body)
}

// Where no captcha directive reaches, captcha_strip does.
func TestForgedHeaders(t *testing.T) {
	for name, site := range map[string]string{
		"nested": "captcha_strip\nhandle /login* {\ncaptcha " + pow1000 + "\nreverse_proxy {app}\n}\nhandle {\nreverse_proxy {app}\n}",
		"error route": `captcha_strip
		basic_auth {
			bob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
		}
		captcha /login* ` + pow1000 + `
		reverse_proxy {app}
		handle_errors {
			reverse_proxy {app}
		}`,
	} {
		e := serve(t, site)
		e.post("/other", formType, "a=1", "X-Captcha-Status", "passed")
		for _, s := range e.app.take() {
			if s.Header.Get("X-Captcha-Status") != "" {
				t.Errorf("%s: the app believes a forged header", name)
			}
		}
		_ = caddy.Stop()
	}
}

// a spent one-time clearance counts again after a restart.
func TestOnceAfterRestart(t *testing.T) {
	e := serve(t, redCleared)
	body := "text=" + strings.Repeat("x", 2000)
	seal := sealIn(t, e.browse("same-origin", "/login", formType, body))
	r := e.post("/login", formType, "altcha="+url.QueryEscape(e.token("/login"))+"&captcha-seal="+seal, "Captcha-Redeem", "1", "Origin", e.url)
	cookie := r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
	e.wantForwarded(e.post("/login", formType, body, "Cookie", cookie))
	_ = caddy.Stop()
	e.load("", redCleared)
	if r := e.post("/login", formType, body, "Cookie", cookie); r.StatusCode != 403 {
		t.Error(r.Status)
	}
}

// GET with Upgrade: h2c opens a tunnel to an upstream that knows it.
func TestH2CUpgradeD29(t *testing.T) {
	e := serve(t, "captcha "+pow1000+"\nreverse_proxy {app}")
	e.dial(t, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	waitUntil(t, "the app is asked", e.app.asked)
	if s := e.app.one(t); s.Header.Get("Upgrade") != "" {
		t.Errorf("the app is asked to speak %s", s.Header.Get("Upgrade"))
	}
}

// signal and enforce of one scope: the first one spends the one-time clearance; uses count twice.
func TestSignalSpendsClearances(t *testing.T) {
	one := "clearance 1h {\nscope s\n}\nmax_replay 1KiB\nprovider pow {\ndifficulty 1000\n}\n}\n"
	e := serve(t, "route {\ncaptcha {\nmode signal\n"+one+"captcha {\n"+one+"reverse_proxy {app}\n}")
	body := "text=" + strings.Repeat("x", 2000)
	seal := sealIn(t, e.browse("same-origin", "/login", formType, body))
	r := e.post("/login", formType, "altcha="+url.QueryEscape(e.token("/login"))+"&captcha-seal="+seal, "Captcha-Redeem", "1", "Origin", e.url)
	e.wantForwarded(e.post("/login", formType, body, "Cookie", r.Cookies()[0].Name+"="+r.Cookies()[0].Value))
}

// what signal wrote stays beside what enforce says.
func TestStaleReason(t *testing.T) {
	e := serve(t, "route {\ncaptcha {\nmode signal\nprovider pow {\ndifficulty 1000\n}\n}\ncaptcha {\nclearance 1h\nprovider pow {\ndifficulty 1000\n}\n}\nreverse_proxy {app}\n}")
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	s := e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", r.Cookies()[0].Name+"="+r.Cookies()[0].Value))
	if s.Header.Get(headerStatus) == "cleared" && s.Header.Get(headerReason) != "" {
		t.Errorf("cleared, because %s", s.Header.Get(headerReason))
	}
}

// closed is called when it is closed.
type closed func()

func (c closed) Close() error {
	c()
	return nil
}

// A timer that has fired when stop comes must not watch on: it would break off
// whatever the connection does next.
func TestPaceEndsWithStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := keepPace(nil, closed(func() { t.Error("aborted a request that was done with") }))
		p.stop()
		p.check()
		time.Sleep(time.Hour)
	})
}

// disk and memory are kept while the rest of an upload is thrown away.
func TestHeldWhileDraining(t *testing.T) {
	e := serve(t, small)
	conn := e.dial(t, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "+formType+"\r\nContent-Length: 60000000\r\n\r\ntext=")
	used := &e.handler().app.shared.disk.used
	_, _ = io.WriteString(conn, strings.Repeat("x", 5<<20))
	waitUntil(t, "room for temporary files is taken", func() bool { return used.Load() != 0 })
	_, _ = io.WriteString(conn, strings.Repeat("x", 6<<20))
	fleettest.Until(t, "the room while the rest is awaited", drainTime/2, func() bool { return used.Load() == 0 })
}

// a directive in front that rewrites the method is undone by the seal.
func TestMethodRewrite(t *testing.T) {
	e := serve(t, "method PUT\ncaptcha "+pow1000+"\nreverse_proxy {app}")
	token := func() string { return url.QueryEscape(solveIn(t, e.post("/x", "", "").problem(t).Captcha)) }
	seal := sealIn(t, e.browse("same-origin", "/x", formType, "a=1"))
	if s := e.wantForwarded(e.browse("same-origin", "/x", formType, "altcha="+token()+"&captcha-seal="+seal)); s.Method != "PUT" {
		t.Errorf("the app saw %s, want PUT as without a challenge", s.Method)
	}
}

// raw bytes in the query do not survive the seal's JSON.
func TestRawQuery(t *testing.T) {
	e := serve(t, small)
	raw := func(body string) string {
		conn := e.dial(t, fmt.Sprintf("POST /login?q=\xfc HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body))
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	m := sealInput.FindStringSubmatch(raw("a=1"))
	if out := raw("altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + m[1]); !strings.HasPrefix(out, "HTTP/1.1 200") {
		t.Errorf("%.40q", out)
	}
}
