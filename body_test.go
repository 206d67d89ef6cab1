package captcha

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Promise 1, for bodies of every size and place of the token: what is forwarded
// is byte for byte what came, with the same length.
func TestForwardedBodyIsTheReceivedOne(t *testing.T) {
	e := serve(t, `captcha {
		max_buffer 4KiB
		max_body 1MiB
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`)
	for _, before := range []int{0, 4000, 4060, 4096, 5000, 100_000, 1_000_000} {
		for _, after := range []int{0, 1, 5000, 2_000_000} {
			for _, sized := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d before, %d after, sized %v", before, after, sized), func(t *testing.T) {
					e.t = t
					body := "a=" + strings.Repeat("x", before) + "&altcha=" + url.QueryEscape(e.token("/")) + "&b=" + strings.Repeat("y", after)
					req := e.request("POST", "/", formType, body)
					if !sized {
						req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
					}
					s := e.wantForwarded(e.do(req))
					sameBytes(t, s.Body, body)
					if want := req.ContentLength; s.Length != want {
						t.Errorf("the app saw length %d, want %d", s.Length, want)
					}
				})
			}
		}
	}
	e.t = t
	e.checkNothingHeld()
	e.wantProblem(e.post("/", formType, "a="+strings.Repeat("x", 1<<20)+"&altcha="+url.QueryEscape(e.token("/"))), 413, "body-too-large")
	e.checkNothingHeld()
}

// checkNothingHeld fails where a request has left something behind.
func (e *edge) checkNothingHeld() {
	e.t.Helper()
	b := &e.handler().app.shared.budgets
	if m, d := b.memory.used.Load(), b.disk.used.Load(); m != 0 || d != 0 {
		e.t.Errorf("%d bytes of memory and %d of disk are still taken", m, d)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		for _, f := range left {
			if strings.HasPrefix(f.Name(), "caddy-captcha-") {
				e.t.Errorf("temporary file %s is left", f.Name())
			}
		}
	}
}

