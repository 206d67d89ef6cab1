//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// pagePath is a page of 100 KB, of the file server and of the upstream.
const pagePath = "/page.html"

// pageText is as many pages are: a head with a script, much text, some forms.
var pageText = `<!doctype html><html><head><meta charset="utf-8"><title>Page</title><script>` + strings.Repeat("use(a < b);\n", 300) +
	`</script></head><body><table>` + strings.Repeat(`<tr class="row"><td><a href="/item?id=1&amp;b=2" title='x'>Item</a></td><!-- c -->`+
	`<td>text, and some more of it, as pages have</td></tr>`+"\n", 720) + `</table>` +
	strings.Repeat(`<form method="post" action="/form"><input name="text"><button>Send</button></form>`, 5) + `</body></html>`

// page asks for the page at one site of the plain server, and at one of ours.
func page(plainSite, oursSite func(*server) string) func(context.Context, *bench, int, *server, *server) (*load, *load, error) {
	return func(_ context.Context, b *bench, _ int, plain, ours *server) (*load, *load, error) {
		if err := os.MkdirAll(b.www(), 0o755); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(b.www(), pagePath), []byte(pageText), 0o644); err != nil {
			return nil, nil, err
		}
		p, o, err := b.loads(plain, ours, plainSite(plain), oursSite(ours), 200)
		if err == nil {
			p.request = request("GET", plainSite(plain), pagePath, "", acceptHTML, "", "")
			o.request = request("GET", oursSite(ours), pagePath, "", acceptHTML, "", "")
		}
		return p, o, err
	}
}
