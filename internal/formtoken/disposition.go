package formtoken

import (
	"bytes"
	"slices"
	"strings"
)

// maxNameWords bounds the work on one Content-Disposition.
const maxNameWords = 16

// disposition finds the wanted field that a part with this Content-Disposition is, if any.
//
// Clients escape quotes in names in three ways and parsers read them in more, down to a search for
// `name=`. So a part is a wanted field only if its header is spelled so that all agree; it is none if
// no reading makes it one; and anything between is refused.
func disposition(names *nameSet, v string) (*field, *Error) {
	words, near := nameWords(names, v)
	if !near {
		_, near = nameWords(names, tight.Replace(v))
	}
	if words > maxNameWords {
		return nil, errDisposition
	}
	first, params, ok := splitParams(v, true)
	name, e := partName(params)
	escaped := strings.Contains(v, `\`)
	if e == nil && escaped {
		_, literal, _ := splitParams(v, false)
		_, e = partName(literal)
	}
	if e != nil {
		return nil, e
	}
	if !named(params) && nearFile(names, params) {
		return nil, errTokenFile // Rack names such a part after its file
	}
	f := names.exact([]byte(name))
	if !near && (f == nil || f.charset) {
		return f, nil
	}
	if f == nil || f.charset {
		return nil, errPartName
	}
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		if strings.HasPrefix(p.key, "filename") {
			return nil, errTokenFile
		}
		ok = ok && !seen[p.key] && !strings.Contains(p.key, "*") && (p.quoted || isToken(p.value))
		seen[p.key] = true
	}
	if !ok || escaped || words != 1 || !strings.EqualFold(first, "form-data") {
		return nil, errPartName
	}
	return f, nil
}

// tight drops white space, as @fastify/busboy does within words.
var tight = strings.NewReplacer(" ", "", "\t", "")

// partName returns the name among the parameters of one reading.
func partName(params []param) (string, *Error) {
	name, namesSeen, filesSeen := "", 0, 0
	for _, p := range params {
		switch {
		case p.key == "name":
			name = p.value
			namesSeen++
		case p.key == "filename":
			filesSeen++
		case strings.HasPrefix(p.key, "name*"):
			return "", errExtendedName
		}
	}
	switch {
	case namesSeen > 1 || filesSeen > 1:
		return "", errDisposition
	case len(name) > maxName:
		return "", errLongName
	case strings.Contains(name, "=?") && strings.Contains(name, "?="):
		// Commons FileUpload decodes MIME encoded-words in names; others keep them.
		return "", errExtendedName
	}
	return name, nil
}

func named(params []param) bool {
	return slices.ContainsFunc(params, func(p param) bool { return p.key == "name" && p.value != "" })
}

func nearFile(names *nameSet, params []param) bool {
	return slices.ContainsFunc(params, func(p param) bool {
		return strings.HasPrefix(p.key, "filename") && nearSpelling(names, p.value)
	})
}

// nameWords looks for `name=` anywhere in the header, as the laxest parsers do. It returns how often it
// stands there and whether any value behind it is or resembles a wanted name.
func nameWords(names *nameSet, v string) (words int, near bool) {
	lower := lowerASCII(v)
	for from := 0; words <= maxNameWords; {
		i := strings.Index(lower[from:], "name")
		if i < 0 {
			return words, near
		}
		start := from + i
		from = start + len("name")
		if start > 0 && isWord(lower[start-1]) {
			continue // filename=
		}
		rest := strings.TrimLeftFunc(v[from:], isBlank)
		extended := strings.HasPrefix(rest, "*")
		rest = strings.TrimLeft(rest, "*0123456789")
		rest = strings.TrimLeftFunc(rest, isBlank)
		if !strings.HasPrefix(rest, "=") {
			// @fastify/busboy wants no equals sign in name*utf-8''altcha.
			near = near || extended && nearValue(names, rest[strings.LastIndexByte(rest, '\'')+1:])
			continue
		}
		words++
		near = near || extended || nearValue(names, strings.TrimLeftFunc(rest, func(r rune) bool { return r == '=' || isBlank(r) }))
	}
	return words, near
}

// nearValue says whether any reading of the value at the start of v resembles a wanted name.
func nearValue(names *nameSet, v string) bool {
	v = v[:min(len(v), maxName)]
	ends := ";,\" \t"
	if strings.HasPrefix(v, `"`) || strings.HasPrefix(v, `'`) {
		quote := v[:1]
		if quote == `"` {
			value, _, _ := unquote(v[1:], true)
			if nearSpelling(names, value) {
				return true
			}
		}
		ends = quote
		v = v[1:]
	}
	if i := strings.IndexByte(v, ';'); i >= 0 && nearSpelling(names, strings.Trim(v[:i], `"'`)) {
		return true
	}
	if i := strings.IndexAny(v, ends); i >= 0 {
		v = v[:i]
	}
	// Rack ends a name that is not quoted at the first character that is none of a token.
	word := strings.IndexFunc(v, func(r rune) bool { return !isToken(string(r)) })
	return nearSpelling(names, v) || word >= 0 && nearSpelling(names, v[:word])
}

// nearSpelling tries the name as it is, without its backslashes, and percent-decoded.
func nearSpelling(names *nameSet, name string) bool {
	raw := []byte(name)
	if names.near(raw) || names.near(bytes.ReplaceAll(raw, []byte(`\`), nil)) {
		return true
	}
	decoded, _ := percentDecode(raw, strictEscapes)
	return names.near(decoded)
}

// lowerASCII lowers letters without moving any byte.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
}
