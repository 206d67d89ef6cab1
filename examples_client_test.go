package captcha_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

// newEcho is an app whose answer says what it was told. It grants preflights. Its
// pages have a form that posts to them, or to where the query says.
func newEcho(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Errorf("the app could not read %s: %v", r.URL, err)
		}
		w.Header().Set("App-Length", fmt.Sprint(n))
		w.Header().Set("App-Captcha", r.Header.Get("X-Captcha-Status")+" "+r.Header.Get("X-Captcha-Provider"))
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<title>page</title><form method="post" action="%s"><input name="a"></form>`, r.URL.Query().Get("form"))
			return
		}
		fmt.Fprint(w, "from the app")
	}))
	t.Cleanup(s.Close)
	return s
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

// captcha is what the app was told, status and provider.
func (a answer) captcha() string {
	if strings.Contains(a.body, `id="status">`) { // the quickstart's app
		between := func(left string) string {
			_, rest, _ := strings.Cut(a.body, left)
			value, _, _ := strings.Cut(rest, "<")
			return value
		}
		return strings.TrimSpace(between(`id="status">`) + " " + between(`id="provider">`))
	}
	return strings.TrimSpace(a.Header.Get("App-Captcha"))
}

func get(t *testing.T, address string, headers ...string) answer {
	t.Helper()
	return send(t, "GET", address, "", "", headers...)
}

// post sends a body; headers are given as name, value, name, value.
func post(t *testing.T, address, contentType, body string, headers ...string) answer {
	t.Helper()
	return send(t, "POST", address, contentType, body, headers...)
}

func send(t *testing.T, method, address, contentType, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // nothing is left open that the next example would have to wait for
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
