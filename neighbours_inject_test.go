package captcha

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"
)

// encode may stand on either side of captcha_inject, and error routes and intercept may
// make the page.
func TestInjectAmongOthers(t *testing.T) {
	const form = `<!doctype html><title>t</title><form method=post>ours</form>`
	for _, c := range []struct {
		name, site string
		status     int
		injected   bool
	}{
		{"encode before", "encode\n\tcaptcha /login*\n\tcaptcha_inject\n\treverse_proxy {upstream}", 200, true},
		{"encode behind", "route {\n\tcaptcha /login*\n\tcaptcha_inject\n\tencode\n\treverse_proxy {upstream}\n}", 200, true},
		{"intercept behind", "captcha /login*\n\tcaptcha_inject\n\tintercept {\n\t\thandle_response {\n\t\t\theader Content-Type text/html\n\t\t\trespond `" + form + "` 202\n\t\t}\n\t}\n\treverse_proxy {upstream}", 202, true},
		{"intercept before", "route {\n\tintercept {\n\t\thandle_response {\n\t\t\theader Content-Type text/html\n\t\t\trespond `" + form + "` 202\n\t\t}\n\t}\n\tcaptcha /login*\n\tcaptcha_inject\n\treverse_proxy {upstream}\n}", 202, false},
		{"handle_response", "captcha /login*\n\tcaptcha_inject\n\treverse_proxy {upstream} {\n\t\thandle_response {\n\t\t\tcopy_response 202\n\t\t}\n\t}", 202, true},
		{"error behind", "captcha /login*\n\tcaptcha_inject\n\tcaptcha_test_page_error\n\thandle_errors 418 {\n\t\theader Content-Type text/html\n\t\trespond `" + form + "` 418\n\t}", 418, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := strings.Replace(c.site, "captcha_test_page_error", "route {\n\t\terror 418\n\t}", 1)
			e := serveInjected(t, site, htmlWith())
			for _, coding := range []string{"identity", "gzip"} {
				r := e.get("/", "Accept-Encoding", coding)
				text := string(r.body)
				if r.Header.Get("Content-Encoding") == "gzip" {
					z, err := gzip.NewReader(strings.NewReader(text))
					if err != nil {
						t.Fatal(err)
					}
					plain, err := io.ReadAll(z)
					if err != nil {
						t.Fatal(err)
					}
					text = string(plain)
				}
				_, scripts, _ := takeOutInjected(t, text)
				if r.StatusCode != c.status || (scripts == 1) != c.injected || !strings.Contains(text, "<form") {
					t.Errorf("%s: %s, %d scripts in %.2000q", coding, r.Status, scripts, text)
				}
			}
		})
	}
}
