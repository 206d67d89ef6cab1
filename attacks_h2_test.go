package captcha

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 connection without a client's good manners.
type frames struct {
	*http2.Framer
	conn *tls.Conn
}

func (e *edge) frames(t *testing.T) *frames {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // our own server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	f := &frames{http2.NewFramer(conn, conn), conn}
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err := errors.Join(err, f.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return f
}

// headers sends the header block of the first stream; fields are name, value, …
func (f *frames) headers(end bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true})
}

// status is what the first stream is answered: a status, or how it was broken off.
func (f *frames) status() string {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// What HTTP/1.1 spells into one line, HTTP/2 carries in fields of any content. The
// edge turns it into HTTP/1.1 again.
func TestHTTP2FieldsD30(t *testing.T) {
	e := serveAll(t, "captcha "+pow1000+"\nreverse_proxy {app}")
	host := strings.TrimPrefix(e.url, "https://")
	request := func(more ...string) []string {
		return append([]string{":method", "POST", ":scheme", "https", ":authority", host, ":path", "/login", "content-type", formType}, more...)
	}
	with := func(name, value string) []string {
		all := request()
		for i := 0; i < len(all); i += 2 {
			if all[i] == name {
				all[i+1] = value
			}
		}
		return all
	}
	const body = "altcha=x&a=1"
	for _, c := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"D-30 as it should be", request(), "403"},
		{"D-30 request line in the path", with(":path", "/login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nPOST /login/hidden"), "reset"},
		{"D-30 space in the path", with(":path", "/login/hidden HTTP/1.1"), "403"},
		{"D-30 path without a slash", with(":path", "login/hidden"), "reset"},
		{"D-30 absolute path", with(":path", "https://127.0.0.1/login/hidden"), "reset"},
		{"D-30 asterisk", with(":path", "*"), "403"},
		{"D-30 empty path", with(":path", ""), "reset"},
		{"D-30 two paths", request(":path", "/other"), "reset"},
		{"D-30 pseudo header behind others", append(request("x-a", "b"), ":path", "/other"), "reset"},
		{"D-30 line end in the method", with(":method", "GET / HTTP/1.1\r\nX: "), "reset"},
		{"D-28 space behind the method", with(":method", "GET "), "403"},
		{"D-30 line end in the authority", with(":authority", host+"\r\nX: y"), "reset"},
		{"D-30 another host", request("host", "elsewhere.test"), "reset"},
		{"D-30 line end in a value", request("x-odd", "a\r\nContent-Length: 0\r\n\r\nPOST /login/hidden HTTP/1.1"), "reset"},
		{"D-30 line feed in a value", request("x-odd", "a\nTransfer-Encoding: chunked"), "reset"},
		{"D-30 NUL in a value", request("x-odd", "a\x00b"), "reset"},
		{"D-30 line end in a name", request("x: y\r\ntransfer-encoding", "chunked"), "reset"},
		{"D-30 upper case name", request("Transfer-Encoding", "chunked"), "reset"},
		{"D-30 chunks", request("transfer-encoding", "chunked"), "reset"},
		{"D-30 connection", request("connection", "x-captcha-status"), "reset"},
		{"D-30 length shorter than the data", request("content-length", "3"), "reset"},
		{"D-30 length longer than the data", request("content-length", "300"), "400"},
		{"D-30 two lengths", request("content-length", "12", "content-length", "3"), "403"},
		{"D-29 extended CONNECT", []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", host, ":path", "/login"}, "reset"},
		{"D-29 CONNECT", []string{":method", "CONNECT", ":authority", host}, "403"},
		{"D-28 lower case method", with(":method", "post"), "403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := e.frames(t)
			f.headers(false, c.fields...)
			_ = f.WriteData(1, true, []byte(body))
			if got := f.status(); got != c.want && (c.want != "reset" || got != "closed" && got != "400") {
				t.Errorf("%s, want %s", got, c.want)
			}
			e.wantNothingHidden(t, strings.Join(c.fields, " "), nil)
		})
	}
}

