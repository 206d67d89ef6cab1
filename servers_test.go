package captcha

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// What the servers option of Caddy does to a request that we hold.

// A body that comes too slowly for the server's read_body is answered as one that comes
// too slowly for us: the client is told so, whatever it was read for; nothing is held
// any more, and nobody has to act, so that the log has no error.
func TestServerTimeoutsReadBody(t *testing.T) {
	e := serve(t, small)
	e.move()
	e.load("servers {\n\ttimeouts {\n\t\tread_body 300ms\n\t}\n}", small)
	post := func(headers string) string {
		return "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n" + headers + "\r\n"
	}
	const nav = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nOrigin: http://127.0.0.1\r\n"
	cases := []struct{ name, text, kind string }{
		{"stalled at once", post("Content-Type: " + formType + "\r\n"), "application/problem+json"},
		{"in memory", post("Content-Type: "+formType+"\r\n") + "text=x", "application/problem+json"},
		{"spilled", post("Content-Type: "+formType+"\r\n") + "text=" + strings.Repeat("x", 200_000), "application/problem+json"},
		{"a browser's form", post(nav+"Content-Type: "+formType+"\r\n") + "text=x", "text/html"},
		{"to be carried", post(nav+"Content-Type: text/plain\r\n") + "text=x", "text/html"},
		{"a redemption", post("Captcha-Redeem: 1\r\nSec-Fetch-Site: same-origin\r\nContent-Type: "+formType+"\r\n") + "text=x", "application/problem+json"},
	}
	conns := make([]net.Conn, len(cases))
	for i, c := range cases {
		conns[i] = e.dial(t, c.text) // they are too slow together
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_ = conns[i].SetReadDeadline(time.Now().Add(20 * time.Second))
			in := bufio.NewReader(conns[i])
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 408 || !strings.HasPrefix(kind, c.kind) {
				t.Errorf("%s %s", resp.Status, kind)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
				t.Errorf("the connection goes on: %q, %v", rest, err)
			}
			if got := e.app.take(); len(got) > 0 {
				t.Errorf("%d requests reached the app", len(got))
			}
		})
	}
	e.waitNothingHeld()
	log, err := os.ReadFile(e.dir + "/log")
	if err != nil || len(log) == 0 {
		t.Fatal("no log", err)
	}
	for line := range strings.SplitSeq(string(log), "\n") {
		if strings.Contains(line, `"level":"error"`) && !strings.Contains(line, "server shutdown") {
			t.Error(line)
		}
	}
}

// HTTP/2 ends reading in a way of its own. HTTP/3 knows no such timeout, only ours.
func TestServerTimeoutsOverHTTP2(t *testing.T) {
	e := serveAllWith(t, "servers {\n\ttimeouts {\n\t\tread_body 300ms\n\t}\n}", small)
	e.http.Transport = e.transports["HTTP/2.0"]
	for _, headers := range [][]string{nil, browser("same-origin")} {
		for _, kind := range []string{formType, "text/plain"} {
			if kind != formType && headers == nil { // refused unread
				continue
			}
			body, hold := io.Pipe()
			go func() { _, _ = io.WriteString(hold, "text=x") }()
			req := e.request("POST", "/login", kind, "", headers...)
			req.Body, req.ContentLength, req.GetBody = body, 1_000_000, nil
			if r := e.do(req); r.StatusCode != 408 || r.ProtoMajor != 2 || len(e.app.take()) > 0 {
				t.Errorf("%s of %v: %s %s", kind, headers, r.Proto, r.Status)
			}
			_ = hold.Close()
		}
	}
	e.waitNothingHeld()
}

// A form that comes quickly enough gets through, under timeouts of every kind and with
// bodies and answers that go at the same time.
func TestServerOptions(t *testing.T) {
	e := serve(t, small)
	for _, options := range []string{
		"timeouts {\n\t\tread_body 1m\n\t\tread_header 1m\n\t\twrite 1m\n\t\tidle 1m\n\t}",
		"enable_full_duplex",
		"keepalive_interval 1s",
		"max_header_size 16KiB",
		"trusted_proxies static private_ranges\n\tclient_ip_headers X-Real-IP",
	} {
		e.move()
		e.load("servers {\n\t"+options+"\n}", small)
		body := "text=" + strings.Repeat("x", 200_000) + "&altcha=" + url.QueryEscape(e.token("/login"))
		sameBytes(t, e.wantForwarded(e.post("/login", formType, body)).Body, body)
		page := e.browse("same-origin", "/login", "text/plain", "precious")
		sameBytes(t, e.wantForwarded(e.solvePage("/login", sealIn(t, page))).Body, "precious")
		e.wantProblem(e.post("/login", formType, body, "Content-Encoding", "gzip"), 415, "unsupported-encoding")
		// what is behind a refused body on the connection is a request of its own
		text := fmt.Sprintf("POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s%s", formType, len(body), body, hidden)
		if got := e.wire(t, text, false); fmt.Sprint(got) != "[415 403]" {
			t.Errorf("%s: answered %v", options, got)
		}
		e.wantNothingHidden(t, text, nil)
	}
	e.waitNothingHeld()
}

// Behind a load balancer that speaks the PROXY protocol the visitor is whom that names:
// a clearance that is bound to the address counts there and nowhere else.
func TestProxyProtocolNamesTheVisitor(t *testing.T) {
	site := strings.Replace(small, "{", "{\n\t\tclearance 1h {\n\t\t\tbind ip\n\t\t}", 1)
	e := serve(t, site)
	e.move()
	e.load("servers {\n\tlistener_wrappers {\n\t\tproxy_protocol {\n\t\t\tallow 127.0.0.1/32\n\t\t}\n\t}\n}", site)
	from := func(ip, body, more string) *http.Response {
		conn := e.dial(t, fmt.Sprintf("PROXY TCP4 %s 192.0.2.1 4711 80\r\nPOST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s",
			ip, formType, more, len(body), body))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := from("203.0.113.7", "altcha="+url.QueryEscape(e.token("/login")), "")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 || e.app.one(t).Header.Get("X-Forwarded-For") != "203.0.113.7" {
		t.Fatalf("%s %v", resp.Status, resp.Cookies())
	}
	cookie := "Cookie: " + resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value + "\r\n"
	for ip, want := range map[string]int{"203.0.113.99": 200, "198.51.100.7": 403} {
		if got := from(ip, "a=1", cookie); got.StatusCode != want {
			t.Errorf("from %s: %s, want %d", ip, got.Status, want)
		}
	}
}
