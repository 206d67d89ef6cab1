package captcha

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// echoApp upgrades every connection that asks for it, and says then what body it has
// got before it echoes. All that asks for nothing gets a page.
func echoApp(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Upgrade") != "echo" {
			fmt.Fprintf(w, "<form method=post>%s %d", r.Method, len(body))
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // the server can
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Saw: %s %d %s\r\n\r\n", r.Method, len(body), r.Header.Get(headerStatus))
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// tunnel is an upgraded connection.
type tunnel struct {
	t   *testing.T
	in  *bufio.Reader
	out io.Writer
}

// upgrade asks for a tunnel, and says what the app saw.
func (e *edge) upgrade(t *testing.T, method, path, body string, headers ...string) (saw string, tun *tunnel) {
	t.Helper()
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\nAccept: text/html\r\nContent-Type: %s\r\nContent-Length: %d\r\n",
		method, path, formType, len(body))
	for i := 0; i < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	conn := e.dial(t, text+"\r\n"+body)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	tun = &tunnel{t, bufio.NewReader(conn), conn}
	resp, err := http.ReadResponse(tun.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.Status, nil
	}
	return resp.Header.Get("X-Saw"), tun
}

// carries checks that the tunnel works in both directions.
func (tun *tunnel) carries(text string) {
	tun.t.Helper()
	_, _ = io.WriteString(tun.out, text+"\n")
	if got, err := tun.in.ReadString('\n'); got != text+"\n" {
		tun.t.Errorf("through the tunnel came %q, %v", got, err)
	}
}

// A request that upgrades its connection goes through us like any other: a GET without
// more ado, a POST with its proof and with its whole body. What was held of that is not
// held for as long as the tunnel is open.
func TestUpgradesThroughUs(t *testing.T) {
	app := echoApp(t)
	e := serve(t, "encode\n\t"+strings.ReplaceAll(small, "{app}", app)+"\n\tcaptcha_inject")
	form := func(size int) string {
		return "text=" + strings.Repeat("x", size) + "&altcha=" + url.QueryEscape(e.token("/login"))
	}
	for _, c := range []struct{ name, method, path, body, token, want string }{
		{"GET", "GET", "/login", "", "", "GET 0 "},
		{"another path", "POST", "/other", "a=1", "", "POST 3 "},
		{"no proof", "POST", "/login", "a=1", "", "403 Forbidden"},
		{"held in memory", "POST", "/login", form(10), "", "passed"},
		{"spilled", "POST", "/login", form(200_000), "", "passed"},
		{"token in the header", "POST", "/login", "a=1", e.token("/login"), "passed"},
		{"no body", "POST", "/login", "", e.token("/login"), "passed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			var headers []string
			if c.token != "" {
				headers = []string{"Captcha-Token", c.token}
			}
			want := c.want
			if want == "passed" {
				want = fmt.Sprintf("POST %d passed", len(c.body))
			}
			saw, tun := e.upgrade(t, c.method, c.path, c.body, headers...)
			if strings.TrimSpace(saw) != strings.TrimSpace(want) {
				t.Fatalf("the app saw %q, want %q", saw, want)
			}
			if tun != nil {
				tun.carries("hello <form method=post>")
				e.waitNothingHeld() // while the tunnel is open
				tun.carries("again")
			}
		})
	}
}

// A reload does to open tunnels what it does without us: reverse_proxy closes them, or
// leaves them for as long as its stream_close_delay says.
func TestUpgradesAcrossAReload(t *testing.T) {
	app := echoApp(t)
	for _, c := range []struct {
		option string
		stays  bool
	}{{"", false}, {"stream_close_delay 1h", true}} {
		site := strings.ReplaceAll(small, "{app}", app+" {\n"+c.option+"\n}") + "\n\tcaptcha_inject"
		e := serve(t, site)
		body := "text=" + strings.Repeat("x", 200_000) + "&altcha=" + url.QueryEscape(e.token("/login"))
		_, posted := e.upgrade(t, "POST", "/login", body)
		_, got := e.upgrade(t, "GET", "/login", "")
		_, free := e.upgrade(t, "POST", "/other", "a=1")
		e.load("", "header X-New 1\n\t"+site)
		for _, tun := range []*tunnel{posted, got, free} {
			if tun == nil {
				t.Fatal("no tunnel")
			}
			if c.stays {
				tun.carries("still there")
			} else if rest, err := io.ReadAll(tun.in); len(rest) > 0 || err != nil {
				t.Errorf("the tunnel was not closed: %q, %v", rest, err)
			}
		}
		e.waitNothingHeld()
	}
}

// CONNECT is a method like any other: without a proof it opens no tunnel, also where
// HTTP/3 lets a client ask for a websocket with it.
func TestConnectNeedsAProofD29(t *testing.T) {
	e := serveAll(t, "captcha "+pow1000+"\n\treverse_proxy {app}")
	h3 := e.transports["HTTP/3.0"].(*http3.Transport)
	req := e.request("CONNECT", "/login", "", "")
	req.Proto, req.ProtoMajor, req.ProtoMinor = "websocket", 3, 0
	resp, err := h3.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 403 || len(e.app.take()) > 0 {
		t.Errorf("%s", resp.Status)
	}
}
