package pow

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	saltRandom = 12 // bytes
	hexSum     = 2 * sha256.Size
	hexHost    = 16
	hexNode    = 8
	maxKeyID   = 64
	maxRole    = 64
	maxDigits  = 15 // keeps every sum and product below in an int64
)

// params is what a challenge says of itself, in its salt.
type params struct {
	expires int64 // Unix seconds, as the widgets read it
	issued  int64 // Unix milliseconds
	cost    int64 // expected hashes
	host    string
	node    string
	key     string
	role    string // empty for a primary's challenge
}

// appendSalt writes the salt. It ends with a delimiter, so that no digit can
// move from the number that is appended to it into the salt or back
// (CVE-2025-68113).
func appendSalt(dst []byte, random [saltRandom]byte, p params) []byte {
	dst = hex.AppendEncode(dst, random[:])
	dst = append(dst, "?expires="...)
	dst = strconv.AppendInt(dst, p.expires, 10)
	dst = append(dst, "&issued="...)
	dst = strconv.AppendInt(dst, p.issued, 10)
	dst = append(dst, "&cost="...)
	dst = strconv.AppendInt(dst, p.cost, 10)
	dst = append(dst, "&host="...)
	dst = append(dst, p.host...)
	dst = append(dst, "&node="...)
	dst = append(dst, p.node...)
	dst = append(dst, "&key="...)
	dst = append(dst, p.key...)
	if p.role != "" {
		dst = append(dst, "&role="...)
		dst = append(dst, p.role...)
	}
	return append(dst, '&')
}

// parseSalt reads exactly what appendSalt writes: every parameter, in its
// order, once, and nothing else.
func parseSalt(salt string) (p params, ok bool) {
	if len(salt) < 2*saltRandom || !isHex(salt[:2*saltRandom], 2*saltRandom) {
		return p, false
	}
	rest := salt[2*saltRandom:]
	text := func(name string) string {
		var value string
		after, found := strings.CutPrefix(rest, name)
		if found {
			value, rest, found = strings.Cut(after, "&")
		}
		ok = ok && found
		return value
	}
	number := func(name string) int64 {
		n, valid := decimal(text(name))
		ok = ok && valid
		return n
	}
	ok = true
	p.expires = number("?expires=")
	p.issued = number("issued=")
	p.cost = number("cost=")
	p.host = text("host=")
	p.node = text("node=")
	p.key = text("key=")
	if rest != "" {
		p.role = text("role=")
		ok = ok && isRole(p.role)
	}
	ok = ok && rest == "" && isHex(p.host, hexHost) && isHex(p.node, hexNode) && isKeyID(p.key)
	return p, ok
}

// decimal reads a non-negative integer as strconv writes it, and in no other
// spelling.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits || (s[0] == '0' && s != "0") {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

func isHex(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return true
}

// hexDigits is a table because a processor cannot guess of a hash whether it goes on
// with a digit or a letter.
var hexDigits = func() (digits [256]bool) {
	for _, c := range "0123456789abcdef" {
		digits[c] = true
	}
	return digits
}()

// isRole says whether s is a role as the contract allows it.
func isRole(s string) bool {
	for i := range len(s) {
		if s[i] != ':' && !isKeyID(s[i:i+1]) {
			return false
		}
	}
	return s != "" && len(s) <= maxRole
}

func isKeyID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxKeyID
}

// hostTag and nodeTag keep the salt short, and free of characters that would
// mean something in it.
func hostTag(host string) string { return tag(host, hexHost) }

func nodeTag(node string) string { return tag(node, hexNode) }

// tagged reports whether t is the tag of s, of that length.
func tagged(t, s string, length int) bool {
	var text [hexSum]byte
	sum := sha256.Sum256([]byte(s))
	hex.Encode(text[:], sum[:])
	return t == string(text[:length])
}

func tag(s string, length int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:length/2])
}
