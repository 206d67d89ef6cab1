package captcha

import (
	"bytes"
	"mime/multipart"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// small is the plainest site: one line, and a puzzle that tests solve quickly.
const small = `captcha /login* {
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`

func TestSafeMethodsAndUnmatchedPathsAreForwarded(t *testing.T) {
	e := serve(t, small)
	for _, c := range []struct{ method, path string }{
		{"GET", "/login"}, {"HEAD", "/login"}, {"OPTIONS", "/login"}, {"TRACE", "/login"},
		{"POST", "/other"}, {"PUT", "/other"}, {"DELETE", "/other"},
	} {
		if r := e.do(e.request(c.method, c.path, "", "")); r.StatusCode != 200 {
			t.Errorf("%s %s: %s", c.method, c.path, r.Status)
		}
		if s := e.app.one(t); s.Header.Get(headerStatus) != "" {
			t.Errorf("%s %s: the app was told %q", c.method, c.path, s.Header.Get(headerStatus))
		}
	}
}

func TestNoTokenNoEntryD28(t *testing.T) {
	e := serve(t, small)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND", "post", "get"} {
		r := e.do(e.request(method, "/login", formType, "user=a&pass=b"))
		p := e.wantProblem(r, 403, "token-missing")
		if !strings.Contains(string(p.Captcha), `"provider":"pow"`) || r.Header.Get("Captcha-Required") != "pow" {
			t.Errorf("%s: no challenge in %s", method, r.body)
		}
	}
}

func TestMethodOverrideIsTreatedAsThatMethodD27(t *testing.T) {
	e := serve(t, small)
	for _, c := range []struct{ path, header, value string }{
		{"/login", "X-HTTP-Method-Override", "POST"},
		{"/login", "X-HTTP-Method", "delete"},
		{"/login", "X-Method-Override", " PUT "},
		{"/login?_method=DELETE", "", ""},
		{"/login?a=1&%5Fmethod=de%6Cete", "", ""},
		{"/login?a=1;_METHOD=patch", "", ""},
		// as PHP reads them
		{"/login?.method=DELETE", "", ""},
		{"/login?%20_method%00x=DELETE", "", ""},
		{"/login?_method%00%zz=DELETE", "", ""},
	} {
		r := e.do(e.request("GET", c.path, "", "", c.header, c.value))
		e.wantProblem(r, 403, "token-missing")
	}
	for _, path := range []string{"/login?_method=GET", "/login?method=POST", "/login?_method", "/login?_methods=POST", "/login?x_method=POST"} {
		e.wantForwarded(e.do(e.request("GET", path, "", "")))
	}
}

func TestMethodOverrideOfNamedMethodsD27(t *testing.T) {
	e := serve(t, strings.Replace(small, "captcha /login* {", "captcha /login* {\nmethods DELETE", 1))
	for _, value := range []string{"DELETE", "delete, GET", "DELETE,"} { // Express takes the first
		e.wantProblem(e.post("/login", formType, "a=1", "X-HTTP-Method-Override", value), 403, "token-missing")
	}
	e.wantForwarded(e.post("/login", formType, "a=1", "X-HTTP-Method-Override", "GET, PUT"))
}

