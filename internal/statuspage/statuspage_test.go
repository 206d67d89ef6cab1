package statuspage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// fakeAdmin notes what it is asked for.
type fakeAdmin struct {
	err  error
	done []string
}

func (f *fakeAdmin) Status(context.Context) ([]byte, error) { return []byte(`{"x":1}`), f.err }

func (f *fakeAdmin) Drill(_ context.Context, provider, lasts string) error {
	f.done = append(f.done, provider+" "+lasts)
	return f.err
}

func (f *fakeAdmin) EndDrill(_ context.Context, provider string) error {
	f.done = append(f.done, provider+" end")
	return f.err
}

// ask sends a request as the page does, but for what change does to it.
func ask(p *Page, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Origin", "http://127.0.0.1:8080")
		r.Header.Set("Drill-Token", p.token)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestPage(t *testing.T) {
	p := New(new(fakeAdmin))
	w := ask(p, "GET", p.Path(), "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") })
	html := w.Body.String()
	if w.Code != 200 || !strings.Contains(html, `content="`+p.token+`"`) || strings.Contains(html, "{{") {
		t.Fatalf("%d %s", w.Code, html)
	}
	csp := w.Header().Get("Content-Security-Policy")
	for tag, directive := range map[string]string{"script": "script-src", "style": "style-src"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(html, -1)
		if len(parts) != 1 || !strings.Contains(csp, directive+" "+hash(parts[0][1])+";") {
			t.Errorf("the policy %s does not have the hash of the one %s", csp, tag)
		}
	}
	if strings.Contains(csp, "unsafe") || !strings.HasPrefix(csp, "default-src 'none';") {
		t.Errorf("the policy is %s", csp)
	}
	// nothing is fetched from elsewhere, and nothing needs what the policy forbids
	if found := regexp.MustCompile(`(?i)\b(?:src|style|on[a-z]+)=|url\(|@import|innerHTML|https?://[^w]`).FindString(html); found != "" {
		t.Errorf("the page has %s", found)
	}
	if other := New(new(fakeAdmin)); other.Path() == p.Path() || other.token == p.token || len(p.Path()) != 34 || p.Path() == "/"+p.token+"/" {
		t.Errorf("path %s, token %s: not secrets of their own", p.Path(), p.token)
	}
}

// with sets a header of a request, and at the Host of one that a browser would
// send there.
func with(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func at(name string) func(*http.Request) {
	return func(r *http.Request) {
		r.Host = name
		if r.Method == http.MethodPost {
			r.Header.Set("Origin", "http://"+name)
		}
	}
}

const begin = `{"provider":"id","for":"10m"}`

// visits are requests for the page and what it asks, and what becomes of them.
var visits = map[string]struct {
	method, path, body string
	change             func(*http.Request)
	want               int
	done               string
}{
	"status":                    {"GET", "status", "", nil, 200, ""},
	"status through a tunnel":   {"GET", "status", "", at("localhost:9999"), 200, ""},
	"status over IPv6":          {"GET", "status", "", at("[::1]:80"), 200, ""},
	"status, without a port":    {"GET", "status", "", at("[::1]"), 200, ""},
	"status of a rebound name":  {"GET", "status", "", at("evil.example:8080"), 421, ""},
	"a name that begins so":     {"GET", "status", "", at("127.0.0.1.evil.example"), 421, ""},
	"no name":                   {"GET", "status", "", at(""), 421, ""},
	"status for another site":   {"GET", "status", "", with("Sec-Fetch-Site", "cross-site"), 403, ""},
	"status for another port":   {"GET", "status", "", with("Sec-Fetch-Site", "same-site"), 403, ""},
	"drill":                     {"POST", "drill", begin, nil, 204, "id 10m"},
	"end of a drill":            {"POST", "drill", `{"provider":"id"}`, nil, 204, "id end"},
	"drill by another site":     {"POST", "drill", begin, with("Origin", "http://evil.example"), 403, ""},
	"drill by a sandbox":        {"POST", "drill", begin, with("Origin", "null"), 403, ""},
	"drill by another port":     {"POST", "drill", begin, with("Origin", "http://127.0.0.1:8081"), 403, ""},
	"drill from nowhere":        {"POST", "drill", begin, func(r *http.Request) { r.Header.Del("Origin") }, 403, ""},
	"drill of a rebound name":   {"POST", "drill", begin, at("evil.example"), 421, ""},
	"drill without the token":   {"POST", "drill", begin, func(r *http.Request) { r.Header.Del("Drill-Token") }, 403, ""},
	"drill with another token":  {"POST", "drill", begin, with("Drill-Token", strings.Repeat("0", 32)), 403, ""},
	"drill of nobody":           {"POST", "drill", `{"for":"10m"}`, nil, 400, ""},
	"drill that is no JSON":     {"POST", "drill", `provider=id`, nil, 400, ""},
	"drill that is too long":    {"POST", "drill", `{"for":"` + strings.Repeat("1", maxBody) + `","provider":"id"}`, nil, 400, ""},
	"drill by a link":           {"GET", "drill", "", nil, 404, ""},
	"something else":            {"GET", "config/", "", nil, 404, ""},
	"a page that is written to": {"PUT", "", "", nil, 404, ""},
}

func TestWhoIsAnswered(t *testing.T) {
	admin := new(fakeAdmin)
	p := New(admin)
	for name, c := range visits {
		admin.done = nil
		w := ask(p, c.method, p.Path()+c.path, c.body, c.change)
		if w.Code != c.want || strings.Join(admin.done, ",") != c.done {
			t.Errorf("%s: %d %s, done %v; want %d and %q", name, w.Code, w.Body, admin.done, c.want, c.done)
		}
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", name, csp)
		}
	}
	for _, path := range []string{"/", "/status", p.Path()[:len(p.Path())-1], "/" + strings.Repeat("0", 32) + "/status", "//" + p.Path()} {
		if w := ask(p, "GET", path, "", nil); w.Code != 404 || strings.Contains(w.Body.String(), p.Path()) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAdminIsAway(t *testing.T) {
	p := New(&fakeAdmin{err: errors.New(`connection "refused"`)})
	for _, w := range []*httptest.ResponseRecorder{
		ask(p, "GET", p.Path()+"status", "", nil),
		ask(p, "POST", p.Path()+"drill", `{"provider":"id","for":"10m"}`, nil),
		ask(p, "POST", p.Path()+"drill", `{"provider":"id"}`, nil),
	} {
		if w.Code != 502 || w.Body.String() != `{"error":"connection \"refused\""}`+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
}
