package captcha

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// wire sends bytes as they are and returns the statuses of all answers, until the
// server closes the connection. A text that ends in the middle of a request says
// with half that nothing more comes.
func (e *edge) wire(t *testing.T, text string, half bool) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, text) // the server may have closed it before the end
	if half {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Errorf("no answer and no end to %.200q, after %v", text, statuses)
			}
			return statuses
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		statuses = append(statuses, resp.StatusCode)
	}
}

// hidden is a request that must reach the app in no way: it has no token.
const hidden = "POST /login/hidden HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// wantNothingHidden fails where the app saw a request that was not let in.
func (e *edge) wantNothingHidden(t *testing.T, text string, statuses []int) []seen {
	t.Helper()
	got := e.app.take()
	for _, s := range got {
		if strings.Contains(s.URI, "hidden") || s.Method != "GET" && s.Header.Get(headerStatus) != "passed" {
			t.Errorf("%.300q\nwas answered %v, and %s %s reached the app", text, statuses, s.Method, s.URI)
		}
	}
	return got
}

// smuggled are requests with another one hidden behind them, in ways in which a
// server in front and one behind have been seen to disagree.
var smuggled = func() []smuggling {
	chunks := fmt.Sprintf("0\r\n\r\n%s", hidden)
	post := func(headers, body string) string {
		return "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + formType + "\r\n" + headers + "\r\n" + body
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(hidden))
	return []smuggling{
		{"D-30 length and chunks", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks), 403},
		{"D-30 chunks and length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunks), 403},
		{"D-30 two lengths", post("Content-Length: 0\r\n"+length, hidden), 400},
		{"D-30 two equal lengths", post(length+length, hidden), 403},
		{"D-30 list of lengths", post("Content-Length: 0, 90\r\n", hidden), 400},
		{"D-30 list of equal lengths", post("Content-Length: 5, 5\r\n", "a=bcd"+hidden), 400},
		{"D-30 length with a sign", post("Content-Length: +5\r\n", "a=bcd"+hidden), 400},
		{"D-30 negative length", post("Content-Length: -1\r\n", hidden), 400},
		{"D-30 length in hex", post("Content-Length: 0x5\r\n", "a=bcd"+hidden), 400},
		{"D-30 length with an underscore", post("Content_Length: 90\r\nContent-Length: 5\r\n", "a=bcd"+hidden), 403},
		{"D-30 unknown coding", post("Transfer-Encoding: xchunked\r\n", chunks), 501},
		{"D-30 two codings", post("Transfer-Encoding: chunked, identity\r\n", chunks), 501},
		{"D-30 coding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks), 501},
		{"D-30 coding with a tab", post("Transfer-Encoding:\tchunked\r\n", chunks), 403},
		{"D-30 coding with a form feed", post("Transfer-Encoding: \x0bchunked\r\n", chunks), 400},
		{"D-30 space before the colon", post("Transfer-Encoding : chunked\r\n", chunks), 400},
		{"D-30 folded header", post("X-Odd: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "a=bcd"+hidden), 403},
		{"D-30 folded first header", "POST /login HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n" + hidden, 400},
		{"D-30 header without a name", post(": x\r\nContent-Length: 5\r\n", "a=bcd"+hidden), 400},
		{"D-30 NUL in a header", post("X-Odd: a\x00b\r\nContent-Length: 5\r\n", "a=bcd"+hidden), 400},
		{"D-30 chunk extension", post("Transfer-Encoding: chunked\r\n", "5;a=\"\r\n\"\r\na=bcd\r\n"+chunks), 400},
		{"D-30 chunk size with a sign", post("Transfer-Encoding: chunked\r\n", "+5\r\na=bcd\r\n"+chunks), 400},
		{"D-30 chunk size in hex", post("Transfer-Encoding: chunked\r\n", "0x5\r\na=bcd\r\n"+chunks), 400},
		{"D-30 chunk size beyond 64 bits", post("Transfer-Encoding: chunked\r\n", "10000000000000005\r\na=bcd\r\n"+chunks), 400},
		{"D-30 chunk longer than it says", post("Transfer-Encoding: chunked\r\n", "3\r\na=bcd\r\n"+chunks), 400},
		{"D-30 body that waits for 100", post("Expect: 100-continue\r\n"+length, hidden), 100},
		{"D-30 unread body that waits for 100", strings.Replace(post("Expect: 100-continue\r\n"+length, hidden), formType, "text/plain", 1), 403},
		{"D-30 unread body of a type that is not parsed", strings.Replace(post(length, hidden), formType, "text/plain", 1), 403},
		{"D-30 unread body of a bad redemption", post("Captcha-Redeem: 1\r\n"+length, hidden), 400},
		{"D-30 no body for a puzzle", post("Captcha-Request: challenge\r\nTransfer-Encoding: chunked\r\n", chunks), 200},
		{"D-30 body for a puzzle", post("Captcha-Request: challenge\r\n"+length, hidden), 403},
		{"D-30 GET with a body", "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n" + length + "\r\n" + hidden, 200},
		{"D-30 GET with length and chunks", "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 200},
		{"D-30 HTTP/1.0 with chunks", strings.Replace(post("Transfer-Encoding: chunked\r\n", chunks), "HTTP/1.1", "HTTP/1.0", 1), 403},
		{"D-30 two hosts", "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" + hidden, 400},
		{"D-30 absolute form with another host", "POST http://127.0.0.1/login HTTP/1.1\r\nHost: elsewhere.test\r\nContent-Length: 0\r\n\r\n" + hidden, 403},
		{"D-30 absolute form of a host not ours", "POST http://elsewhere.test/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" + hidden, 200},
		{"D-30 target with a space", "POST /login /login/hidden HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" + hidden, 400},
		{"D-30 method with a separator", "POST\t/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" + hidden, 400},
		{"D-30 pipelined", strings.ReplaceAll(hidden, "Connection: close\r\n", "") + hidden, 403},
	}
}()

type smuggling struct {
	name, text string
	first      int // the status of the first answer
}

// Whatever a request says of its own length, the edge and the app see the same
// requests: none is hidden in the body of another one.
func TestSmugglingD30(t *testing.T) {
	e := serve(t, small)
	for _, c := range smuggled {
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			statuses := e.wire(t, c.text+"GET /end HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", false)
			if len(statuses) == 0 || statuses[0] != c.first {
				t.Errorf("answered %v, want %d first", statuses, c.first)
			}
			e.wantNothingHidden(t, c.text, statuses)
		})
	}
	e.t = t
	e.checkNothingHeld()
}

// With a good token the app gets exactly the body that was examined, and what
// stands behind it is a request of its own.
func TestSmugglingBehindATokenD30(t *testing.T) {
	e := serve(t, small)
	seal := func() string { return sealIn(t, e.browse("same-origin", "/login", formType, "a=1")) }
	for _, c := range []struct {
		name, headers, body, want string
		chunked                   bool
	}{
		{"D-30 length", "", "altcha={token}&a=1", "altcha={token}&a=1", false},
		{"D-30 chunks", "", "altcha={token}&a=1", "altcha={token}&a=1", true},
		{"D-30 length and chunks", "Content-Length: 3\r\n", "altcha={token}&a=1", "altcha={token}&a=1", true},
		{"D-30 page", "Origin: {origin}\r\nSec-Fetch-Mode: navigate\r\n", "altcha={token}&captcha-seal={seal}", "a=1", false},
		{"D-30 page in chunks", "Origin: {origin}\r\nSec-Fetch-Mode: navigate\r\n", "altcha={token}&captcha-seal={seal}", "a=1", true},
		{"D-30 token in the header", "Captcha-Token: {raw}\r\n", "a=1", "a=1", false},
		{"D-30 token in the header, chunks", "Captcha-Token: {raw}\r\n", "a=1", "a=1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			raw := e.token("/login")
			fill := strings.NewReplacer("{token}", url.QueryEscape(raw), "{raw}", raw, "{origin}", e.url, "{seal}", seal())
			body := fill.Replace(c.body)
			head := "POST /login HTTP/1.1\r\nHost: 127.0.0.1:" + fmt.Sprint(e.port) + "\r\nContent-Type: " + formType + "\r\n" + fill.Replace(c.headers)
			text := head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
			if c.chunked {
				text = head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
			statuses := e.wire(t, text+hidden, false)
			if fmt.Sprint(statuses) != "[200 403]" {
				t.Errorf("answered %v", statuses)
			}
			got := e.wantNothingHidden(t, text, statuses)
			if len(got) != 1 {
				t.Fatalf("%d requests reached the app", len(got))
			}
			sameBytes(t, got[0].Body, fill.Replace(c.want))
		})
	}
}

// A body that breaks off does not reach the app as if it were whole, wherever the
// token stood in it.
func TestBrokenBodiesD13(t *testing.T) {
	e := serve(t, small)
	head := "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + formType + "\r\n"
	for _, c := range []struct{ name, text string }{
		{"D-13 shorter than its length", head + "Content-Length: 5000\r\n\r\naltcha={token}&amount=1"},
		{"D-13 much shorter than its length", head + "Content-Length: 5000000\r\n\r\naltcha={token}&amount=1" + strings.Repeat("x", 100_000)},
		{"D-13 no last chunk", head + "Transfer-Encoding: chunked\r\n\r\n1000\r\naltcha={token}&amount=1"},
		{"D-13 no last chunk of many", head + "Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 40)},
		{"D-13 broken chunk", head + "Transfer-Encoding: chunked\r\n\r\n{chunk}\r\nZZ\r\n"},
		{"D-13 broken chunk of many", head + "Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 40) + "ZZ\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			token := url.QueryEscape(e.token("/login"))
			field := "altcha=" + token + "&amount=1"
			text := strings.NewReplacer("{token}", token, "{chunk}", fmt.Sprintf("%x\r\n%s", len(field), field)).Replace(c.text)
			statuses := e.wire(t, text, true)
			if len(statuses) > 0 && statuses[0] == 200 {
				t.Errorf("answered %v", statuses)
			}
			if got := e.app.take(); len(got) != 0 { // it remembers whole requests only
				t.Errorf("the app took %.100q for a whole body", got[0].Body)
			}
		})
	}
	e.t = t
	e.wantForwarded(e.form("/login", e.token("/login")))
	e.checkNothingHeld()
}

// Trailers are never asked for anything.
func TestTrailersAreNoFieldsD19(t *testing.T) {
	e := serve(t, `captcha /login* `+pow1000+`
	captcha_test_next`)
	token := e.token("/login")
	head := "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + formType + "\r\nTransfer-Encoding: chunked\r\n"
	for name, trailer := range map[string]string{
		"D-19 token header":                 "Captcha-Token: " + token,
		"D-19 token field":                  "altcha: " + token,
		"D-19 content type":                 "Content-Type: text/plain",
		"D-19 verdict":                      headerStatus + ": passed",
		"D-19 puzzle":                       "Captcha-Request: challenge",
		"D-19 length":                       "Content-Length: 0",
		"D-19 announced by a trailer field": "Trailer: " + headerStatus,
	} {
		t.Run(name, func(t *testing.T) {
			field, _, _ := strings.Cut(trailer, ":")
			for _, announced := range []string{"", "Trailer: " + field + "\r\n", "Trailer: X-Other\r\n"} {
				text := head + announced + "Connection: close\r\n\r\n3\r\na=1\r\n0\r\n" + trailer + "\r\n\r\n"
				if got := e.wire(t, text, false); len(got) != 1 || got[0] != 403 && got[0] != 400 {
					t.Errorf("%q: answered %v", text, got)
				}
			}
		})
	}
	// nor do they tell what comes next what we have not said
	body := "altcha=" + url.QueryEscape(token)
	for _, announced := range []string{"", "Trailer: X-Captcha-Status\r\n", "Trailer: X-Other\r\n"} {
		conn := e.dial(t, head+announced+fmt.Sprintf("Connection: close\r\n\r\n%x\r\n%s\r\n0\r\nX-Captcha-Status: passed\r\nX_Captcha_Score: 1\r\n\r\n", len(body), body))
		if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 200") || strings.Contains(strings.ToLower(string(got)), "captcha") && !strings.Contains(string(got), "altcha=") {
			t.Errorf("%q: %s", announced, got)
		} else if strings.Contains(string(got), "X-Captcha") || strings.Contains(string(got), "X_captcha") {
			t.Errorf("%q: %s", announced, got)
		}
		body = "altcha=" + url.QueryEscape(e.token("/login"))
	}
}
