package captcha

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The rest of Caddy before, behind and around us. What a POST to /free, which nobody
// protects, is answered is what one to /login with its proof must be.

// neighbours are sites with other directives beside ours.
var neighbours = []struct {
	name, site string
	body       string // what the app gets of the form; "all" is all of it, "" nothing
	status     int
}{
	{"intercept behind us", `captcha /login* ` + pow1000 + `
	intercept {
		@ok status 200
		handle_response @ok {
			respond "twelve bytes" 202
		}
	}
	reverse_proxy {app}`, "all", 202},
	{"replace_status", `captcha /login* ` + pow1000 + `
	intercept {
		replace_status 201
	}
	reverse_proxy {app}`, "all", 201},
	{"handle_response", `captcha /login* ` + pow1000 + `
	reverse_proxy {app} {
		@ok status 200
		handle_response @ok {
			copy_response 202
		}
	}`, "all", 202},
	{"intercept before us", `route {
		intercept {
			@ok {
				status 200
				header Content-Type text/plain*
			}
			handle_response @ok {
				respond "twelve bytes" 203
			}
		}
		captcha /login* ` + pow1000 + `
		reverse_proxy {app}
	}`, "all", 203},
	{"error behind us", `captcha /login* ` + pow1000 + `
	route {
		error "conflict" 409
	}
	handle_errors 409 {
		respond "sorry" 409
	}`, "", 409},
	{"error behind us, answered by the app", `captcha /login* ` + pow1000 + `
	route {
		error 503
	}
	handle_errors 404 {
		respond "not this" 404
	}
	handle_errors 5xx {
		reverse_proxy {app}
	}`, "all", 200},
	{"request_body behind us", `route {
		captcha /login* ` + pow1000 + `
		request_body {
			max_size 1KiB
		}
		reverse_proxy {app}
	}`, "small", 200},
	{"request_body set behind us", `route {
		captcha /login* ` + pow1000 + `
		request_body {
			set "hello"
		}
		reverse_proxy {app}
	}`, "hello", 200},
	{"forward_auth before us", `forward_auth {auth} {
		uri /auth
	}
	captcha /login* ` + pow1000 + `
	reverse_proxy {app}`, "all", 200},
	{"forward_auth behind us", `route {
		captcha /login* ` + pow1000 + `
		forward_auth {auth} {
			uri /auth
		}
		reverse_proxy {app}
	}`, "all", 200},
	{"request_buffers", `captcha /login* ` + pow1000 + `
	reverse_proxy {app} {
		request_buffers 64KiB
	}`, "all", 200},
	{"request_header", `request_header X-Captcha-Status forged
	captcha /login* ` + pow1000 + `
	reverse_proxy {app}`, "all", 200},
}

func TestNeighbours(t *testing.T) {
	auth := newApp(t)
	for _, c := range neighbours {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, strings.ReplaceAll(c.site, "{auth}", strings.TrimPrefix(auth.URL, "http://")))
			for i, chunked := range []bool{false, false, true} {
				size := []int{10, 200_000, 200_000}[i] // in memory, and spilled
				post := func(path string) (reply, string, []seen) {
					body := "text=" + strings.Repeat("x", size) + "&altcha=" + url.QueryEscape(e.token("/login"))
					req := e.request("POST", path, formType, body)
					if chunked {
						req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
					}
					return e.do(req), body, e.app.take()
				}
				free, _, plain := post("/free")
				got, body, reached := post("/login")
				if got.StatusCode != free.StatusCode || string(got.body) != string(free.body) || len(reached) != len(plain) {
					t.Errorf("%d bytes, chunked %v: %s %q and %d requests at the app, want %s %q and %d as without us",
						size, chunked, got.Status, got.body, len(reached), free.Status, free.body, len(plain))
				}
				if size == 10 && got.StatusCode != c.status {
					t.Errorf("answered %s, want %d", got.Status, c.status)
				}
				want := map[string]string{"all": body, "small": body}[c.body]
				if want == "" {
					want = c.body
				}
				if c.body == "" || c.body == "small" && size > 1000 {
					continue
				}
				if len(reached) != 1 {
					t.Fatalf("%d requests reached the app", len(reached))
				}
				sameBytes(t, reached[0].Body, want)
				if s, was := reached[0], plain[0]; (s.Length < 0) != (was.Length < 0) || s.Length >= 0 && s.Length != int64(len(s.Body)) || s.Header.Get(headerStatus) != "passed" {
					t.Errorf("the app saw length %d and %q; without us %d", s.Length, s.Header.Get(headerStatus), was.Length)
				}
			}
			for _, s := range auth.take() {
				if s.Method != "GET" || len(s.Body) > 0 || s.Header.Get("X-Forwarded-Method") != "POST" {
					t.Errorf("the authentication was asked %s with %d bytes, %v", s.Method, len(s.Body), s.Header)
				}
			}
			// and without a proof nothing gets through
			if r := e.post("/login", formType, "a=1"); r.StatusCode != 403 || len(e.app.take()) > 0 {
				t.Errorf("without a proof: %s", r.Status)
			}
			e.waitNothingHeld()
			_ = caddy.Stop()
		})
	}
}