func TestTokenOpensOneRequestD51(t *testing.T) {
	e := serve(t, small)
	multi, multiType := multipartBody(t, "altcha", "{token}")
	for _, c := range []struct{ name, contentType, body string }{
		{"urlencoded", formType, "user=a&altcha={urltoken}&pass=b"},
		{"multipart", multiType, multi},
		{"JSON", "application/json", `{"user":"a","altcha":"{token}","n":1e5}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := e.token("/login")
			body := strings.NewReplacer("{token}", token, "{urltoken}", url.QueryEscape(token)).Replace(c.body)
			s := e.wantForwarded(e.post("/login?x=1", c.contentType, body))
			sameBytes(t, s.Body, body)
			if s.Length != int64(len(body)) || s.Header.Get("Content-Type") != c.contentType || s.URI != "/login?x=1" {
				t.Errorf("the app saw length %d, type %q, URI %q", s.Length, s.Header.Get("Content-Type"), s.URI)
			}
			if s.Header.Get(headerStatus) != "passed" || s.Header.Get(headerProvider) != "pow" {
				t.Errorf("the app was told %v", s.Header)
			}
			e.wantProblem(e.post("/login", c.contentType, body), 403, "token-duplicate")
		})
	}
}

func multipartBody(t *testing.T, pairs ...string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("upload", "ünïcode \"name\".txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("file\r\ncontent\x00")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestTokenInHeaderIsEnoughForAnyBody(t *testing.T) {
	e := serve(t, small)
	body := strings.Repeat("not a form\x00", 100)
	s := e.wantForwarded(e.post("/login", "application/octet-stream", body, "Captcha-Token", e.token("/login")))
	sameBytes(t, s.Body, body)
	r := e.post("/login", "text/plain", "x", "Captcha-Token", e.token("/login"), "Captcha-Token", "another")
	e.wantProblem(r, 400, "bad-request")
}

func TestTokenInQueryIsNoTokenD01(t *testing.T) { // D-01
	e := serve(t, small)
	e.wantProblem(e.post("/login?altcha="+url.QueryEscape(e.token("/login")), formType, "user=a"), 403, "token-missing")
}

// Promise 2: one token opens one request, also when a thousand arrive at once.
func TestThousandParallelPostsWithOneTokenD52(t *testing.T) {
	e := serve(t, small)
	token := e.token("/login")
	var forwarded, refused atomic.Int32
	var wg sync.WaitGroup
	gate := make(chan struct{})
	slots := make(chan struct{}, 100) // connections at once
	for range 1000 {
		wg.Go(func() {
			<-gate
			slots <- struct{}{}
			defer func() { <-slots }()
			switch r := e.form("/login", token); r.StatusCode {
			case 200:
				forwarded.Add(1)
			case 403:
				refused.Add(1)
			}
		})
	}
	close(gate)
	wg.Wait()
	if forwarded.Load() != 1 || refused.Load() != 999 || len(e.app.take()) != 1 {
		t.Errorf("%d forwarded, %d refused, want 1 and 999", forwarded.Load(), refused.Load())
	}
}

func TestScriptSolvesTheChallengeOfTheProblem(t *testing.T) {
	e := serve(t, small)
	p := e.wantProblem(e.post("/login", "application/json", `{"user":"a"}`), 403, "token-missing")
	token := solveIn(t, p.Captcha)
	s := e.wantForwarded(e.post("/login", "application/json", `{"user":"a"}`, "Captcha-Token", token))
	sameBytes(t, s.Body, `{"user":"a"}`)
}

func TestSignalNeverBlocks(t *testing.T) {
	e := serve(t, `captcha {
		mode signal
		provider pow {
			difficulty 1000
		}
	}
	reverse_proxy {app}`)
	for _, c := range []struct{ name, body, status, reason string }{
		{"missing", "user=a", "missing", "token-missing"},
		{"forged", "altcha=eyJ9", "failed", "token-invalid"},
		{"ambiguous", "altcha=a&altcha=b", "failed", "bad-request"},
		{"passed", "altcha=" + url.QueryEscape(e.token("/")), "passed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := e.wantForwarded(e.post("/", formType, c.body, headerStatus, "passed", "Sec-Fetch-Mode", "navigate"))
			sameBytes(t, s.Body, c.body)
			if s.Header.Get(headerStatus) != c.status || s.Header.Get(headerReason) != c.reason || len(s.Header[headerStatus]) != 1 {
				t.Errorf("the app was told %q, %q, want %q, %q", s.Header[headerStatus], s.Header[headerReason], c.status, c.reason)
			}
		})
	}
}
