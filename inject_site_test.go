package captcha

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// TestInjectForms: which forms of a page are wanted.
func TestInjectForms(t *testing.T) {
	const page = `<body>
<form id=1 method=post></form>
<form id=2 method=post action=/login class="big red"></form>
<form id=3 method=post action="https://evil.example/login"></form>
<form id=4 method=post action="//evil.example"></form>
<form id=5 method=get action=/login class=red></form>
<form id=6 method=dialog class=red></form>
<form id=7 method=post action=javascript:a()></form>
<form id=8 method=POST action=LOGIN/x></form>
<form id=9 method=post action=HOST/comment></form>
<base href="https://evil.example/">
<form id=a method=post action=login></form>
<form id=b method=post action=""></form>`
	var e *edge
	for options, want := range map[string]string{
		"":                                    "1289b",
		"{\n\tforms .red\n}":                  "25",
		"{\n\tforms `[action=\"/login\"]`\n}": "25",
		"{\n\taction /login*\n}":              "28",
		"{\n\taction */page /comment\n}":      "19b",
		"{\n\tforms form.big form.small\n\taction /x\n}": "",
	} {
		t.Run(options, func(t *testing.T) {
			e = serveInjected(t, "captcha /login*\n\tcaptcha_inject "+options+"\n\treverse_proxy {upstream}", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = io.WriteString(w, strings.ReplaceAll(page, "HOST", e.url))
			})
			got := ""
			for _, part := range strings.Split(string(e.get("/page").body), "<form id=")[1:] {
				if strings.Contains(part, "><input ") {
					got += part[:1]
				}
			}
			if got != want {
				t.Errorf("the forms %s have inputs, want %s", got, want)
			}
		})
	}
}

// TestInjectHTTP2 asks for a page over HTTP/2.
func TestInjectHTTP2(t *testing.T) {
	page := pageHead + pageTail
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(up.Close)
	site := strings.ReplaceAll(injectSite, "{upstream}", strings.TrimPrefix(up.URL, "http://"))
	e := serve(t, site) // this server may take one more connection while the next one begins
	e.load("servers {\n\t\tprotocols h1 h2c\n\t}", site)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	e.http.Transport = transport
	r := e.get("/", "Accept-Encoding", "identity")
	if r.ProtoMajor != 2 || r.StatusCode != 200 {
		t.Fatal(r.Proto, r.Status, r.Header)
	}
	wantInjected(t, string(r.body), page)
}

var errFailing = errors.New("it failed")

// failing writes as much as the path says, and fails.
func failing(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/html")
	switch r.URL.Path {
	case "/some":
		_, _ = io.WriteString(w, "<p>page")
	case "/much":
		_, _ = io.WriteString(w, strings.Repeat("<p>page", 200)+"<form method=post")
	}
	return caddyhttp.Error(http.StatusTeapot, errFailing)
}

// TestInjectErrors: an error of the app's handler is answered as without us, and
// nothing of a page stands in front of the answer.
func TestInjectErrors(t *testing.T) {
	i := &Injector{script: []byte("<script></script>")}
	for _, path := range []string{"/none", "/some", "/much"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("If-None-Match", `"1"`)
		err := i.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if r.Header.Get("If-None-Match") != "" {
				t.Error("the app saw a condition")
			}
			return failing(w, r)
		}))
		var own caddyhttp.HandlerError
		if !errors.As(err, &own) || own.StatusCode != http.StatusTeapot || !errors.Is(err, errFailing) {
			t.Errorf("%s: %v", path, err)
		}
		if _, plain := err.(caddyhttp.HandlerError); !plain { //nolint:errorlint // Caddy does not look further
			t.Errorf("%s: %T: Caddy only knows the error itself", path, err)
		}
		if r.Header.Get("If-None-Match") == "" {
			t.Errorf("%s: error routes do not see the condition", path)
		}
		if body := w.Body.String(); path == "/much" && !strings.HasSuffix(body, "<form method=post") || path != "/much" && body != "" {
			t.Errorf("%s: %q", path, body)
		}
	}
}

// TestInjectScript: the script of the page is what the script's own package makes, for the
// provider that the captcha directive has.
func TestInjectScript(t *testing.T) {
	e := serveInjected(t, injectSite, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, pageHead+pageTail)
	})
	body := string(e.get("/").body)
	want, err := web.Inject{TokenHeader: "Captcha-Token", Providers: []web.InjectProvider{{Name: "pow", Fields: []string{"altcha"}}}}.Script()
	if err != nil || !strings.Contains(body, "<script "+web.InjectMark+">"+want+"</script>") {
		t.Errorf("%v, another script", err)
	}
	for _, c := range []byte(want) {
		if c == '\r' || c >= 0x80 {
			t.Fatalf("the script has the byte %#x, with which its hash depends on the page", c)
		}
	}
}
