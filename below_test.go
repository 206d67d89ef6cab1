package captcha

import (
	"strings"
	"testing"
)

// The site's own policy must not take the place of the challenge page's.
func TestChallengePageBehindTheSitesPolicy(t *testing.T) {
	for name, site := range map[string]string{
		"header":          "header Content-Security-Policy \"default-src 'self'\"",
		"deferred header": "header >Content-Security-Policy \"default-src 'self'\"",
		"header block that deletes": `header {
			-Server
			Content-Security-Policy "default-src 'self'"
		}`,
		"behind encode": `header {
			defer
			Content-Security-Policy "default-src 'self'"
		}
		encode gzip`,
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, site+"\n"+small)
			page := e.browse("same-origin", "/login", formType, "a=1")
			policies := page.Header.Values("Content-Security-Policy")
			if len(policies) != 1 || !strings.HasPrefix(policies[0], "default-src 'none'; script-src 'nonce-") {
				t.Errorf("policies %q", policies)
			}
			sameBytes(t, e.wantForwarded(e.solvePage("/login", sealIn(t, page))).Body, "a=1")
			// what is not ours keeps the site's
			if r := e.do(e.request("GET", "/login", "", "")); r.Header.Get("Content-Security-Policy") != "default-src 'self'" {
				t.Errorf("the app's page has %q", r.Header.Get("Content-Security-Policy"))
			}
			e.app.take()
		})
	}
}
