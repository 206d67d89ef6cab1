package htmlinject

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const (
	benchHead = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Orders</title>` +
		`<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="csrf-token" content="c0ffee">` +
		`<link rel="stylesheet" href="/assets/app.css"><script src="/assets/app.js" defer></script></head><body class="app">`
	benchRow = `<tr class="row"><td><a href="/item?id=1&amp;b=2" title='x'>Item</a></td><!-- c -->` +
		`<td>text, and some more of it, as pages have</td></tr>` + "\n"
	benchPart = `<div class="card"><h2 id=a1>Heading</h2><p>` + `A paragraph as long as they are, with <a href="/there">a link</a> and a <b>word</b> that leans. ` +
		`Then it goes on for a while, as prose does, until it ends.</p><button type="button" class="btn btn-primary" aria-label="Open">` +
		`<svg viewBox="0 0 24 24" width=24><path fill="none" d="M0 0h24v24H0z"/><g><path d="M12 2l3 7h7z"/></g></svg></button></div>` + "\n"
	benchForm   = `<form method="post" action="/form?a=1" class="login form"><input name="text"><button>Send</button></form>`
	benchScript = `<script>` + `for(var i=0;i<n&&a<b;i++){f("<p>"+x[i]+"</p>")}` + "\n"
)

// benchPages are pages as there are, of about 100 KB but for one.
var benchPages = []struct{ name, text string }{
	{"no form", benchHead + repeat(benchPart, 100_000) + `</body></html>`},
	{"one form", benchHead + repeat(benchPart, 50_000) + benchForm + repeat(benchPart, 50_000) + `</body></html>`},
	{"table and five forms", benchHead + `<table>` + repeat(benchRow, 100_000) + `</table>` + strings.Repeat(benchForm, 5) + `</body></html>`},
	{"a form in each row", benchHead + repeat(benchPart+benchForm, 100_000) + `</body></html>`},
	{"scripts", benchHead + repeat(benchScript+repeat(benchScript[len("<script>"):], 10_000)+`</script>`, 100_000) + benchForm + `</body></html>`},
	{"prose", benchHead + repeat("<p>"+strings.Repeat("Words of a long text. ", 40)+"</p>\n", 100_000) + benchForm + `</body></html>`},
	{"1 MB", benchHead + repeat(benchPart+benchRow, 1_000_000) + benchForm + `</body></html>`},
}

// repeat returns text as often as n bytes hold it.
func repeat(text string, n int) string { return strings.Repeat(text, n/len(text)) }

// BenchmarkPages rewrites pages that come in pieces of 32 KiB, as a proxy and the file server write them.
func BenchmarkPages(b *testing.B) {
	for _, page := range benchPages {
		b.Run(page.name, func(b *testing.B) { benchmarkRewrite(b, []byte(page.text), 32<<10) })
	}
}

// BenchmarkPieces rewrites a page that comes in pieces of several sizes.
func BenchmarkPieces(b *testing.B) {
	for _, size := range []int{64, 512, 4 << 10, 32 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkRewrite(b, []byte(benchPages[1].text), size) })
	}
}

func benchmarkRewrite(b *testing.B, page []byte, size int) {
	options := testPage()
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		w := New(io.Discard, options)
		for rest := page; len(rest) > 0; {
			n := min(size, len(rest))
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
		}
		_ = w.Close()
	}
}
