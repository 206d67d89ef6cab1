package htmlinject

import (
	"bytes"

	"golang.org/x/net/html"
)

type attribute struct{ name, value string }

// attributes are those of a start tag that matter here. Of two with a name, the
// first counts.
type attributes []attribute

var attributeNames = [...]string{"id", "name", "action", "method", "class", "href", "charset", "http-equiv", "content"}

func (a attributes) get(name string) string {
	value, _ := a.lookup(name)
	return value
}

func (a attributes) lookup(name string) (string, bool) {
	for _, attr := range a {
		if attr.name == name {
			return attr.value, true
		}
	}
	return "", false
}

// read adds the attributes of a whole start tag, as the HTML standard reads them
// (13.2.5.32 to 13.2.5.39).
func (a attributes) read(tag []byte) attributes {
	if bytes.IndexByte(tag, '&') >= 0 || bytes.IndexByte(tag, '\r') >= 0 || bytes.IndexByte(tag, 0) >= 0 {
		return a.decode(tag) // a value may not be what stands there
	}
	rest := tag[bytes.IndexAny(tag, spaces+"/>") : len(tag)-1]
	for {
		rest = bytes.TrimLeft(rest, spaces+"/")
		if len(rest) == 0 {
			return a
		}
		var key, value []byte
		n := 1 // a = that comes first is part of the name
		for n < len(rest) && rest[n] != '=' && rest[n] != '/' && !isSpace(rest[n]) {
			n++
		}
		key, rest = rest[:n], bytes.TrimLeft(rest[n:], spaces)
		if len(rest) > 0 && rest[0] == '=' {
			value, rest = cutValue(bytes.TrimLeft(rest[1:], spaces))
		}
		a = a.add(key, value)
	}
}

// cutValue returns the value that text begins with, and what follows.
func cutValue(text []byte) (value, rest []byte) {
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		value, rest, _ = bytes.Cut(text[1:], text[:1])
		return value, rest
	}
	n := 0
	for n < len(text) && !isSpace(text[n]) {
		n++
	}
	return text[:n], text[n:]
}

// decode is read for a tag with character references and the like.
func (a attributes) decode(tag []byte) attributes {
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		a = a.add(key, value)
	}
	return a
}

// add adds an attribute, where it matters.
func (a attributes) add(key, value []byte) attributes {
	for _, name := range attributeNames {
		if !equal(key, name) {
			continue
		}
		if _, twice := a.lookup(name); twice {
			return a
		}
		return append(a, attribute{name, string(value)})
	}
	return a
}

// equal compares a text with one in lower case.
func equal(text []byte, lowered string) bool {
	if len(text) != len(lowered) {
		return false
	}
	for i, c := range text {
		if lower(c) != lowered[i] {
			return false
		}
	}
	return true
}
