package siteverify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// probeToken is what a probe asks about. No service gave it to anybody.
const probeToken = "caddy-captcha-probe.0000000000000000000000000000000000000000"

// Parse checks a token's shape. What a widget submits before it is solved is a
// token that is missing.
func (p *Provider) Parse(_ context.Context, _ provider.Request, fields map[string]string) (provider.Token, error) {
	token := fields[p.field]
	switch {
	case token == "", token == "undefined", token == "null",
		p.unsolved != "" && strings.HasPrefix(token, p.unsolved):
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "the widget was not solved")
	case len(token) > p.max:
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, fmt.Sprintf("longer than %d bytes", p.max))
	case !printable(token), p.shape != nil && !p.shape.MatchString(token):
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "not of the form of a token")
	case !p.env.AllowTestKeys && slices.Contains(p.testTokens, token):
		return provider.Token{}, provider.Refuse(provider.TokenInvalid, "a published test token")
	}
	if err := p.checkBinding(token); err != nil {
		return provider.Token{}, err
	}
	sum := sha256.Sum256([]byte(p.name + "\n" + token))
	parsed := provider.Token{
		Key:     hex.EncodeToString(sum[:]),
		Expires: p.env.Now().Add(p.lifetime),
		Fields:  map[string]string{p.field: token},
	}
	if p.ask.idempotency != "" {
		parsed.Data = newUUID()
	}
	return parsed, nil
}

// checkBinding refuses a token that says that it is of another site key.
func (p *Provider) checkBinding(token string) error {
	if p.boundTo == nil {
		return nil
	}
	key, err := p.boundTo(token)
	if err != nil {
		return provider.Refuse(provider.TokenInvalid, "not of the form of a token")
	}
	if key != "" && key != p.set.siteKey {
		return provider.Refuse(provider.TokenInvalid, "a token of another site key")
	}
	return nil
}

// printable reports whether a text is visible ASCII throughout.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// newUUID returns a random UUID (RFC 9562, version 4). It is never made from
// the token: then every replay would look like our own second call.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// capSiteKey reads <site key>:<id>:<token>, the newer form of Cap's tokens. The
// older one, <id>:<token>, names none; there the URL binds it.
func capSiteKey(token string) (string, error) {
	parts := strings.Split(token, ":")
	if len(parts) == 3 {
		return parts[0], nil
	}
	return "", nil
}

var errToken = errors.New("malformed token")

// prosopoSiteKey reads the site key ("dapp") out of a token of Prosopo: the hex
// form of a SCALE struct that begins with two optional texts and the site key
// (ProcaptchaTokenCodec of @prosopo/types, seen). A token that cannot be read is
// an error, as it could name the always-pass key in a way that we do not see.
func prosopoSiteKey(token string) (string, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(token, "0x"))
	if err != nil {
		return "", errToken
	}
	for range 2 { // commitmentId, providerUrl
		if len(b) == 0 || b[0] > 1 {
			return "", errToken
		}
		some := b[0] == 1
		if b = b[1:]; some {
			if _, b, err = scaleText(b); err != nil {
				return "", err
			}
		}
	}
	key, _, err := scaleText(b)
	if err == nil && key == "" {
		err = errToken
	}
	return key, err
}

// scaleText reads a SCALE text: its length in compact form, of which one and two
// bytes are enough here, and only in their shortest form, then its bytes.
func scaleText(b []byte) (text string, rest []byte, err error) {
	if len(b) == 0 {
		return "", nil, errToken
	}
	n, size := int(b[0]>>2), 1
	switch b[0] & 3 {
	case 0:
	case 1:
		if len(b) < 2 {
			return "", nil, errToken
		}
		n, size = (int(b[0])|int(b[1])<<8)>>2, 2
		if n < 64 {
			return "", nil, errToken
		}
	default:
		return "", nil, errToken
	}
	if len(b) < size+n {
		return "", nil, errToken
	}
	return string(b[size : size+n]), b[size+n:], nil
}

// prosopoToken is a token of the given site key that nobody was given.
func prosopoToken(siteKey string) string {
	var b []byte
	text := func(s string) {
		if n := len(s); n < 64 {
			b = append(b, byte(n<<2))
		} else {
			b = append(b, byte(n<<2|1), byte(n>>6)) //nolint:gosec // below 256
		}
		b = append(b, s...)
	}
	b = append(b, 0, 0) // neither commitmentId nor providerUrl
	text(siteKey)
	text("probe")       // user
	b = append(b, 0, 0) // neither challenge nor nonce
	text("0")           // timestamp
	b = append(b, 0, 0, 0, 0)
	return "0x" + hex.EncodeToString(b)
}
