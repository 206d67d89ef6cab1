package altcha

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	// field is the form field in which every ALTCHA widget submits.
	field = "altcha"

	// maxPayload is more than twice what a widget sends.
	maxPayload = 8192

	// maxLifetime is how far ahead a payload may expire: it bounds how long
	// work can be done in advance, and how long what is spent is remembered.
	maxLifetime = 24 * time.Hour
	// maxSkew is how far the server's clock may be ahead of ours.
	maxSkew = time.Minute
	// maxUpload is how long after a payload's expiry its request may still be
	// on its way.
	maxUpload = time.Hour
)

func invalid(detail string) error { return provider.Refuse(provider.TokenInvalid, detail) }

func expired(detail string) error { return provider.Refuse(provider.TokenExpired, detail) }

// errBadData is a fault of the host's: a token that is none of Parse's.
var errBadData = errors.New("altcha: the token is not one of Parse")

// judgement is what Parse found out, for Verify to finish.
type judgement struct {
	work   *derivation // of protocol v2, what is left to compute
	score  *float64    // of Sentinel
	detail string
}

// Parse checks everything but the key of protocol v2, whose derivation is dear:
// Verify does that, once, when the challenge has been claimed, so that sending
// a spent payload again costs nothing.
func (p *Provider) Parse(_ context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	raw := fields[field]
	if strings.TrimSpace(raw) == "" {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "no payload")
	}
	doc, err := decodePayload(raw)
	if err != nil {
		return provider.Token{}, err
	}
	var token provider.Token
	switch {
	case doc.has("test"):
		// Anybody can write one, so no setting accepts it.
		err = invalid("the test payload of a widget")
	case doc.has("verificationData"):
		token, err = p.parseSentinel(req, doc)
	case doc.has("solution"):
		token, err = p.parseV2(req, doc)
	default:
		token, err = p.parseV1(req, doc)
	}
	if err != nil {
		return provider.Token{}, err
	}
	token.Fields = map[string]string{field: raw}
	return token, nil
}

// Verify passes what Parse has checked, and derives the key of protocol v2.
func (p *Provider) Verify(ctx context.Context, _ provider.Request, token provider.Token) (provider.Verdict, error) {
	j, ok := token.Data.(judgement)
	if !ok {
		return provider.Verdict{}, errBadData
	}
	if j.work != nil {
		solved, err := j.work.check(ctx)
		if err != nil {
			return provider.Verdict{}, err
		}
		if !solved {
			return provider.Verdict{Reason: provider.TokenInvalid, Detail: "the counter is not the solution"}, nil
		}
	}
	return provider.Verdict{Outcome: provider.Pass, Score: j.score, Detail: j.detail}, nil
}

// decodePayload reads a payload in the spelling of JSON.stringify, or of Go's
// encoding/json. Whatever could be spelt otherwise is refused.
func decodePayload(raw string) (value, error) {
	if len(raw) > maxPayload {
		return value{}, invalid("payload: longer than a payload can be")
	}
	text, err := base64.StdEncoding.Strict().DecodeString(raw)
	// The decoder skips line breaks; the length does not.
	if err != nil || base64.StdEncoding.EncodedLen(len(text)) != len(raw) {
		return value{}, invalid("payload: not canonical base64")
	}
	if !utf8.Valid(text) {
		text = fromLatin1(text)
	}
	doc, err := parseDocument(text)
	if err != nil || doc.kind != '{' {
		return value{}, invalid("payload: not a strict JSON object")
	}
	if !bytes.Equal(doc.append(nil, javascript, false), text) && !bytes.Equal(doc.append(nil, golang, false), text) {
		return value{}, invalid("payload: not in the spelling of a widget")
	}
	return doc, nil
}

// fromLatin1 undoes what the widgets' btoa does to the characters from U+0080 to
// U+00FF, as they may stand in the data of a challenge. It knows no others.
func fromLatin1(text []byte) []byte {
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return []byte(string(runes))
}

// hashes are the algorithms that sign. SHA-1, which the libraries still know, is
// not one of them.
var hashes = map[string]func() hash.Hash{
	"SHA-256": sha256.New,
	"SHA-384": sha512.New384,
	"SHA-512": sha512.New,
}

// signed reports whether signature, in lower-case hex, is the HMAC of message
// with the operator's key.
func (p *Provider) signed(h func() hash.Hash, message []byte, signature string) bool {
	got, err := hex.DecodeString(signature)
	if err != nil || len(p.key) == 0 {
		return false
	}
	return hmac.Equal(got, mac(h, p.key, message))
}

func mac(h func() hash.Hash, key, message []byte) []byte {
	m := hmac.New(h, key)
	m.Write(message)
	return m.Sum(nil)
}

// judgeTime decides whether something that is signed to expire at a Unix time
// counts now.
func (p *Provider) judgeTime(req provider.Request, at int64) error {
	now := p.env.Now()
	received := req.Received
	if received.IsZero() {
		received = now
	}
	expires := time.Unix(at, 0)
	switch {
	case received.After(expires):
		return expired("expired before the request arrived")
	case now.After(expires.Add(maxUpload)):
		return expired("expired long before the request was complete")
	case expires.After(now.Add(maxLifetime + maxSkew)):
		return invalid("expires more than 24 hours ahead: let the ALTCHA server issue shorter challenges")
	}
	return nil
}

// token is a token that is spent by its verified signature.
func token(kind, signature string, expires int64, j judgement) provider.Token {
	return provider.Token{
		Key:     "altcha:" + kind + ":" + signature,
		Expires: time.Unix(expires, 0).Add(maxUpload),
		Data:    j,
	}
}

// decimal reads a non-negative integer of at most 15 digits as strconv writes
// it, and in no other spelling.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 15 || (s[0] == '0' && s != "0") {
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

// integer reads a JSON number that decimal reads.
func (v value) integer() (int64, bool) {
	if v.kind != '0' {
		return 0, false
	}
	return decimal(v.text)
}

// isHex reports whether s is lower-case hex of a length.
func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}
