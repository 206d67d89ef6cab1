package altcha

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// maxSalt is many times the salt of any server.
const maxSalt = 1024

// solved is what a payload of the protocol v1 says: that the hash of salt and
// number is the challenge, of which signature is the HMAC.
type solved struct {
	algorithm, challenge, number, salt, signature string
}

var (
	v1Members  = []string{"algorithm", "challenge", "number", "salt", "signature"}
	v1Optional = []string{"took"} // with a fraction since widget 3
)

func (p *Provider) parseV1(req provider.Request, doc value) (provider.Token, error) {
	if !doc.only(v1Members, v1Optional) {
		return provider.Token{}, invalid("payload: a member is missing or unknown")
	}
	if doc.has("took") && doc.get("took").kind != '0' {
		return provider.Token{}, invalid("payload: took is not a number")
	}
	s := solved{
		algorithm: doc.get("algorithm").text,
		challenge: doc.get("challenge").text,
		number:    doc.get("number").text,
		salt:      doc.get("salt").text,
		signature: doc.get("signature").text,
	}
	for _, name := range v1Members {
		if (doc.get(name).kind == '"') == (name == "number") {
			return provider.Token{}, invalid("payload: a member of another type")
		}
	}
	h := hashes[s.algorithm]
	if h == nil {
		return provider.Token{}, invalid("the algorithm is none of SHA-256, SHA-384 and SHA-512")
	}
	if _, ok := doc.get("number").integer(); !ok {
		return provider.Token{}, invalid("the number is not a plain integer")
	}
	if err := p.checkV1(s, h); err != nil {
		return provider.Token{}, err
	}
	return p.judgeV1(req, s)
}

// checkV1 checks that the challenge is signed, and that the number solves it.
func (p *Provider) checkV1(s solved, h func() hash.Hash) error {
	size := 2 * h().Size()
	if !isHex(s.challenge, size) || !isHex(s.signature, size) || !p.signed(h, []byte(s.challenge), s.signature) {
		return invalid("the signature is wrong")
	}
	sum := h()
	sum.Write([]byte(s.salt))
	sum.Write([]byte(s.number))
	if hex.EncodeToString(sum.Sum(nil)) != s.challenge {
		return invalid("the number is not the solution")
	}
	return nil
}

// judgeV1 decides whether a solved challenge counts here and now.
func (p *Provider) judgeV1(req provider.Request, s solved) (provider.Token, error) {
	t, wrong := parseSalt(s.salt)
	if wrong != "" {
		return provider.Token{}, invalid("salt: " + wrong)
	}
	if err := p.judgeTime(req, t.expires); err != nil {
		return provider.Token{}, err
	}
	made := token("1", s.signature, t.expires, judgement{})
	if !t.ours {
		return made, nil
	}
	since := p.env.Since()
	switch {
	case t.host != hostTag(req.Host):
		return provider.Token{}, invalid("issued for another host")
	case t.issued > p.env.Now().Add(maxSkew).UnixMilli():
		return provider.Token{}, invalid("issued in the future: compare the clocks of the nodes")
	case !since.IsZero() && t.issued < since.UnixMilli():
		return provider.Token{}, expired("issued before this node began to remember what is spent")
	}
	made.Issued, made.Role = time.UnixMilli(t.issued), t.role
	return made, nil
}

// terms are what the salt of a challenge says.
type terms struct {
	expires int64 // Unix seconds
	// Of a challenge that was made here, in the parameter caddy:
	ours   bool
	issued int64 // Unix milliseconds
	host   string
	role   string
}

// parseSalt reads <random>?<name>=<value>&…& of a salt whose signature is
// checked. The & at the end keeps the digits of the number from moving into the
// last value (CVE-2025-68113); libraries from before that write none.
func parseSalt(salt string) (t terms, wrong string) {
	random, query, ok := strings.Cut(salt, "?")
	if !ok || len(salt) > maxSalt || strings.ContainsFunc(salt, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return t, "no parameters"
	}
	query, ok = strings.CutSuffix(query, "&")
	if !ok || random == "" {
		return t, "no & at its end: update the library of the ALTCHA server"
	}
	dated := 0
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil { // libraries drop a malformed one
			name = decoded
		}
		switch name {
		case "expires", "expire": // altcha-lib reads both
			if t.expires, ok = decimal(text); !ok {
				return t, "expires is not a Unix time"
			}
			dated++
		case ourParameter:
			if t.ours || !t.parseOurs(text) {
				return t, "the parameter " + ourParameter + " is not of ours"
			}
		}
	}
	if dated != 1 {
		return t, "it does not say once when it expires: let the ALTCHA server set expires"
	}
	return t, ""
}

// ourParameter is what a challenge of ours says in its salt beside its expiry:
// <version>.<issued>.<host>.<role>.
const ourParameter = "caddy"

func (t *terms) appendOurs(dst []byte) []byte {
	dst = append(dst, ourParameter+"=1."...)
	dst = strconv.AppendInt(dst, t.issued, 10)
	return append(dst, "."+t.host+"."+t.role...)
}

func (t *terms) parseOurs(text string) bool {
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 4 || parts[0] != "1" || !isHex(parts[2], hexHost) || !isRole(parts[3]) {
		return false
	}
	t.host, t.role = parts[2], parts[3]
	t.issued, t.ours = decimal(parts[1])
	return t.ours
}

const hexHost = 16

// hostTag keeps the salt short, and free of characters that mean something in it.
func hostTag(host string) string {
	sum := sha256.Sum256([]byte(host))
	return hex.EncodeToString(sum[:hexHost/2])
}

// isRole reports whether s is a role as the contract has it; empty is the
// primary's.
func isRole(s string) bool {
	return len(s) <= 64 && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._:-") == ""
}
