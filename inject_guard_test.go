package captcha

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// ask asks a path for a challenge, as the script does.
func (e *edge) ask(path string, headers ...string) reply {
	e.t.Helper()
	return e.post(path, "", "", append([]string{"Captcha-Request", "challenge"}, headers...)...)
}

// TestStrayQuestions asks for challenges at all kinds of paths: the app sees none
// of the questions, and each is answered as the post itself would be.
func TestStrayQuestions(t *testing.T) {
	const easy = "{\n\t\tprovider pow {\n\t\t\tdifficulty 1000\n\t\t}\n\t}"
	for _, c := range []struct {
		name, site string
		paths      map[string]int
	}{
		{"matcher", "captcha /login* " + easy + "\ncaptcha_inject\nreverse_proxy {app}", map[string]int{"/login": 200, "/logout": 204, "/": 204}},
		{"no matcher", "captcha " + easy + "\ncaptcha_inject\nreverse_proxy {app}", map[string]int{"/login": 200, "/logout": 200}},
		{"signal", "captcha /login* {\n\tmode signal\n}\ncaptcha_inject\nreverse_proxy {app}", map[string]int{"/login": 200, "/logout": 204}},
		{"two", "captcha /login* " + easy + "\ncaptcha /comment* " + easy + "\ncaptcha_inject /pages/*\nreverse_proxy {app}",
			map[string]int{"/login": 200, "/comment": 200, "/logout": 204}},
		{"all in a handle", "handle /in/* {\n\tcaptcha /in/login* " + easy + "\n\tcaptcha_inject\n\treverse_proxy {app}\n}\nrespond 404",
			map[string]int{"/in/login": 200, "/in/logout": 204}},
		{"route", "route {\n\tcaptcha_strip\n\tcaptcha /login* " + easy + "\n\tcaptcha_inject\n\treverse_proxy {app}\n}", map[string]int{"/login": 200, "/logout": 204}},
		{"strip", "captcha_strip\ncaptcha /login* " + easy + "\ncaptcha_inject\nreverse_proxy {app}", map[string]int{"/login": 200, "/logout": 204}},
		{"proxies in handles", "captcha /login* " + easy + "\ncaptcha_inject\nhandle /a* {\n\treverse_proxy {app}\n}\nhandle {\n\treverse_proxy {app}\n}",
			map[string]int{"/login": 200, "/a": 204, "/b": 204}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, c.site)
			for path, want := range c.paths {
				r := e.ask(path)
				if r.StatusCode != want || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s, want %d, headers %v", path, r.Status, want, r.Header)
				}
				if want == 200 && !json.Valid(r.body) || want == 204 && len(r.body) > 0 {
					t.Errorf("%s: %q", path, r.body)
				}
				if seen := e.app.take(); len(seen) > 0 {
					t.Errorf("%s: the app saw %v", path, seen)
				}
			}
			// what only resembles a question is the app's
			if r := e.post("/resembles", formType, "a=b", "Captcha-Request", "challenge"); r.StatusCode == 200 {
				e.wantForwarded(r)
			} else if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusNotFound {
				t.Errorf("a post with a body: %s", r.Status)
			}
			e.app.take()
			if r := e.do(e.request("GET", "/", "", "", "Captcha-Request", "challenge")); r.StatusCode != 404 {
				e.wantForwarded(r)
			}
		})
	}
}

// TestClearedQuestion: a visitor with a clearance need not solve anything.
func TestClearedQuestion(t *testing.T) {
	for _, c := range []struct {
		clearance string
		want      bool
	}{
		{"clearance 1h", true},
		{"clearance 1h {\n\t\t\tuses 5\n\t\t}", false}, // looking must not spend a use
	} {
		t.Run(c.clearance, func(t *testing.T) {
			e := serve(t, "captcha /login* {\n\t\t"+c.clearance+"\n\t\tprovider pow {\n\t\t\tdifficulty 1000\n\t\t}\n\t}\n\treverse_proxy {app}")
			cleared := func(headers ...string) bool {
				t.Helper()
				var p puzzle
				r := e.ask("/login", headers...)
				if err := json.Unmarshal(r.body, &p); err != nil || r.StatusCode != 200 || p.Challenge == nil {
					t.Fatal(r.Status, err, string(r.body))
				}
				return p.Cleared
			}
			if cleared() {
				t.Error("cleared without a clearance")
			}
			r := e.form("/login", e.token("/login"))
			e.wantForwarded(r)
			cookie := r.Cookies()[0]
			if got := cleared("Cookie", cookie.Name+"="+cookie.Value); got != c.want {
				t.Errorf("%s: cleared is %v", c.clearance, got)
			}
			if cleared("Cookie", cookie.Name+"="+cookie.Value[:len(cookie.Value)-1]) {
				t.Error("cleared by a forged clearance")
			}
			for range 5 { // all uses are still there
				e.wantForwarded(e.post("/login", formType, "a=b", "Cookie", cookie.Name+"="+cookie.Value))
			}
		})
	}
}

// TestStrayQuestionsWithoutGuard: a JSON configuration needs no guard where the
// handler that puts the script into pages sees the questions too.
func TestStrayQuestionsWithoutGuard(t *testing.T) {
	serve(t, "respond 200")
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	t.Cleanup(cancel)
	i := new(Injector)
	if err := i.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	next := 0
	ask := func(body string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/logout", strings.NewReader(body))
		r.Header.Set("Captcha-Request", "challenge")
		if err := i.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { next++; return nil })); err != nil {
			t.Fatal(err)
		}
		return w.Code
	}
	if code := ask(""); code != 204 || next != 0 {
		t.Errorf("%d, and the app saw %d", code, next)
	}
	if ask("a=b"); next != 1 {
		t.Error("a post with a body is no question")
	}
}

// TestTexts: what the script shows comes with the challenge, in the language that is
// asked for; scripts without a widget to show get none with a refusal.
func TestTexts(t *testing.T) {
	const german = "Es wird geprüft, dass Sie kein Roboter sind …"
	for _, c := range []struct {
		provider string
		widget   bool
	}{
		{"pow {\n\t\tdifficulty 1000\n\t\t}", false},
		{"turnstile {\n\t\tsite_key 0x4AAAAAAAtests\n\t\tsecret_key secret\n\t\t}", true},
	} {
		e := serve(t, "captcha /login* {\n\t\tprovider "+c.provider+"\n\t}\n\treverse_proxy {app}")
		var asked puzzle
		if err := json.Unmarshal(e.ask("/login", "Accept-Language", "x-klingon, de-AT, en").body, &asked); err != nil {
			t.Fatal(err)
		}
		if got := asked.Texts; got == nil || got.Lang != "de" || got.Dir != "ltr" || got.Working != german || got.Passed == "" || (got.Ready != "" && got.Cancel != "") != c.widget {
			t.Errorf("%s: asked in German: %+v", c.provider, got)
		}
		var refused struct{ Captcha puzzle }
		if err := json.Unmarshal(e.post("/login", formType, "a=b", "Accept-Language", "ar").body, &refused); err != nil {
			t.Fatal(err)
		}
		if got := refused.Captcha.Texts; (got != nil) != c.widget || got != nil && (got.Lang != "ar" || got.Dir != "rtl" || got.Ready == "" || got.Cancel == "") {
			t.Errorf("%s: refused in Arabic: %+v", c.provider, got)
		}
	}
}
