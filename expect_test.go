package captcha

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// expectation is a request with Expect: 100-continue, and what is to become of it.
type expectation struct {
	name      string
	headers   []string // name, value, …; {token} in them and in the body is a good one
	body      string
	looks     bool // the edge has to read the body
	status    int
	keepsOpen bool // HTTP/1.1: the connection goes on
}

// expecting are requests whose client asks before it sends the body. Where the edge
// answers without a look at it, there is no interim 100: the body need not be sent.
var expecting = []expectation{
	{"two token headers", []string{"captcha-token", "a", "captcha-token", "b", "content-type", formType}, "a=1", false, 400, false},
	{"an encoding", []string{"content-encoding", "gzip", "content-type", formType}, "a=1", false, 415, false},
	{"no form", []string{"content-type", "text/plain"}, "a=1", false, 403, false},
	{"too large to be carried", []string{"content-type", "text/plain", "sec-fetch-mode", "navigate", "sec-fetch-site", "same-origin"}, strings.Repeat("x", 2<<20), false, 403, false},
	{"another site's", []string{"content-type", "text/plain", "sec-fetch-mode", "navigate", "sec-fetch-site", "cross-site"}, "a=1", false, 403, false},
	{"a bad token in the header", []string{"captcha-token", "bad"}, "a=1", false, 403, false},
	{"no token", []string{"content-type", formType}, "a=1", true, 403, true},
	{"carried", []string{"content-type", "text/plain", "sec-fetch-mode", "navigate", "sec-fetch-site", "same-origin"}, "a=1", true, 403, true},
	{"held in memory", []string{"content-type", formType}, "altcha={token}&a=1", true, 200, true},
	{"spilled", []string{"content-type", formType}, "text=" + strings.Repeat("x", 200_000) + "&altcha={token}", true, 200, true},
	{"streamed", []string{"content-type", formType}, "altcha={token}&text=" + strings.Repeat("x", 200_000), true, 200, true},
	{"token in the header", []string{"captcha-token", "{raw}"}, "a=1", true, 200, true},
}

// text returns a request of HTTP/1.1: its head, its body, and that as it is sent.
func (c expectation) text(e *edge, chunked bool) (head, body, sent string) {
	raw := e.token("/login")
	fill := strings.NewReplacer("{token}", url.QueryEscape(raw), "{raw}", raw)
	head, body = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n", fill.Replace(c.body)
	for i := 0; i < len(c.headers); i += 2 {
		head += c.headers[i] + ": " + fill.Replace(c.headers[i+1]) + "\r\n"
	}
	if chunked {
		return head + "Transfer-Encoding: chunked\r\n\r\n", body, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), body, body
}

func TestExpectContinue(t *testing.T) {
	e := serve(t, small)
	for _, c := range expecting {
		for _, chunked := range []bool{false, true} {
			for _, waits := range []bool{true, false} {
				if len(c.body) > 1<<20 && (chunked || !waits) { // its length is what it is refused for
					continue
				}
				t.Run(fmt.Sprintf("%s, chunked %v, waits %v", c.name, chunked, waits), func(t *testing.T) {
					e.t = t
					head, body, sent := c.text(e, chunked)
					if !waits {
						head += sent
					}
					conn := e.dial(t, head)
					_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
					in := bufio.NewReader(conn)
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					if asked := resp.StatusCode == http.StatusContinue; asked != c.looks {
						t.Fatalf("answered %s first, although the body is needed: %v", resp.Status, c.looks)
					}
					if c.looks {
						if waits {
							_, _ = io.WriteString(conn, sent)
						}
						for resp.StatusCode == http.StatusContinue && err == nil { // the app has a word for it, too
							resp, err = http.ReadResponse(in, nil)
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					if _, err = io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != c.status {
						t.Errorf("answered %s, want %d; %v", resp.Status, c.status, err)
					}
					if got := e.app.take(); c.status == 200 && len(got) == 1 {
						sameBytes(t, got[0].Body, body)
					} else if c.status == 200 || len(got) > 0 {
						t.Errorf("%d requests reached the app", len(got))
					}
					// what comes next is a request of its own, or nothing is read any more
					_, _ = io.WriteString(conn, "GET /next HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
					next, err := http.ReadResponse(in, nil)
					if c.keepsOpen != (err == nil) {
						t.Fatalf("after it: %v", err)
					}
					if c.keepsOpen && (next.StatusCode != 200 || e.app.one(t).URI != "/next") {
						t.Errorf("the next request was answered %s", next.Status)
					}
				})
			}
		}
	}
	e.t = t
	e.waitNothingHeld()
}

// A client that gets its 100 and sends nothing holds nothing once it is gone.
func TestExpectContinueWithoutBody(t *testing.T) {
	e := serve(t, small)
	for range 10 {
		conn := e.dial(t, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Type: "+formType+"\r\nContent-Length: 100\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 100 {
			t.Fatal(resp, err)
		}
		_ = conn.Close()
	}
	e.waitNothingHeld()
	e.wantForwarded(e.form("/login", e.token("/login")))
}

// The same over HTTP/2, where Go takes the Expect header out of the request: whoever
// waits is asked for the body, which is thrown away. Not to read it would break the
// answers to clients that do not wait, such as curl.
func TestExpectContinueOverHTTP2(t *testing.T) {
	e := serveAll(t, small)
	e.http.Transport = e.transports["HTTP/1.1"]
	for _, c := range expecting {
		if len(c.body) > 60_000 {
			continue // more than a connection takes at once
		}
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			raw := e.token("/login")
			fill := strings.NewReplacer("{token}", url.QueryEscape(raw), "{raw}", raw)
			body := fill.Replace(c.body)
			fields := []string{":method", "POST", ":scheme", "https", ":authority", strings.TrimPrefix(e.url, "https://"), ":path", "/login",
				"expect", "100-continue", "content-length", strconv.Itoa(len(body))}
			for i := 0; i < len(c.headers); i += 2 {
				fields = append(fields, c.headers[i], fill.Replace(c.headers[i+1]))
			}
			f := e.frames(t)
			f.headers(false, fields...)
			got := f.status()
			if got != "100" {
				t.Errorf("answered %s first, and the body is not asked for", got)
			}
			_ = f.WriteData(1, true, []byte(body))
			got = f.status()
			if got != strconv.Itoa(c.status) {
				t.Errorf("answered %s, want %d", got, c.status)
			}
			if reached := e.app.take(); c.status == 200 && len(reached) == 1 {
				sameBytes(t, reached[0].Body, body)
			} else if c.status == 200 || len(reached) > 0 {
				t.Errorf("%d requests reached the app", len(reached))
			}
		})
	}
	e.t = t
	e.waitNothingHeld()
}

// waitNothingHeld is checkNothingHeld once requests that are over have ended.
func (e *edge) waitNothingHeld() {
	e.t.Helper()
	b := &e.handler().app.shared.budgets
	for end := time.Now().Add(time.Minute); b.memory.used.Load()+b.disk.used.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	e.checkNothingHeld()
}
