package altcha

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
)

// maxDepth is deeper than any document of ALTCHA's.
const maxDepth = 16

// value is a JSON value that keeps what encoding/json loses: the order of an
// object's members, the case of their names, and how a number is written.
type value struct {
	kind    byte   // '{' '[' '"' '0' or 'l' for a literal
	text    string // of a string, its value; of a number or literal, its spelling
	members []member
	items   []value
}

type member struct {
	name  string
	value value
}

var errDocument = errors.New("not strict JSON")

// parseDocument reads one JSON value with nothing around it and no name twice in
// an object.
func parseDocument(doc []byte) (value, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return value{}, errDocument
	}
	if _, err := d.Token(); err != io.EOF {
		return value{}, errDocument
	}
	return v, nil
}

func parseValue(d *json.Decoder, depth int) (value, error) {
	token, err := d.Token()
	if err != nil || depth > maxDepth {
		return value{}, errDocument
	}
	switch t := token.(type) {
	case json.Delim:
		return parseNested(d, byte(t), depth) //nolint:gosec // a brace or a bracket
	case string:
		return value{kind: '"', text: t}, nil
	case json.Number:
		return value{kind: '0', text: t.String()}, nil
	case bool:
		return value{kind: 'l', text: strconv.FormatBool(t)}, nil
	default:
		return value{kind: 'l', text: "null"}, nil
	}
}

func parseNested(d *json.Decoder, open byte, depth int) (value, error) {
	v := value{kind: open}
	for d.More() {
		var name string
		if open == '{' {
			token, err := d.Token()
			text, ok := token.(string)
			if err != nil || !ok || v.has(text) {
				return v, errDocument
			}
			name = text
		}
		inner, err := parseValue(d, depth+1)
		if err != nil {
			return v, err
		}
		if open == '{' {
			v.members = append(v.members, member{name, inner})
		} else {
			v.items = append(v.items, inner)
		}
	}
	_, err := d.Token() // the end
	return v, err
}

func (v value) has(name string) bool {
	return slices.ContainsFunc(v.members, func(m member) bool { return m.name == name })
}

// get returns the named member of an object; the zero value where it has none.
func (v value) get(name string) value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return value{}
}

// only reports whether v is an object with all members of required and no others
// than these and the optional ones.
func (v value) only(required, optional []string) bool {
	if v.kind != '{' {
		return false
	}
	for _, m := range v.members {
		if !slices.Contains(required, m.name) && !slices.Contains(optional, m.name) {
			return false
		}
	}
	for _, name := range required {
		if !v.has(name) {
			return false
		}
	}
	return true
}

// style is how a program writes JSON. What a server signs, and what a client
// sends, was written by one of these two.
type style int

const (
	javascript style = iota // JSON.stringify
	golang                  // encoding/json
)

// append writes v. With sorted, objects are in the order of the style's
// canonical form, which is what the libraries sign; else as they were read.
func (v value) append(dst []byte, s style, sorted bool) []byte {
	switch v.kind {
	case '{':
		members := v.members
		if sorted {
			members = slices.Clone(members)
			slices.SortFunc(members, func(a, b member) int { return s.compare(a.name, b.name) })
		}
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(s.quote(dst, m.name), ':')
			dst = m.value.append(dst, s, sorted)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, item := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.append(dst, s, sorted)
		}
		return append(dst, ']')
	case '"':
		return s.quote(dst, v.text)
	}
	return append(dst, v.text...)
}

// compare orders the names of members. JavaScript's objects have those that are
// array indexes first, as numbers; it sorts the others by UTF-16 units.
func (s style) compare(a, b string) int {
	if s == golang {
		return cmp.Compare(a, b)
	}
	i, aIsIndex := arrayIndex(a)
	j, bIsIndex := arrayIndex(b)
	switch {
	case aIsIndex && bIsIndex:
		return cmp.Compare(i, j)
	case aIsIndex:
		return -1
	case bIsIndex:
		return 1
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func arrayIndex(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return n, err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == name
}

// quote writes a string as the style's encoder does.
func (s style) quote(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		short := bytes.IndexByte([]byte("\"\\\b\f\n\r\t"), byte(r)) //nolint:gosec // counts where r < 0x80
		switch {
		case r < 0x80 && short >= 0:
			dst = append(dst, '\\', `"\bfnrt`[short])
		case r < 0x20, s == golang && (r == '<' || r == '>' || r == '&'):
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case s == golang && (r == '\u2028' || r == '\u2029'):
			dst = append(dst, '\\', 'u', '2', '0', '2', hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
