package captcha

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-captcha/caddy-captcha/web"
)

const (
	// pageHead and pageTail are a page with a form between which the test's own text stands.
	pageHead = `<!doctype html><html><head><meta charset="utf-8"><title>Log in</title></head><body>`
	pageTail = `<form method="post" action="/login"><input name="user"></form><form action="/search"></form></body></html>`

	injectSite = "encode\n\tcaptcha /login*\n\tcaptcha_inject\n\treverse_proxy {upstream}"
)

// serveInjected runs a site in front of an upstream, which stands for {upstream}.
func serveInjected(t *testing.T, site string, upstream http.HandlerFunc) *edge {
	t.Helper()
	s := httptest.NewServer(upstream)
	t.Cleanup(s.Close)
	return serve(t, strings.ReplaceAll(site, "{upstream}", strings.TrimPrefix(s.URL, "http://")))
}

// get navigates to a path.
func (e *edge) get(path string, headers ...string) reply {
	e.t.Helper()
	return e.do(e.request("GET", path, "", "", append([]string{"Accept", "text/html"}, headers...)...))
}

// takeOutInjected returns a page without what was put into it, and how many
// scripts and inputs that were.
func takeOutInjected(t *testing.T, page string) (rest string, scripts, inputs int) {
	t.Helper()
	for {
		before, after, ok := strings.Cut(page, "<script "+web.InjectMark+">")
		if !ok {
			break
		}
		_, after, ok = strings.Cut(after, "</script>")
		if !ok {
			t.Fatal("the script does not end")
		}
		page = before + after
		scripts++
	}
	input := `<input type="hidden" name="altcha" autocomplete="off" disabled ` + web.InjectMark + `>`
	return strings.ReplaceAll(page, input, ""), scripts, strings.Count(page, input)
}

// wantInjected checks that a page is the given one, with the script and one input.
func wantInjected(t *testing.T, got, page string) {
	t.Helper()
	rest, scripts, n := takeOutInjected(t, got)
	if rest != page || scripts != 1 || n != 1 {
		t.Errorf("%d scripts and %d inputs, want one of each, in\n%.600q, want\n%.600q", scripts, n, rest, page)
	}
}

// htmlWith answers with a page that has these headers beside its type, or in its
// place; pageStatus with one of a status.
func htmlWith(headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for pair := range slices.Chunk(headers, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		_, _ = io.WriteString(w, pageHead+pageTail)
	}
}

func pageStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, pageHead+pageTail)
	}
}

// injectDecisions are answers and requests, and whether the page is rewritten.
var injectDecisions = []struct {
	name     string
	upstream http.HandlerFunc
	headers  []string // of the request
	injected bool
}{
	{"page", htmlWith(), nil, true},
	{"page without a charset", htmlWith("Content-Type", "text/html"), nil, true},
	{"broken parameters", htmlWith("Content-Type", "text/html; charset"), nil, true},
	{"latin 1", htmlWith("Content-Type", "text/html; charset=ISO-8859-1"), nil, true},
	{"shift_jis", htmlWith("Content-Type", `TEXT/HTML;charset="Shift_JIS"`), nil, true},
	{"utf-16", htmlWith("Content-Type", "text/html; charset=utf-16"), nil, false},
	{"utf-7", htmlWith("Content-Type", "text/html; charset=utf-7"), nil, false},
	{"iso-2022-jp", htmlWith("Content-Type", "text/html; charset=iso-2022-jp"), nil, false},
	{"hz", htmlWith("Content-Type", "text/html; charset=hz-gb-2312"), nil, false},
	{"plain text", htmlWith("Content-Type", "text/plain"), nil, false},
	{"xhtml", htmlWith("Content-Type", "application/xhtml+xml"), nil, false},
	{"like html", htmlWith("Content-Type", "text/html-sandboxed"), nil, false},
	{"events", htmlWith("Content-Type", "text/event-stream"), nil, false},
	{"encoded", htmlWith("Content-Encoding", "br"), nil, false},
	{"identity", htmlWith("Content-Encoding", "identity"), nil, true},
	{"no-transform", htmlWith("Cache-Control", "public, No-Transform"), nil, false},
	{"download", htmlWith("Content-Disposition", "attachment; filename=a.html"), nil, false},
	{"inline", htmlWith("Content-Disposition", "inline"), nil, true},
	{"sandbox", htmlWith("Content-Security-Policy", "sandbox"), nil, false},
	{"not found", pageStatus(404), nil, true}, {"error", pageStatus(500), nil, true}, {"forbidden", pageStatus(403), nil, true},
	{"created", pageStatus(201), nil, true}, {"redirect", pageStatus(302), nil, false}, {"partial", pageStatus(206), nil, false},
	{"document", htmlWith(), []string{"Sec-Fetch-Dest", "document"}, true},
	{"iframe", htmlWith(), []string{"Sec-Fetch-Dest", "iframe"}, true},
	{"fetch", htmlWith(), []string{"Sec-Fetch-Dest", "empty"}, false},
	{"image", htmlWith(), []string{"Sec-Fetch-Dest", "image"}, false},
	{"two destinations", htmlWith(), []string{"Sec-Fetch-Dest", "document", "Sec-Fetch-Dest", "empty"}, false},
	{"XMLHttpRequest", htmlWith(), []string{"X-Requested-With", "XMLHttpRequest"}, false},
}

