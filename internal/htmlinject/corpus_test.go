package htmlinject_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/internal/htmlinject"
)

const corpus = "../../e2e/corpus"

// What stands for the two insertions: bytes that no page has.
const (
	script = "\x00\x01"
	inputs = "\x00\x02"
)

// TestCorpus rewrites pages in the structure of real applications: but for the
// insertions they stay byte for byte, whatever pieces they come in.
func TestCorpus(t *testing.T) {
	var pages map[string]struct {
		Type      string
		Forms     []string
		Untouched bool
	}
	decode(t, "pages.json", &pages)
	files, err := filepath.Glob(corpus + "/*.html")
	if err != nil || len(files) != len(pages) {
		t.Fatalf("%d pages, and %d in pages.json (%v)", len(files), len(pages), err)
	}
	for name, want := range pages {
		t.Run(name, func(t *testing.T) {
			page := read(t, name+".html")
			out := rewrite(t, page, len(page), want.Type)
			if got := out.without(); !bytes.Equal(got, page) {
				t.Errorf("the page is not what it was:\n%q", got)
			}
			scripts := 1
			if want.Untouched {
				scripts = 0
			}
			if n := out.count(script); n != scripts {
				t.Errorf("%d scripts, want %d", n, scripts)
			}
			if n := out.count(inputs); n != len(want.Forms) {
				t.Errorf("inputs in %d forms, want them in %d", n, len(want.Forms))
			}
			for _, size := range []int{1, 2, 7, 61, 1024} {
				if got := rewrite(t, page, size, want.Type); !bytes.Equal(got, out) {
					t.Errorf("in pieces of %d bytes: another page:\n%q", size, got)
				}
			}
		})
	}
}

// page is a rewritten page.
type page []byte

func (p page) count(s string) int { return bytes.Count(p, []byte(s)) }

// without takes away what was put in.
func (p page) without() []byte {
	return []byte(strings.NewReplacer(script, "", inputs, "").Replace(string(p)))
}

// rewrite writes a page in pieces of a size. Wanted is a form that posts to its
// own site.
func rewrite(t *testing.T, text []byte, size int, contentType string) page {
	t.Helper()
	address, err := url.Parse("https://corpus.example/corpus/page")
	if err != nil {
		t.Fatal(err)
	}
	_, params, _ := mime.ParseMediaType(contentType)
	var out bytes.Buffer
	w := htmlinject.New(&out, &htmlinject.Page{
		Script: []byte(script), Inputs: []byte(inputs), Charset: params["charset"] != "" || contentType == "",
		Policy: func(content string) (string, bool) { return content, true },
		Wanted: func(f htmlinject.Form) bool {
			target, ok := f.Target(address)
			return ok && strings.EqualFold(f.Method, "post") && target.Host == address.Host
		},
	})
	for len(text) > 0 {
		n := min(size, len(text))
		if _, err := w.Write(text[:n]); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t *testing.T, name string, v any) {
	t.Helper()
	if err := json.Unmarshal(read(t, name), v); err != nil {
		t.Fatal(err)
	}
}
