package trustcaptcha

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	// field is where the widget puts its token, unless it is told otherwise.
	field = "tc-verification-token"

	// maxToken is many times what the widget sends.
	maxToken = 4096

	// remember is how long a regular token stays spent. What a token says of
	// its expiry is unsigned: a client that writes an early one must not be
	// able to spend the same verification again after it. Result pages of
	// TrustCaptcha are gone (410) long before.
	remember = 24 * time.Hour

	// maxAhead is how far ahead a client-failover token may expire: the widget
	// writes its clock plus 15 minutes.
	maxAhead = 16 * time.Minute

	// maxSkew is how far the clock that dated a regular token may be behind
	// ours.
	maxSkew = time.Minute

	// maxUpload is how long after a token's expiry its request may still be on
	// its way.
	maxUpload = time.Hour

	// testIDs begins the ids with which TrustCaptcha's libraries test the API;
	// one digit follows.
	testIDs = "00000000-0000-0000-0000-00000000000"
)

// claim is what Verify needs of a token.
type claim struct {
	id       string // lower case
	failover bool
}

// Fields returns the one field of the widget.
func (*Provider) Fields() []string { return []string{field} }

func invalid(detail string) error { return provider.Refuse(provider.TokenInvalid, detail) }

func expired(detail string) error { return provider.Refuse(provider.TokenExpired, detail) }

// Parse reads a token: base64 around JSON, which nobody has signed. Members
// other than verificationId, expiresAt and clientFailover are ignored, above all
// an apiEndpoint.
func (p *Provider) Parse(_ context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	raw := fields[field]
	if strings.TrimSpace(raw) == "" {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "no token")
	}
	says, wrong := decodeToken(raw)
	if wrong != "" {
		return provider.Token{}, invalid("token: " + wrong)
	}
	if isTestID(says.id) && !p.env.AllowTestKeys {
		return provider.Token{}, invalid("one of TrustCaptcha's test ids; allow_test_keys accepts them")
	}
	now := p.env.Now()
	if err := p.judge(req, says, now); err != nil {
		return provider.Token{}, err
	}
	token := provider.Token{
		Key:     "trustcaptcha:" + says.id,
		Expires: now.Add(remember),
		Fields:  map[string]string{field: raw},
		Data:    claim{id: says.id, failover: says.failover},
	}
	if says.failover {
		token.Expires = says.expires.Add(maxUpload)
	}
	return token, nil
}

// judge decides what can be decided without asking.
func (p *Provider) judge(req provider.Request, says statement, now time.Time) error {
	received := req.Received
	if received.IsZero() {
		received = now
	}
	if !says.failover {
		if says.dated && received.After(says.expires.Add(maxSkew)) {
			return expired("expired, it says, before the request arrived")
		}
		return nil
	}
	switch {
	case !p.ClientFailover:
		return invalid("a client-failover token, and client_failover is off")
	case !says.dated:
		return invalid("a client-failover token without a readable expiresAt")
	case received.After(says.expires):
		return expired("a client-failover token that expired before the request arrived")
	case now.After(says.expires.Add(maxUpload)):
		return expired("a client-failover token that expired long before the request was complete")
	case says.expires.After(received.Add(maxAhead)):
		return invalid("a client-failover token that expires later than the widget can have written")
	}
	return nil
}

// statement is what a token says.
type statement struct {
	id       string
	expires  time.Time
	dated    bool // expires could be read
	failover bool
}

func decodeToken(raw string) (s statement, wrong string) {
	if len(raw) > maxToken {
		return s, "longer than a token can be"
	}
	doc, err := base64.StdEncoding.Strict().DecodeString(raw)
	if err != nil || base64.StdEncoding.EncodedLen(len(doc)) != len(raw) {
		return s, "not canonical base64"
	}
	// A map, because the names of a struct's members would match in any case.
	var members map[string]json.RawMessage
	if json.Unmarshal(doc, &members) != nil || members == nil {
		return s, "not a JSON object"
	}
	var id string
	if json.Unmarshal(members["verificationId"], &id) != nil {
		return s, "no verificationId"
	}
	var ok bool
	if s.id, ok = parseUUID(id); !ok {
		return s, "the verificationId is not a UUID"
	}
	switch string(bytes.TrimSpace(members["clientFailover"])) {
	case "true":
		s.failover = true
	case "", "false", "null":
	default:
		return s, "clientFailover is not a boolean"
	}
	var at string
	if json.Unmarshal(members["expiresAt"], &at) == nil {
		s.expires, err = time.Parse(time.RFC3339, at)
		s.dated = err == nil
	}
	return s, ""
}

// parseUUID reads a UUID in its one usual spelling and returns it in lower case.
func parseUUID(text string) (string, bool) {
	if len(text) != 36 {
		return "", false
	}
	for i := range len(text) {
		c := text[i] | 0x20 // letters in lower case
		switch i {
		case 8, 13, 18, 23:
			if text[i] != '-' {
				return "", false
			}
		default:
			if (text[i] < '0' || text[i] > '9') && (c < 'a' || c > 'f') {
				return "", false
			}
		}
	}
	return strings.ToLower(text), true
}

// isTestID recognizes a test id: all of it, not by its beginning alone.
func isTestID(id string) bool {
	rest, ok := strings.CutPrefix(id, testIDs)
	return ok && len(rest) == 1 && rest[0] >= '0' && rest[0] <= '9'
}
