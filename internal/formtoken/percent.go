package formtoken

import (
	"bytes"
	"unicode/utf8"
)

// escapeRule says how percent-escapes are read.
type escapeRule uint8

const (
	strictEscapes  escapeRule = 0
	formEscapes    escapeRule = 1 << iota // "+" is a space
	dropPercent                           // a malformed escape loses its percent sign
	dropEscape                            // a malformed escape vanishes
	unicodeEscapes                        // %uXXXX is a character, as ASP has it
)

// percentDecode decodes a name. Malformed escapes are treated by the rule, kept by default, and make ok
// false. Without anything to decode the result is raw itself.
func percentDecode(raw []byte, rule escapeRule) (name []byte, ok bool) {
	if bytes.IndexByte(raw, '%') < 0 && (rule&formEscapes == 0 || bytes.IndexByte(raw, '+') < 0) {
		return raw, true
	}
	name, ok = make([]byte, 0, len(raw)), true
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '+' && rule&formEscapes != 0:
			name = append(name, ' ')
		case c != '%':
			name = append(name, c)
		default:
			if v, valid := hexValue(raw, i+1, 2); valid {
				name = append(name, byte(v)) //nolint:gosec // two digits
				i += 2
				continue
			}
			ok = false
			var used int
			name, used = mendEscape(name, raw, i, rule)
			i += used
		}
	}
	return name, ok
}

// mendEscape appends what a lenient parser makes of the malformed escape at raw[i] and returns how many
// bytes behind the percent sign it used.
func mendEscape(name, raw []byte, i int, rule escapeRule) ([]byte, int) {
	if rule&unicodeEscapes != 0 && i+1 < len(raw) && raw[i+1]|0x20 == 'u' {
		if v, valid := hexValue(raw, i+2, 4); valid {
			return utf8.AppendRune(name, rune(v)), 5 //nolint:gosec // four digits
		}
	}
	switch {
	case rule&dropEscape != 0:
		return name, min(2, len(raw)-i-1)
	case rule&dropPercent != 0:
		return name, 0
	}
	return append(name, '%'), 0
}

// hexValue reads n hexadecimal digits at raw[at:].
func hexValue(raw []byte, at, n int) (value uint32, ok bool) {
	if at+n > len(raw) {
		return 0, false
	}
	for _, c := range raw[at : at+n] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		value = value<<4 | uint32(digit)
	}
	return value, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
