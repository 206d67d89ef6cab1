package captcha

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// piecewise keeps what is written to it in the pieces that it comes in.
type piecewise struct {
	*httptest.ResponseRecorder
	pieces []string
}

func (p *piecewise) Write(b []byte) (int, error) {
	p.pieces = append(p.pieces, string(b))
	return len(b), nil
}

// TestInjectBegins: the first piece of a page that leaves is as large as encode
// wants it, where the page is; nothing more of it is kept back.
func TestInjectBegins(t *testing.T) {
	for _, c := range []struct{ in, out []int }{
		{[]int{1}, []int{1}},
		{[]int{firstWrite - 1}, []int{firstWrite - 1}},
		{[]int{firstWrite}, []int{firstWrite}},
		{[]int{firstWrite + 1}, []int{firstWrite + 1}},
		{[]int{40_000, 2, 3}, []int{40_000, 2, 3}},
		{[]int{firstWrite - 1, 1, 5}, []int{firstWrite, 5}},
		{[]int{firstWrite - 1, 2, 5}, []int{firstWrite, 1, 5}},
		{[]int{1, 40_000, 7}, []int{firstWrite, 40_001 - firstWrite, 7}},
		{[]int{200, 200, 200, 200}, []int{firstWrite, 600 - firstWrite, 200}},
		{[]int{200, 200}, []int{400}},
	} {
		out := &piecewise{ResponseRecorder: httptest.NewRecorder()}
		w := &injectWriter{
			ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: out},
			injector:              new(Injector), request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody),
		}
		w.Header().Set("Content-Type", "text/html")
		page := ""
		for n, size := range c.in {
			piece := strings.Repeat(string(rune('a'+n)), size)
			page += piece
			if k, err := w.Write([]byte(piece)); k != size || err != nil {
				t.Fatal(k, err)
			}
		}
		if err := w.finish(nil); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for _, piece := range out.pieces {
			sizes = append(sizes, len(piece))
		}
		if !slices.Equal(sizes, c.out) || strings.Join(out.pieces, "") != page {
			t.Errorf("pieces of %v bytes left as %v, want %v; the same page: %v", c.in, sizes, c.out, strings.Join(out.pieces, "") == page)
		}
	}
}