// A body that is broken off on HTTP/2: by a reset, or by an end that comes too soon.
func TestHTTP2BrokenBodiesD13(t *testing.T) {
	e := serveAll(t, small)
	e.http.Transport = e.transports["HTTP/1.1"]
	for _, c := range []struct {
		name string
		end  func(*frames)
	}{
		{"D-13 reset", func(f *frames) { _ = f.WriteRSTStream(1, http2.ErrCodeCancel) }},
		{"D-13 too early an end", func(f *frames) { _ = f.WriteData(1, true, nil) }},
		{"D-13 connection closed", func(f *frames) { _ = f.conn.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := e.frames(t)
			f.headers(false, ":method", "POST", ":scheme", "https", ":authority", strings.TrimPrefix(e.url, "https://"), ":path", "/login",
				"content-type", formType, "content-length", "70000")
			_ = f.WriteData(1, false, []byte("altcha="+url.QueryEscape(e.token("/login"))+"&amount=1"))
			c.end(f)
			e.wantForwarded(e.form("/login", e.token("/login"))) // this one, and only this one
		})
	}
	e.checkNothingHeld()
}

// Every protocol alike: what breaks off, what trailers say, and who upgrades.
func TestEveryProtocolBreaksOffD13D19D29(t *testing.T) {
	e := serveAll(t, `captcha /login* `+pow1000+`
	captcha_test_next`)
	for proto, transport := range e.transports {
		t.Run(proto, func(t *testing.T) {
			e.http.Transport, e.t, e.http.Timeout = transport, t, 10*time.Second
			token := e.token("/login")
			trailing := func(body string) reply {
				req := e.request("POST", "/login", formType, "")
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
				req.Trailer = http.Header{"Captcha-Token": {token}, headerStatus: {"passed"}, "X-Sum": {"1"}}
				return e.do(req)
			}
			if r := trailing("a=1"); r.StatusCode != 403 {
				t.Errorf("a token in a trailer: %s", r.Status)
			}
			if r := trailing("altcha=" + url.QueryEscape(token)); r.StatusCode != 200 || strings.Contains(string(r.body), headerStatus) {
				t.Errorf("a verdict in a trailer: %s %s", r.Status, r.body)
			}
			broken := errors.New("broken off")
			req := e.request("POST", "/login", formType, "")
			text := "altcha=" + url.QueryEscape(e.token("/login")) + "&amount=1"
			req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(text), readerFunc(func([]byte) (int, error) { return 0, broken }))), 70_000
			req.GetBody = nil // or the transport sends it again for ever
			if resp, err := e.http.Do(req); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == 200 {
					t.Error("a body that broke off was taken for a whole one")
				}
			}
		})
	}
	e.checkNothingHeld()
}

// The tunnels of websockets do not lead around the check of a protected method.
func TestUpgradesD29(t *testing.T) {
	e := serve(t, small)
	const websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for name, text := range map[string]string{
		"D-29 POST that upgrades":        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n" + websocket + "Content-Length: 0\r\n\r\n" + hidden,
		"D-29 POST to h2c":               "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 0\r\n\r\n" + hidden,
		"D-29 prior knowledge":           http2.ClientPreface + hidden,
		"D-29 GET that nobody upgrades":  "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n" + websocket + "\r\n" + hidden,
		"D-29 GET to h2c in a list":      "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n" + hidden,
		"D-29 GET to h2c with a version": "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c/2.0\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			e.t = t
			for _, s := range e.wantNothingHidden(t, text, e.wire(t, text, false)) {
				if strings.Contains(strings.ToLower(fmt.Sprint(s.Header["Upgrade"])), "h2c") {
					t.Errorf("the app is asked to speak %s", s.Header["Upgrade"])
				}
			}
		})
	}
}
