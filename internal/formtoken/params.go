package formtoken

import "strings"

// param is one parameter of a header value. The key is in lower case.
type param struct {
	key, value string
	quoted     bool
}

// splitParams splits `first; key=value; key="value"`. With escapes a backslash in a quoted string
// quotes the next character, as the RFCs say; without, it is itself, as browsers mean it. It reads on
// after mistakes and says with ok whether there were none.
func splitParams(v string, escapes bool) (first string, params []param, ok bool) {
	first, rest, more := strings.Cut(v, ";")
	first, ok = trimOWS(first), true
	for more {
		rest = trimOWS(rest)
		end := strings.IndexAny(rest, ";=")
		if end < 0 || rest[end] == ';' {
			word := rest
			if end >= 0 {
				word, rest = rest[:end], rest[end+1:]
			}
			more = end >= 0
			ok = ok && trimOWS(word) == "" && !more // a semicolon at the end is harmless
			continue
		}
		p := param{key: strings.ToLower(trimOWS(rest[:end]))}
		ok = ok && isToken(rest[:end])
		rest = rest[end+1:]
		if value := trimOWS(rest); strings.HasPrefix(value, `"`) {
			ok = ok && rest[0] == '"'
			var clean bool
			p.value, rest, clean = unquote(value[1:], escapes)
			p.quoted = true
			junk, tail, again := strings.Cut(rest, ";")
			ok = ok && clean && trimOWS(junk) == ""
			rest, more = tail, again
		} else {
			p.value, rest, more = strings.Cut(rest, ";")
			ok = ok && (p.value == "" || !isOWS(p.value[0]))
			p.value = trimOWS(p.value)
		}
		params = append(params, p)
	}
	return first, params, ok
}

// unquote reads a quoted string behind its opening quote.
func unquote(v string, escapes bool) (value, rest string, closed bool) {
	if !escapes {
		return strings.Cut(v, `"`)
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '"':
			return b.String(), v[i+1:], true
		case v[i] == '\\' && i+1 < len(v):
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String(), "", false
}

// isToken says whether s is a token of RFC 9110.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isOWS(c byte) bool          { return c == ' ' || c == '\t' }
func trimOWS(s string) string    { return strings.Trim(s, " \t") }
func hasFold(s, sub string) bool { return strings.Contains(strings.ToLower(s), sub) }