// TestInjectDecides is the table of what is rewritten.
func TestInjectDecides(t *testing.T) {
	page := pageHead + pageTail
	var upstream http.HandlerFunc
	e := serveInjected(t, injectSite, func(w http.ResponseWriter, r *http.Request) { upstream(w, r) })
	for _, c := range injectDecisions {
		t.Run(c.name, func(t *testing.T) {
			upstream = c.upstream
			r := e.get("/", append([]string{"Accept-Encoding", "identity"}, c.headers...)...)
			if !c.injected {
				if string(r.body) != page {
					t.Errorf("%s: not the app's page: %.300q", r.Status, r.body)
				}
				return
			}
			wantInjected(t, string(r.body), page)
		})
	}
}

// TestInjectWithoutBody: what has no page in it passes, and nothing is invented.
func TestInjectWithoutBody(t *testing.T) {
	var code int
	e := serveInjected(t, injectSite, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html")
		h.Set("Etag", `"1"`)
		h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		h.Set("Accept-Ranges", "bytes")
		if r.Method == "HEAD" {
			h.Set("Content-Length", "1234")
		}
		w.WriteHeader(code)
	})
	for _, code = range []int{204, 304} {
		r := e.get("/")
		if r.StatusCode != code || len(r.body) > 0 || r.Header.Get("Etag") == "" {
			t.Errorf("%d: %s %v %q", code, r.Status, r.Header, r.body)
		}
	}
	code = 200
	r := e.do(e.request("HEAD", "/", "", "", "Accept", "text/html"))
	for _, name := range ofTheOldBytes {
		if r.Header.Get(name) != "" {
			t.Errorf("HEAD of a page: %s: %s", name, r.Header.Get(name))
		}
	}
	if r = e.get("/"); r.StatusCode != 200 || len(r.body) > 0 {
		t.Errorf("an empty page: %s %q", r.Status, r.body)
	}
}

// TestInjectAsksForTheWholePage: no header of the request makes the app answer
// with less than the page, and none is taken from other requests.
func TestInjectAsksForTheWholePage(t *testing.T) {
	e := serve(t, "captcha /login*\n\tcaptcha_inject\n\treverse_proxy {app}")
	headers := []string{
		"Range", "bytes=0-9", "If-Range", `"1"`, "If-None-Match", `"1"`, "If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT",
		"If-Match", `"1"`, "If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", "Accept-Encoding", "br",
	}
	for _, c := range []struct {
		hidden  bool
		headers []string
	}{
		{true, []string{"Accept", "text/html"}}, {true, []string{"Sec-Fetch-Dest", "document"}},
		{false, []string{"Accept", "image/webp"}}, {false, []string{"Sec-Fetch-Dest", "empty", "Accept", "text/html"}}, {false, []string{"Accept", "*/*"}},
	} {
		s := e.wantForwarded(e.do(e.request("GET", "/", "", "", append(c.headers, headers...)...)))
		for i := 0; i < len(headers); i += 2 {
			got := s.Header.Get(headers[i])
			if c.hidden && got == headers[i+1] || !c.hidden && got != headers[i+1] {
				t.Errorf("%v: the app saw %s: %q", c.headers, headers[i], got)
			}
		}
	}
}

// TestInjectCompressed: encode, outside, compresses what was rewritten.
func TestInjectCompressed(t *testing.T) {
	filler := strings.Repeat("<p>text</p>\n", 100)
	for _, write := range []string{"whole", "small pieces", "flushed"} {
		page := pageHead + filler + pageTail
		e := serveInjected(t, injectSite, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			size := map[string]int{"whole": len(page), "small pieces": 7, "flushed": 600}[write]
			for rest := page; rest != ""; {
				n := min(size, len(rest))
				_, _ = io.WriteString(w, rest[:n])
				if rest = rest[n:]; write == "flushed" {
					_ = http.NewResponseController(w).Flush()
				}
			}
		})
		for encoding, read := range map[string]func(io.Reader) (io.Reader, error){
			"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
			"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
		} {
			r := e.get("/", "Accept-Encoding", encoding)
			if got := r.Header.Get("Content-Encoding"); got != encoding {
				t.Errorf("%s: Content-Encoding %q, want %s", write, got, encoding)
				continue
			}
			decoder, err := read(bytes.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(decoder)
			if err != nil {
				t.Fatal(err)
			}
			wantInjected(t, string(plain), page)
		}
	}
}