// What follows the token is streamed, never buffered.
func TestUploadBehindTheTokenIsStreamed(t *testing.T) {
	var received atomic.Int64
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Add(n)
	}))
	defer sink.Close()
	e := serve(t, strings.ReplaceAll(small, "{app}", strings.TrimPrefix(sink.URL, "http://")))
	const size = 256 << 20
	head := "altcha=" + url.QueryEscape(e.token("/login")) + "&upload="
	budgets := &e.handler().app.shared.budgets
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	var peak uint64
	var sent, most int64
	upload := readerFunc(func(p []byte) (int, error) {
		if sent >= size {
			return 0, io.EOF
		}
		if sent%(32<<20) == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			if sent > 0 {
				most = max(most, budgets.memory.used.Load()+budgets.disk.used.Load())
			}
		}
		n := copy(p, chunk)
		sent += int64(n)
		return n, nil
	})
	req := e.request("POST", "/login", formType, "")
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(head), upload)), -1
	if r := e.do(req); r.StatusCode != 200 || received.Load() != sent+int64(len(head)) {
		t.Errorf("%s, the app received %d of %d bytes", r.Status, received.Load(), sent)
	}
	if most != 0 || peak > 100<<20 {
		t.Errorf("%d bytes held during the upload, heap up to %d MiB", most, peak>>20)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// part is a multipart body of one part, whose boundary is that of multi.
func part(header, value string) string {
	return "--B\r\n" + header + "\r\n\r\n" + value + "\r\n--B--\r\n"
}

const multi = "multipart/form-data; boundary=B"

// ambiguous are requests that somebody could read in another way than the edge,
// or whose token is none.
var ambiguous = []struct {
	name, contentType, body string
	status                  int
	reason                  string
}{
	{"D-03 two values", formType, "altcha=a&altcha=b", 400, "bad-request"},
	{"D-04 array", formType, "altcha=a&altcha[]=b", 400, "bad-request"},
	{"D-04 case", formType, "Altcha=b", 400, "bad-request"},
	{"D-09 RFC 2231 name", multi, part(`Content-Disposition: form-data; name*=utf-8''altcha`, "a"), 400, "bad-request"},
	{"D-10 token as a file", multi, part(`Content-Disposition: form-data; name="altcha"; filename="x"`, "a"), 400, "bad-request"},
	{"D-11 transfer encoding", multi, part("Content-Disposition: form-data; name=altcha\r\nContent-Transfer-Encoding: base64", "YQ=="), 400, "bad-request"},
	{"D-08 preamble", multi, "hello\r\n" + part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-08 part in a preamble", multi, "--A\r\n\r\n" + part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-08 part behind the end", multi, "--B--\r\n--B\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\na\r\n--B--\r\n", 400, "bad-request"},
	{"D-08 two boundaries", multi + "; boundary=C", part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-08 boundary in pieces", "multipart/form-data; boundary*0=B", part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-08 long boundary", "multipart/form-data; boundary=" + strings.Repeat("B", 71), "", 400, "bad-request"},
	{"D-08 bare line feeds", multi, strings.ReplaceAll(part(`Content-Disposition: form-data; name="altcha"`, "a"), "\r\n", "\n"), 400, "bad-request"},
	{"D-08 boundary within a line", multi, "--B\r\nX: y\r\n\r\nx" + part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-08 part in the epilogue", multi, part(`Content-Disposition: form-data; name="altcha"`, "a") + "Content-Disposition: form-data; name=\"altcha\"\r\n\r\nb", 400, "bad-request"},
	{"D-08 part without a header", multi, "--B\r\n\r\nx\r\n" + part(`Content-Disposition: form-data; name="altcha"`, "a"), 400, "bad-request"},
	{"D-13 no final boundary", multi, "--B\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\na\r\n", 400, "bad-request"},
	{"D-16 deep JSON", "application/json", strings.Repeat("[", 65), 400, "bad-request"},
	{"D-16 many members", "application/json", "{" + strings.Repeat(`"a":1,`, 10_000) + `"altcha":"a"}`, 400, "bad-request"},
	{"D-16 long key", "application/json", `{"` + strings.Repeat("k", 1025) + `":1}`, 400, "bad-request"},
	{"D-17 escape", formType, "altcha=%4", 400, "bad-request"},
	{"D-17 NUL", formType, "altcha=a%00b", 403, "token-invalid"},
	{"D-17 overlong", formType, "altcha=%c0%af", 403, "token-invalid"},
	{"D-17 UTF-16", formType + "; charset=utf-16", "altcha=a", 415, "unsupported-encoding"},
	{"D-17 UTF-7", formType + "; charset=utf-7", "altcha=a", 415, "unsupported-encoding"},
	{"D-17 charset in the form", formType, "_charset_=utf-16&altcha=a", 400, "bad-request"},
	{"D-04 NUL", formType, "altcha%00=b", 400, "bad-request"},
	{"D-04 space", formType, "altcha+=b", 400, "bad-request"},
	{"D-04 question mark", formType, "?altcha=b&altcha=a", 400, "bad-request"},
	{"D-04 seven bits", formType, "x=1\xa6altcha\xbdb&altcha=a", 400, "bad-request"},
	{"D-04 semicolon", formType, "a=1;altcha=b", 400, "bad-request"},
	{"D-22 placeholder", formType, "altcha=undefined", 403, "token-invalid"},
	{"D-95 parts", multi, strings.Repeat("--B\r\nX: y\r\n\r\n\r\n", 4097) + "--B--", 400, "bad-request"},
	{"D-95 pairs", formType, strings.Repeat("a&", 10_000) + "altcha=b", 400, "bad-request"},
	{"D-95 name", formType, strings.Repeat("n", 1025) + "=1", 400, "bad-request"},
	{"D-14 duplicate keys", "application/json", `{"altcha":"a","altcha":"b"}`, 400, "bad-request"},
	{"D-14 case variant", "application/json", `{"altcha":"a","ALTCHA":"b"}`, 400, "bad-request"},
	{"D-14 trailing", "application/json", `{"altcha":"a"}{}`, 400, "bad-request"},
	{"charset", formType + "; charset=utf-16", "altcha=a", 415, "unsupported-encoding"},
	{"no boundary", "multipart/form-data", "altcha=a", 400, "bad-request"},
	{"D-06 a type that is not parsed", "text/plain", "altcha=a", 403, "token-missing"},
	{"no type", "", "altcha=a", 403, "token-missing"},
	{"forged", formType, "altcha=a", 403, "token-invalid"},
	{"D-22 empty", formType, "altcha=", 403, "token-missing"},
}

// Where two parsers could disagree about the token, the request is refused.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	e := serve(t, small)
	for _, c := range ambiguous {
		t.Run(c.name, func(t *testing.T) {
			e.t = t
			p := e.wantProblem(e.post("/login", c.contentType, c.body), c.status, c.reason)
			if hasPuzzle := len(p.Captcha) > 0; hasPuzzle != (c.status != 400) {
				t.Errorf("challenge in the document: %v", hasPuzzle)
			}
			if r := e.browse("same-origin", "/login", c.contentType, c.body); c.status != 403 &&
				(r.StatusCode != c.status || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html")) {
				t.Errorf("a browser got %s, %s", r.Status, r.Header.Get("Content-Type"))
			}
		})
	}
	for _, coding := range []string{"gzip", "br", "deflate", "identity, gzip", "x-gzip"} {
		t.Run("D-18 "+coding, func(t *testing.T) {
			e.t = t
			e.wantProblem(e.post("/login", formType, "altcha=a", "Content-Encoding", coding), 415, "unsupported-encoding")
		})
	}
	e.t = t
	e.wantProblem(e.post("/login", formType, "altcha=a", "Content-Type", "text/plain"), 400, "bad-request")
	e.wantForwarded(e.post("/login", formType, "altcha="+url.QueryEscape(e.token("/login")), "Content-Encoding", "identity"))
	// what comes behind the token of a longer body is streamed unseen
	long := "altcha=" + url.QueryEscape(e.token("/login")) + "&altcha=b&x=" + strings.Repeat("x", 70_000)
	sameBytes(t, e.wantForwarded(e.post("/login", formType, long)).Body, long)
	e.checkNothingHeld()
}

