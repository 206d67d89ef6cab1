package htmlinject

import (
	"bytes"
	"html"
	"strings"

	tokenizer "golang.org/x/net/html"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// meta reads a <meta>: the charset of the page, or a policy. It returns what is to
// stand in its place, where that is another one.
func (w *Writer) meta(text []byte) []byte {
	w.attrs = w.attrs[:0].read(text)
	var extended []byte
	content := w.attrs.get("content")
	label, named := w.attrs.lookup("charset")
	switch equiv := strings.ToLower(w.attrs.get("http-equiv")); {
	case equiv == "content-type" && !named:
		label, named = charsetIn(content)
	case equiv == "content-security-policy" && !w.tree.body:
		policy, ok := w.page.Policy(content)
		if ok && policy != content {
			extended, ok = withContent(text, policy)
		}
		if !ok {
			w.ended = true
			return nil
		}
	}
	switch {
	case !named || w.tree.charset:
	case charset.Of(strings.TrimSpace(label)) == charset.Foreign:
		w.ended = true
	default:
		w.tree.charset = true
	}
	return extended
}

// charsetIn returns the charset that a content type names.
func charsetIn(contentType string) (string, bool) {
	lowered := strings.ToLower(contentType)
	_, rest, ok := strings.Cut(lowered, "charset")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t\n\f\r"), "=")
	if !ok {
		return "", false
	}
	rest = strings.TrimLeft(rest, " \t\n\f\r\"'")
	end := strings.IndexAny(rest, "; \t\n\f\r\"'")
	if end >= 0 {
		rest = rest[:end]
	}
	return rest, rest != ""
}

// withContent returns a start tag with another value of its attribute content.
// It returns false where the tag holds what cannot be written anew in any charset.
func withContent(text []byte, content string) ([]byte, bool) {
	z := tokenizer.NewTokenizer(bytes.NewReader(text))
	z.Next()
	var b bytes.Buffer
	b.WriteString("<meta")
	for more := true; more; {
		var key, value []byte
		if key, value, more = z.TagAttr(); len(key) == 0 {
			continue
		}
		if string(key) == "content" {
			value = []byte(content)
		}
		b.WriteString(" " + string(key) + `="` + html.EscapeString(string(value)) + `"`)
	}
	b.WriteByte('>')
	for _, c := range b.Bytes() {
		if c >= 0x80 {
			return nil, false
		}
	}
	return b.Bytes(), true
}
