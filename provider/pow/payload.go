package pow

import (
	"encoding/base64"
	"strings"
)

// maxPayload is many times what a widget sends, and little to look at.
const maxPayload = 4096

// usualPayload is longer than what they send.
const usualPayload = 1024

// payload is what a widget sends, base64 around JSON.
type payload struct {
	challenge string // 64 lower-case hex digits
	number    string // decimal, as it was hashed
	salt      string
	signature string // 64 lower-case hex digits
}

var encoding = base64.StdEncoding.Strict()

// decodePayload reads the one spelling of a payload that widgets produce. It
// refuses all others, because what can be spelt in two ways invites a reader
// who takes one token for two. It returns what is wrong, or "".
func decodePayload(raw string) (p payload, wrong string) {
	if len(raw) > maxPayload {
		return p, "longer than a payload can be"
	}
	var room [usualPayload]byte
	buf := room[:]
	if len(raw) > len(buf) {
		buf = make([]byte, maxPayload)
	}
	n, err := encoding.Decode(buf, []byte(raw))
	// The decoder skips line breaks; the length does not.
	if err != nil || encoding.EncodedLen(n) != len(raw) {
		return p, "not canonical base64"
	}
	return decodeJSON(string(buf[:n]))
}

// The members of a payload. Each may occur once; all but took must.
const (
	hasAlgorithm = 1 << iota
	hasChallenge
	hasNumber
	hasSalt
	hasSignature
	hasTook

	hasRequired = hasTook - 1
)

const notJSON = "not a strict JSON object"

func decodeJSON(doc string) (p payload, wrong string) {
	rest, ok := strings.CutPrefix(doc, "{")
	if !ok {
		return p, notJSON
	}
	seen := 0
	for {
		var name string
		if name, rest, ok = cutString(rest); !ok || !strings.HasPrefix(rest, ":") {
			return p, notJSON
		}
		var member int
		if member, rest, ok = p.take(name, rest[1:]); !ok {
			return p, "a member that is unknown or has an impossible value"
		}
		if seen&member != 0 {
			return p, "a member that occurs twice"
		}
		seen |= member
		if rest == "}" {
			break
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return p, notJSON
		}
	}
	if seen&hasRequired != hasRequired {
		return p, "a member is missing"
	}
	return p, ""
}

// take reads the value of the named member from the beginning of rest.
func (p *payload) take(name, rest string) (member int, after string, ok bool) {
	var value string
	switch name {
	case "algorithm":
		value, after, ok = cutString(rest)
		return hasAlgorithm, after, ok && value == algorithm
	case "challenge":
		p.challenge, after, ok = cutString(rest)
		return hasChallenge, after, ok && isHex(p.challenge, hexSum)
	case "number":
		p.number, after, ok = cutNumber(rest)
		if ok {
			_, ok = decimal(p.number)
		}
		return hasNumber, after, ok
	case "salt":
		value, after, ok = cutString(rest)
		// Go's encoding/json writes & like this, so do programs that
		// solve challenges with a Go library.
		p.salt = strings.ReplaceAll(value, `\u0026`, "&")
		return hasSalt, after, ok
	case "signature":
		p.signature, after, ok = cutString(rest)
		return hasSignature, after, ok && isHex(p.signature, hexSum)
	case "took":
		// Milliseconds; with a fraction since version 3 of the widget.
		_, after, ok = cutNumber(rest)
		return hasTook, after, ok
	}
	return 0, rest, false
}

// cutString cuts a JSON string off s. No escape is undone: what may stand in a
// payload has none, and what has one will match nothing.
func cutString(s string) (value, after string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", s, false
	}
	return strings.Cut(s, `"`)
}

// cutNumber cuts a JSON number off s.
func cutNumber(s string) (number, after string, ok bool) {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > start
	}
	at := func(set string) bool { return i < len(s) && strings.IndexByte(set, s[i]) >= 0 }
	if at("-") {
		i++
	}
	first := i
	if !digits() || (s[first] == '0' && i > first+1) {
		return "", s, false
	}
	if at(".") {
		i++
		if !digits() {
			return "", s, false
		}
	}
	if at("eE") {
		i++
		if at("+-") {
			i++
		}
		if !digits() {
			return "", s, false
		}
	}
	return s[:i], s[i:], true
}
