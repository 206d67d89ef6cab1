package captcha

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// scriptHash is the source that allows the script of a page.
func scriptHash(t *testing.T, page string) string {
	t.Helper()
	_, text, _ := strings.Cut(page, "<script "+web.InjectMark+">")
	text, _, ok := strings.Cut(text, "</script>")
	if !ok {
		t.Fatalf("no script in %.300q", page)
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// TestInjectPolicies: the policies of the app's headers, of the site's, deferred or
// not, and of the page itself let the script run, and nothing else.
func TestInjectPolicies(t *testing.T) {
	const meta = `<meta http-equiv="Content-Security-Policy" content="default-src &#39;self&#39;">`
	page := strings.Replace(pageHead, "<title>", meta+"<title>", 1) + pageTail
	const headers = `captcha /login*
	captcha_inject
	header /plain Content-Security-Policy "default-src 'self'"
	header /deferred {
		Content-Security-Policy "default-src 'self'"
		-Server
	}
	header /deferred-sandbox {
		Content-Security-Policy sandbox
		-Server
	}
	header /two {
		>Content-Security-Policy "default-src 'self'"
	}
	header /two {
		+Content-Security-Policy "default-src 'self'"
		defer
	}
	reverse_proxy {upstream}`
	e := serveInjected(t, headers, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/app" {
			w.Header()["Content-Security-Policy"] = []string{"default-src 'self', default-src 'self'", "default-src 'self'"}
			w.Header()["Content-Security-Policy-Report-Only"] = []string{"default-src 'self'; sandbox"}
		}
		_, _ = io.WriteString(w, page)
	})
	for path, policies := range map[string]int{"/plain": 1, "/deferred": 1, "/app": 4, "/none": 0, "/two": 1} {
		r := e.get(path)
		body := string(r.body)
		hash := scriptHash(t, body)
		want := "default-src 'self'; script-src 'self' " + hash + "; worker-src 'self' blob:"
		got := strings.Split(strings.Join(append(r.Header["Content-Security-Policy"], r.Header["Content-Security-Policy-Report-Only"]...), ","), ",")
		for _, g := range got {
			if g = strings.TrimSpace(strings.Replace(g, "; sandbox", "", 1)); g != want && policies > 0 {
				t.Errorf("%s: the policy %q, want %q", path, g, want)
			}
		}
		if policies > 0 && len(got) != policies || policies == 0 && got[0] != "" {
			t.Errorf("%s: the policies %q", path, got)
		}
		if extended := strings.ReplaceAll(want, "'", "&#39;"); !strings.Contains(body, `content="`+extended+`"`) {
			t.Errorf("%s: the meta element has not the policy %s in %.400s", path, extended, body)
		}
	}
	if r := e.get("/deferred-sandbox"); string(r.body) != page || r.Header.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("a page in a sandbox was changed: %v %.300q", r.Header, r.body)
	}
}
