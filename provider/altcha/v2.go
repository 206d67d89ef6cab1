package altcha

import (
	"encoding/hex"
	"hash"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// The members of a payload of the protocol v2 and its parts. An unknown
// parameter may change what the others mean, so it is refused although it is
// signed.
var (
	v2Members   = []string{"challenge", "solution"}
	v2Challenge = []string{"parameters", "signature"}
	v2Solution  = []string{"counter", "derivedKey"}
	v2Time      = []string{"time"}
	v2Required  = []string{"algorithm", "nonce", "salt", "cost", "keyLength", "keyPrefix"}
	v2Optional  = []string{"keySignature", "memoryCost", "parallelism", "expiresAt", "data"}
)

// signers finds the algorithm of a signature by its length: which one the server
// uses is nowhere in a payload of v2.
var signers = map[int]func() hash.Hash{
	64:  hashes["SHA-256"],
	96:  hashes["SHA-384"],
	128: hashes["SHA-512"],
}

func (p *Provider) parseV2(req provider.Request, doc value) (provider.Token, error) {
	challenge, solution := doc.get("challenge"), doc.get("solution")
	if !doc.only(v2Members, nil) || !challenge.only(v2Challenge, nil) || !solution.only(v2Solution, v2Time) {
		return provider.Token{}, invalid("payload: a member is missing or unknown")
	}
	if solution.has("time") && solution.get("time").kind != '0' {
		return provider.Token{}, invalid("payload: time is not a number")
	}
	signature := challenge.get("signature").text
	parameters := challenge.get("parameters")
	// Nothing that the parameters say counts before.
	if !p.signedV2(parameters, signature) {
		return provider.Token{}, invalid("the signature is wrong")
	}
	expires, ok := parameters.get("expiresAt").integer()
	if !ok {
		return provider.Token{}, invalid("the challenge does not say when it expires: let the ALTCHA server set expiresAt")
	}
	if err := p.judgeTime(req, expires); err != nil {
		return provider.Token{}, err
	}
	work, wrong := newDerivation(parameters)
	if wrong != "" {
		// Only whoever has the key can cause this.
		p.warned.Do(func() {
			p.env.Logger.Warn("the ALTCHA server issues challenges that are not accepted here", zap.String("because", wrong))
		})
		return provider.Token{}, invalid("parameters: " + wrong)
	}
	if wrong := work.answer(solution); wrong != "" {
		return provider.Token{}, invalid("solution: " + wrong)
	}
	return token("2", signature, expires, judgement{work: work}), nil
}

// signedV2 checks the signature of parameters, which is that of their canonical
// JSON: as JavaScript's library writes it, or as Go's does, which differ in how
// they escape & and the like, and in how they order numbers.
func (p *Provider) signedV2(parameters value, signature string) bool {
	h := signers[len(signature)]
	if h == nil || parameters.kind != '{' || !isHex(signature, len(signature)) {
		return false
	}
	return p.signed(h, parameters.append(nil, javascript, true), signature) ||
		p.signed(h, parameters.append(nil, golang, true), signature)
}

// newDerivation reads signed parameters, or says why they are not accepted.
func newDerivation(parameters value) (*derivation, string) {
	if !parameters.only(v2Required, v2Optional) {
		return nil, "one is missing or unknown"
	}
	text := func(name string) string {
		if v := parameters.get(name); v.kind == '"' {
			return v.text
		}
		return ""
	}
	number := func(name string, absent int64) int64 {
		if !parameters.has(name) {
			return absent
		}
		n, ok := parameters.get(name).integer()
		if !ok {
			return -1
		}
		return n
	}
	d := &derivation{
		algorithm:   text("algorithm"),
		cost:        number("cost", -1),
		keyLength:   number("keyLength", -1),
		memoryCost:  number("memoryCost", 0),
		parallelism: number("parallelism", 1),
		prefix:      strings.ToLower(text("keyPrefix")),
	}
	nonce, err := hex.DecodeString(text("nonce"))
	salt, err2 := hex.DecodeString(text("salt"))
	switch {
	case err != nil || err2 != nil || len(nonce) == 0 || len(nonce) > 64 || len(salt) == 0 || len(salt) > 64:
		return nil, "nonce or salt is not hex of 1 to 64 bytes"
	case d.prefix == "" || !isHex(d.prefix, len(d.prefix)):
		return nil, "keyPrefix is not hex"
	}
	d.nonce, d.salt = nonce, salt
	if wrong := d.bounds(); wrong != "" {
		return nil, wrong
	}
	if int64(len(d.prefix)) > 2*d.keyLength {
		return nil, "keyPrefix is longer than the key"
	}
	return d, ""
}
