package captcha

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// TestInjectAnswersToForms: an app that shows a form again, with its errors, shows
// it with the means to send it again.
func TestInjectAnswersToForms(t *testing.T) {
	page := pageHead + "<p>wrong password</p>" + pageTail
	var conditions []string
	e := serveInjected(t, "captcha /login* {\n\tprovider pow {\n\tdifficulty 1000\n\t}\n\t}\n\tcaptcha_inject\n\treverse_proxy {upstream}",
		func(w http.ResponseWriter, r *http.Request) {
			conditions = append(conditions, r.Header.Get("If-Match"))
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page)
		})
	for name, headers := range map[string][]string{
		"over https":      {"Sec-Fetch-Dest", "document"},
		"over plain http": {"Accept", "text/html,*/*;q=0.8"},
	} {
		wantInjected(t, string(e.post("/contact", formType, "a=1", headers...).body), page)
		r := e.form("/login", e.token("/login"), headers...)
		if r.StatusCode != 200 {
			t.Fatalf("%s: %s %s", name, r.Status, r.body)
		}
		wantInjected(t, string(r.body), page)
	}
	e.post("/contact", formType, "a=1", "Sec-Fetch-Dest", "document", "If-Match", `"1"`)
	if seen := conditions; len(seen) == 0 || seen[len(seen)-1] != `"1"` {
		t.Errorf("the app saw the conditions %q of an unsafe request", seen)
	}
	for name, headers := range map[string][]string{
		"a script": {"Sec-Fetch-Dest", "empty", "Accept", "text/html"},
		"a tool":   {"Accept", "*/*"},
	} {
		if r := e.post("/contact", formType, "a=1", headers...); string(r.body) != page {
			t.Errorf("%s: %.300q", name, r.body)
		}
	}
}

// TestInjectLeavesOurPagesAlone: a challenge page is complete, wherever the handler
// that writes it stands.
func TestInjectLeavesOurPagesAlone(t *testing.T) {
	s := newStage(t, new(Handler))
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	t.Cleanup(cancel)
	i := new(Injector)
	if err := i.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := s.request("POST", "a=1", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin", "Origin", "http://example.com")
	inner := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return s.ServeHTTP(w, r, s.next) })
	if err := i.ServeHTTP(w, r, inner); err != nil {
		t.Fatal(err)
	}
	page := w.Body.String()
	if w.Code != 403 || !strings.Contains(page, `id="captcha-form"`) || strings.Contains(page, "<script "+web.InjectMark) {
		t.Errorf("%d %.600s", w.Code, page)
	}
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "sha256-") {
		t.Errorf("the page's policy has become %s", csp)
	}
}