func TestNoRoomIs503D94(t *testing.T) { // D-94
	e := serve(t, small)
	e.load("captcha {\n\t\tmax_spill 64KiB\n\t}", small)
	r := e.post("/login", formType, "text="+strings.Repeat("x", 1<<20))
	e.wantProblem(r, 503, "try-again")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	e.checkNothingHeld()
	memory := &e.handler().app.shared.memory
	memory.limit.Store(1000)
	defer memory.limit.Store(maxBodiesInMem)
	e.wantProblem(e.post("/login", formType, "text="+strings.Repeat("x", 2000)), 503, "try-again")
	if r := e.browse("same-origin", "/login", "text/plain", strings.Repeat("x", 5000)); r.StatusCode != 503 {
		t.Errorf("a body to carry without room: %s", r.Status)
	}
}

func TestSlowBodyIs408D93(t *testing.T) { // D-93
	e := serve(t, small)
	h := e.handler()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			every  time.Duration
			n      int
			want   int
			puzzle string
		}{
			{"a byte a second", time.Second, 1, 408, ""},
			{"two KiB a second", time.Second, 2 << 10, 403, ""},
			{"stalled", time.Hour, 1, 408, ""},
			{"stalled before the first byte", time.Hour, 0, 400, "challenge"},
		} {
			body, feed := io.Pipe()
			go func() {
				if c.n > 0 {
					_, _ = feed.Write([]byte("a="))
				}
				for range 30 {
					if _, err := feed.Write(bytes.Repeat([]byte("x"), c.n)); err != nil {
						return
					}
					time.Sleep(c.every)
				}
				_ = feed.Close()
			}()
			r := httptest.NewRequest("POST", "/login", body)
			r.Header.Set("Content-Type", formType)
			r.Header.Set("Captcha-Request", c.puzzle)
			w := httptest.NewRecorder() // has no deadlines: the body is closed
			start := time.Now()
			if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(nil)); err != nil || w.Code != c.want {
				t.Errorf("%s: %d, %v", c.name, w.Code, err)
			}
			if c.want != 403 && time.Since(start) > 15*time.Second {
				t.Errorf("%s: ended after %s", c.name, time.Since(start))
			}
			_ = body.Close()
		}
		time.Sleep(2 * time.Hour) // every feeder has ended
	})
}

