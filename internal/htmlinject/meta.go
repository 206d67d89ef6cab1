package htmlinject

import (
	"bytes"
	"html"
	"strings"

	tokenizer "golang.org/x/net/html"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// meta reads a <meta>: the charset of the page, or a policy, which is extended.
func (w *Writer) meta(text []byte) []byte {
	attrs := attributes(text)
	label, named := attrs["charset"]
	switch equiv := strings.ToLower(attrs["http-equiv"]); {
	case equiv == "content-type" && !named:
		label, named = charsetIn(attrs["content"])
	case equiv == "content-security-policy" && !w.tree.body:
		policy, ok := w.page.Policy(attrs["content"])
		if ok && policy != attrs["content"] {
			text, ok = withContent(text, policy)
		}
		if !ok {
			w.emit(text)
			w.giveUp()
			return nil
		}
	}
	if !named || w.tree.charset {
		return text
	}
	if charset.Of(strings.TrimSpace(label)) == charset.Foreign {
		w.emit(text)
		w.giveUp()
		return nil
	}
	w.tree.charset = true
	return text
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
			return text, false
		}
	}
	return b.Bytes(), true
}