// The server that forward_auth asks may stand behind a captcha of its own: it is asked
// with GET, whatever X-Forwarded-Method says, and that is no method override.
func TestForwardAuthThroughACaptcha(t *testing.T) {
	e := serve(t, "respond unused")
	e.move()
	e.load("", fmt.Sprintf(`handle /auth {
		captcha `+pow1000+`
		respond "go on"
	}
	handle {
		forward_auth 127.0.0.1:%d {
			uri /auth
		}
		captcha /login* `+pow1000+`
		reverse_proxy {app}
	}`, e.port))
	body := "text=" + strings.Repeat("x", 200_000) + "&altcha=" + url.QueryEscape(e.token("/login"))
	sameBytes(t, e.wantForwarded(e.post("/login", formType, body)).Body, body)
	e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")
}

// A directive that makes a GET of a POST before us has made it harmless: it is let in
// as what it is now. One that makes a POST of a GET needs a proof.
func TestMethodDirective(t *testing.T) {
	for _, c := range []struct {
		method, sent string
		status       int
	}{{"GET", "POST", 200}, {"POST", "GET", 403}} {
		e := serve(t, "method "+c.method+"\n\t"+small)
		r := e.do(e.request(c.sent, "/login", "", ""))
		if got := e.app.take(); r.StatusCode != c.status || (len(got) == 1) != (c.status == 200) || len(got) == 1 && got[0].Method != c.method {
			t.Errorf("%s made %s: %s, and %v reached the app", c.sent, c.method, r.Status, got)
		}
		_ = caddy.Stop()
	}
}

// basic_auth asks before we do, and its answer is not ours to give.
func TestBasicAuthAsksFirst(t *testing.T) {
	e := serve(t, `basic_auth {
		bob $2a$04$kGqTqyBEi1/W.7Yo9C4TKu9gdF3OeN6LQ1x0B5dC8mLPOqUuQmvhW
	}
	`+small)
	r := e.post("/login", formType, "a=1")
	if r.StatusCode != 401 || r.Header.Get("Captcha-Required") != "" || len(e.app.take()) > 0 {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

// A snippet that several sites import, or a named route that they invoke, protects
// each; a clearance of one does not count on another.
func TestSnippetInSeveralSites(t *testing.T) {
	for _, how := range []string{"import", "invoke"} {
		t.Run(how, func(t *testing.T) { testSharedBySites(t, how) })
	}
}

func testSharedBySites(t *testing.T, how string) {
	e := serve(t, "respond unused")
	e.move()
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %s
	grace_period 1ns
}
(protected) {
	captcha /login* {
		clearance 1h
		provider pow {
			difficulty 1000
		}
	}
	captcha_inject
	reverse_proxy %s
}
&(named) {
	import protected
}
http://127.0.0.1:%d {
	%[4]s protected
}
http://localhost:%[3]d {
	%[4]s protected
}
`, e.dir, strings.TrimPrefix(e.app.URL, "http://"), e.port, how)
	if how == "invoke" {
		text = strings.ReplaceAll(text, "invoke protected", "invoke named")
	}
	if err := loadCaddyfile(text); err != nil {
		t.Fatal(err)
	}
	first, second := e.url, strings.Replace(e.url, "127.0.0.1", "localhost", 1)
	cookies := map[string]string{}
	for _, at := range []string{first, second} {
		e.url = at
		r := e.form("/login", e.token("/login"))
		e.wantForwarded(r)
		cookies[at] = r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
	}
	for _, at := range []string{first, second} {
		e.url = at
		e.wantForwarded(e.post("/login", formType, "a=1", "Cookie", cookies[at]))
		other := map[string]string{first: second, second: first}[at]
		e.wantProblem(e.post("/login", formType, "a=1", "Cookie", cookies[other]), 403, "token-missing")
	}
}