// A transport may read on after the handler has returned.
func TestHeldBodyAfterRelease(t *testing.T) {
	b := &heldBody{budgets: new(budgets), rest: io.NopCloser(strings.NewReader("rest")), mem: []byte("mem"), inMem: 3}
	b.release()
	b.release()
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after release: %v", err)
	}
}

func TestHeldBodyReads(t *testing.T) {
	room := new(budgets)
	room.memory.limit.Store(1 << 20)
	room.disk.limit.Store(1 << 20)
	b := &heldBody{budgets: room, rest: io.NopCloser(strings.NewReader("-rest"))}
	if !b.grow(10) {
		t.Fatal("no room")
	}
	b.mem = append(b.mem, "memory"...)
	b.inMem = 6
	if err := errors.Join(b.spill([]byte("-di")), b.spill([]byte("sk"))); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(b, []byte("memory-disk-rest")); err != nil {
		t.Error(err)
	}
	if m, d := room.memory.used.Load(), room.disk.used.Load(); m != 0 || d != 0 {
		t.Errorf("%d and %d still taken once all was read", m, d)
	}
}

// panics is an error of a provider that is broken.
type panics struct{ error }

func (panics) As(any) bool { panic("a provider is broken") }

// A provider that panics takes no room with it.
func TestPanicsHoldNothing(t *testing.T) {
	e := serve(t, chainSite(t, ""))
	world(t, panics{unavailable}, nil, provider.Verdict{})
	if resp, err := e.http.Do(e.request("POST", "/login", formType, "fake-token=a")); err == nil {
		_ = resp.Body.Close()
		t.Errorf("%s, want a connection that is broken off", resp.Status)
	}
	e.checkNothingHeld()
}

// brokenBody panics once so much of it was read.
type brokenBody struct{ good io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.good.Read(p)
	if err != nil {
		panic("a handler in front of us is broken")
	}
	return n, nil
}

// Nor does a body whose reading panics, whatever it is read for.
func TestBodiesThatPanicHoldNothing(t *testing.T) {
	e := serve(t, small)
	h := e.handler()
	for _, c := range []struct {
		name    string
		headers []string
	}{
		{"search", []string{"Content-Type", formType}},
		{"redemption", []string{"Content-Type", formType, "Captcha-Redeem", "1", "Sec-Fetch-Site", "same-origin"}},
		{"page", append(browser("same-origin"), "Content-Type", "text/plain")},
		{"rest", []string{"Content-Type", formType, "Captcha-Token", "bad"}},
	} {
		for _, size := range []int{100, 200_000} { // in memory, and spilled
			t.Run(fmt.Sprint(c.name, size), func(t *testing.T) {
				e.t = t
				r := httptest.NewRequest("POST", "/login", brokenBody{strings.NewReader("a=" + strings.Repeat("x", size))})
				for i := 0; i < len(c.headers); i += 2 {
					r.Header.Set(c.headers[i], c.headers[i+1])
				}
				func() {
					defer func() {
						if recover() == nil {
							t.Error("the panic was swallowed")
						}
					}()
					_ = h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(nil))
				}()
				e.checkNothingHeld()
			})
		}
	}
}
