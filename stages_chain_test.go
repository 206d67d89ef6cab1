package captcha

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What a line costs a GET in Caddy's whole chain of handlers, without network and
// proxy. The own lines are Caddy's, and do the least that any directive with a
// matcher must do whose headers nobody shall forge.
func BenchmarkChain(b *testing.B) {
	for _, site := range []struct{ name, lines string }{
		{"plain", ""},
		{"own-lines", "request_header -X-Captcha-*\n@form path /form*\nheader @form Vary Cookie"},
		{"captcha", "captcha /form*"},
	} {
		for name, path := range map[string]string{"unmatched": "/", "matched": "/form"} {
			b.Run(name+"/"+site.name, func(b *testing.B) {
				server := chainOf(b, site.lines)
				r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
				r.Header.Set("Accept", "text/html")
				w := &discardWriter{header: make(http.Header)}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					server.ServeHTTP(w, r)
				}
			})
		}
	}
}

// chainOf is the server of a site with some lines. It listens at a port of its own.
func chainOf(b *testing.B, lines string) *caddyhttp.Server {
	b.Helper()
	text := fmt.Sprintf("{\nadmin off\npersist_config off\nauto_https off\nstorage file_system %s\ndefault_bind 127.0.0.1\nlog {\nlevel ERROR\n}\n}\n"+
		"http://127.0.0.1:%d {\n%s\nrespond ok\n}\n", b.TempDir(), freePort(b), lines)
	config, err := adaptText(text)
	if err != nil {
		b.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = caddy.Stop() })
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		b.Fatal(err)
	}
	return app.(*caddyhttp.App).Servers["srv0"]
}
