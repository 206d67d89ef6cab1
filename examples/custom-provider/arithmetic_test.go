package arithmetic_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "example.com/caddy-captcha-arithmetic"
	_ "github.com/caddy-captcha/caddy-captcha"
)

// TestArithmetic runs the example's Caddyfile in a real Caddy.
func TestArithmetic(t *testing.T) {
	site := run(t)
	r, body := post(t, site+"/elsewhere", "a=1")
	if r.StatusCode != 200 || body != "from the app: " {
		t.Fatalf("what is not protected: %s %s", r.Status, body)
	}

	first := ask(t, site)
	wrong := first.Captcha.Challenge.Challenge + "|1"
	want(t, site, wrong, 403, "token-invalid")
	right := answer(t, first)
	want(t, site, right+"0", 403, "token-invalid")
	want(t, site, strings.Replace(right, "|", "0|", 1), 403, "token-invalid") // another id
	want(t, site, strings.Repeat("|", 7), 403, "token-invalid")
	want(t, site, "", 403, "token-missing")
	want(t, site, right, 200, "from the app: passed arithmetic")
	want(t, site, right, 403, "token-duplicate")

	other := answer(t, ask(t, site))
	want(t, strings.Replace(site, "127.0.0.1", "localhost", 1), other, 403, "token-invalid") // another host
	want(t, site, other, 200, "passed")
}

// TestPage looks at what a browser gets.
func TestPage(t *testing.T) {
	site := run(t)
	req, err := http.NewRequest("POST", site+"/guestbook", strings.NewReader("a=1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Accept": "text/html", "Origin": site, "Content-Type": "application/x-www-form-urlencoded"} {
		req.Header.Set(name, value)
	}
	r, body := do(t, req)
	for _, part := range []string{`id="arithmetic-answer"`, "captcha.challenge.question", `name="captcha-seal"`} {
		if r.StatusCode != 403 || !strings.Contains(body, part) {
			t.Errorf("%s, and the page lacks %s", r.Status, part)
		}
	}
}

func TestCaddyfile(t *testing.T) {
	for text, part := range map[string]string{
		"arithmetic more":              "takes no argument",
		"arithmetic {\nlowest 1\n}":    "has highest",
		"arithmetic {\nhighest ten\n}": "must be a number",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("example.com {\ncaptcha {\nprovider "+text+"\n}\n}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want an error with %q", text, err, part)
		}
	}
}

type problem struct {
	Reason  string
	Captcha struct {
		Provider  string
		Fields    []string
		Challenge struct{ Question, Challenge string }
	}
}

// ask posts without a token.
func ask(t *testing.T, site string) (p problem) {
	t.Helper()
	r, body := post(t, site+"/guestbook", "a=1")
	if err := json.Unmarshal([]byte(body), &p); err != nil || r.StatusCode != 403 || p.Captcha.Provider != "arithmetic" {
		t.Fatalf("%s: %v in %s", r.Status, err, body)
	}
	return p
}

// answer does what the visitor does.
func answer(t *testing.T, p problem) string {
	t.Helper()
	a, b, _ := strings.Cut(p.Captcha.Challenge.Question, " + ")
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil {
		t.Fatalf("the question is %q", p.Captcha.Challenge.Question)
	}
	return fmt.Sprintf("%s|%d", p.Captcha.Challenge.Challenge, x+y)
}

// want posts a token, and expects a status and a part of the answer.
func want(t *testing.T, site, token string, status int, part string) {
	t.Helper()
	r, body := post(t, site+"/guestbook", "a=1&arithmetic="+url.QueryEscape(token))
	if r.StatusCode != status || !strings.Contains(body, part) {
		t.Errorf("token %q: %s, want %d %s: %s", token, r.Status, status, part, body)
	}
}

func post(t *testing.T, address, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	req.Close = true
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

// run runs the example in front of an app that says what it was told.
func run(t *testing.T) (site string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "from the app: ", strings.TrimSpace(r.Header.Get("X-Captcha-Status")+" "+r.Header.Get("X-Captcha-Provider")))
	}))
	t.Cleanup(app.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	site = "http://127.0.0.1:" + port
	t.Setenv("SITE", site+", http://localhost:"+port)
	t.Setenv("APP", strings.TrimPrefix(app.URL, "http://"))
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	global := fmt.Sprintf("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tpersist_config off\n\tstorage file_system %q\n\tlog {\n\t\toutput discard\n\t}\n}\n", t.TempDir())
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(global+string(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return site
}