// TestInjectFiles: the file server copies its files, and answers ranges and
// conditions; templates make pages of them.
func TestInjectFiles(t *testing.T) {
	dir := t.TempDir()
	page := pageHead + strings.Repeat("<p>ünï</p>\n", 200) + pageTail
	for name, text := range map[string]string{"page.html": page, "data.bin": page, "t.html": pageHead + `{{print 1 2}}` + pageTail} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := serve(t, "root "+dir+"\n\tcaptcha /login*\n\tcaptcha_inject\n\t@t path /t.html\n\ttemplates @t\n\tfile_server")
	r := e.get("/page.html", "Range", "bytes=0-9", "If-None-Match", "*")
	wantInjected(t, string(r.body), page)
	if r.StatusCode != 200 || r.Header.Get("Etag") != "" || r.Header.Get("Accept-Ranges") != "" || r.ContentLength != -1 {
		t.Errorf("%s %v %d", r.Status, r.Header, r.ContentLength)
	}
	wantInjected(t, string(e.get("/t.html").body), pageHead+"1 2"+pageTail)
	r = e.do(e.request("GET", "/data.bin", "", "", "Range", "bytes=0-9", "Accept", "*/*"))
	if r.StatusCode != 206 || string(r.body) != page[:10] {
		t.Errorf("a range of a file: %s %q", r.Status, r.body)
	}
	r = e.do(e.request("GET", "/data.bin", "", "", "Accept", "image/png"))
	if string(r.body) != page || r.Header.Get("Etag") == "" || r.ContentLength != int64(len(page)) {
		t.Errorf("a file: %s %v", r.Status, r.Header)
	}
	if r = e.do(e.request("HEAD", "/page.html", "", "", "Accept", "text/html")); r.ContentLength > 0 || r.StatusCode != 200 {
		t.Errorf("HEAD: %s, length %d", r.Status, r.ContentLength)
	}
}

// TestInjectStreams: what the app has sent leaves before it ends, and so do early
// hints and events.
func TestInjectStreams(t *testing.T) {
	next := make(chan bool)
	t.Cleanup(func() { close(next) })
	e := serveInjected(t, injectSite, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		for _, part := range []string{pageHead + "<p>first", "<for", `m method=post>`, "</form>end"} {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	for path, want := range map[string][]string{
		"/":       {"<p>first", "", web.InjectMark + ">", "end"},
		"/events": {"<p>first", "<for", "m method=post>", "end"},
	} {
		req := e.request("GET", path, "", "", "Accept", "text/html", "Accept-Encoding", "identity")
		resp, err := e.http.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		for _, until := range want {
			var got []byte
			for !strings.HasSuffix(string(got), until) {
				b := make([]byte, 1)
				if _, err := resp.Body.Read(b); err != nil {
					t.Fatalf("%s: %v after %q", path, err, got)
				}
				got = append(got, b...)
			}
			next <- true
		}
		_ = resp.Body.Close()
	}
}

// oldAndNew is an app that upgrades a connection, sends early hints unless it is
// asked for /old, and answers with a page.
func oldAndNew(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // the server can
		}
		defer c.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprint(rw, "<form method=post>"+line)
		_ = rw.Flush()
		return
	}
	if r.URL.Path != "/old" {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, pageHead+pageTail)
}

// TestInjectConnections: HTTP/1.0, a protocol that is switched to, and early hints.
func TestInjectConnections(t *testing.T) {
	page := pageHead + pageTail
	e := serveInjected(t, injectSite, oldAndNew)
	talk := func(text string) (*bufio.Reader, net.Conn) {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprint(c, strings.ReplaceAll(text, "\n", "\r\n"))
		return bufio.NewReader(c), c
	}
	r, _ := talk("GET /old HTTP/1.0\nHost: " + strings.TrimPrefix(e.url, "http://") + "\n\n")
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if strings.Contains(strings.ToLower(string(all)), "transfer-encoding") {
		t.Error("HTTP/1.0 with a transfer encoding")
	}
	wantInjected(t, body, page)

	r, _ = talk("GET / HTTP/1.1\nHost: " + strings.TrimPrefix(e.url, "http://") + "\nAccept: text/html\nConnection: close\n\n")
	if line, _ := r.ReadString('\n'); !strings.Contains(line, " 103 ") {
		t.Errorf("no early hints: %q", line)
	}
	hints, _ := textproto.NewReader(r).ReadMIMEHeader()
	resp, err := http.ReadResponse(r, nil)
	if err != nil || hints.Get("Link") == "" || resp.StatusCode != 200 {
		t.Fatal(err, hints)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	wantInjected(t, string(text), page)

	r, c := talk("GET / HTTP/1.1\nHost: " + strings.TrimPrefix(e.url, "http://") + "\nAccept: text/html\nConnection: Upgrade\nUpgrade: echo\n\n")
	if line, _ := r.ReadString('\n'); !strings.Contains(line, " 101 ") {
		t.Fatalf("no upgrade: %q", line)
	}
	if _, err := textproto.NewReader(r).ReadMIMEHeader(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "hello\n")
	if line, _ := r.ReadString('\n'); line != "<form method=post>hello\n" {
		t.Errorf("through the upgraded connection came %q", line)
	}
}
