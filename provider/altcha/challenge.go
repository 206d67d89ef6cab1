package altcha

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

const (
	// lifetime is how long a challenge of ours can be solved.
	lifetime = 10 * time.Minute
	// maxNumber is the default of ALTCHA's libraries: 500,000 hashes on average.
	maxNumber = 1_000_000
	// mostNumber is the largest search of a foreign challenge that a visitor
	// of our page is asked for.
	mostNumber = 100_000_000
	// fetchTimeout bounds a call to challenge_url.
	fetchTimeout = 2 * time.Second
)

// Challenge returns a challenge document. With a challenge_url it is the ALTCHA
// server's, which this server fetches. A fallback's is always made here, because
// nobody else would sign the role into it.
func (p *Provider) Challenge(ctx context.Context, req provider.Request) (json.RawMessage, error) {
	if p.challengeURL != "" && req.Role == "" {
		return p.fetch(ctx)
	}
	return p.issue(req)
}

// Probe asks challenge_url for a challenge, as visitors' challenges are, and is
// content where there is none to ask: payloads are verified without anybody.
func (p *Provider) Probe(ctx context.Context) error {
	if p.challengeURL == "" {
		return nil
	}
	_, err := p.fetch(ctx)
	return err
}

// issue makes a challenge of the protocol v1, which every widget solves, and the
// challenge page too. It keeps nothing: what must be known later is in the salt.
func (p *Provider) issue(req provider.Request) (json.RawMessage, error) {
	if !isRole(req.Role) {
		return nil, errors.New("altcha: the role has characters that none may have")
	}
	now := p.env.Now()
	t := terms{issued: now.UnixMilli(), host: hostTag(req.Host), role: req.Role}
	var random [12]byte
	_, _ = rand.Read(random[:]) // it never fails
	salt := hex.AppendEncode(nil, random[:])
	salt = append(salt, "?expires="...)
	salt = strconv.AppendInt(salt, now.Add(lifetime).Unix(), 10)
	salt = append(t.appendOurs(append(salt, '&')), '&')
	number, err := rand.Int(rand.Reader, big.NewInt(maxNumber+1))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(number.Append(salt, 10))
	challenge := hex.EncodeToString(sum[:])
	signature := mac(sha256.New, p.key, []byte(challenge))
	// No value needs escaping: all are hex, digits, or a role.
	return fmt.Appendf(nil, `{"algorithm":"SHA-256","challenge":"%s","maxnumber":%d,"salt":"%s","signature":"%x"}`,
		challenge, maxNumber, salt, signature), nil
}

// fetch asks challenge_url.
func (p *Provider) fetch(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.challengeURL, nil)
	if err != nil {
		return nil, errors.New("altcha: no request can be made from challenge_url")
	}
	req.Header.Set("Accept", "application/json")
	a, err := p.client.Do(req)
	if err != nil {
		return nil, outbound.Again(err)
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		return nil, outbound.Throttled(a)
	case a.Status != http.StatusOK:
		return nil, outbound.Again(outbound.Unavailable(fmt.Sprintf("challenge_url answers with status %d", a.Status)))
	}
	doc, err := parseDocument(a.Body)
	if err != nil || doc.kind != '{' {
		return nil, outbound.Again(outbound.Unavailable("challenge_url does not answer with a JSON object"))
	}
	if p.scriptURL != "" {
		// The widget understands more than we do: Sentinel's documents, say.
		return p.forWidget(doc)
	}
	return p.forPage(doc)
}

// forWidget checks no more than that doc is a challenge. What is escaped as Go
// does it can stand in a page.
func (p *Provider) forWidget(doc value) (json.RawMessage, error) {
	algorithm := doc.get("algorithm")
	if doc.has("parameters") {
		algorithm = doc.get("parameters").get("algorithm")
	}
	// Sentinel may ask for "his", signs of a human, before it gives one.
	if algorithm.kind != '"' && doc.get("his").kind != '{' {
		return nil, outbound.Again(outbound.Unavailable("challenge_url does not answer with a challenge"))
	}
	return doc.append(nil, golang, false), nil
}

// forPage checks that doc is a challenge which the challenge page can solve and
// Parse accepts, so that a server that is set up otherwise shows before visitors
// have worked for nothing.
func (p *Provider) forPage(doc value) (json.RawMessage, error) {
	if doc.get("parameters").kind == '{' {
		return nil, outbound.Misconfigured("challenge_url answers with protocol v2: only the widget solves it, set script_url")
	}
	for _, name := range []string{"algorithm", "challenge", "salt", "signature"} {
		if doc.get(name).kind != '"' {
			return nil, outbound.Again(outbound.Unavailable("challenge_url does not answer with a challenge"))
		}
	}
	number := doc.get("maxnumber")
	if !doc.has("maxnumber") {
		number = doc.get("maxNumber") // so altcha-lib-go writes it
	}
	most, ok := number.integer()
	if !ok {
		return nil, outbound.Again(outbound.Unavailable("the challenge of challenge_url has no maxnumber"))
	}
	h := hashes[doc.get("algorithm").text]
	salt, signature := doc.get("salt").text, doc.get("signature").text
	t, wrong := parseSalt(salt)
	until := time.Unix(t.expires, 0).Sub(p.env.Now())
	switch {
	case h == nil:
		wrong = "its algorithm is none of SHA-256, SHA-384 and SHA-512"
	case !isHex(signature, 2*h().Size()) || !p.signed(h, []byte(doc.get("challenge").text), signature):
		wrong = "it is not signed with hmac_key"
	case wrong == "" && (until <= 0 || until > maxLifetime+maxSkew):
		wrong = "it expires at once, or more than 24 hours ahead"
	case wrong == "" && (most == 0 || most > mostNumber):
		wrong = "its maxnumber is not from 1 to 100000000"
	}
	if wrong != "" {
		return nil, outbound.Misconfigured("the challenge of challenge_url would not be accepted: " + wrong)
	}
	return value{kind: '{', members: []member{
		{"algorithm", doc.get("algorithm")}, {"challenge", doc.get("challenge")}, {"maxnumber", number},
		{"salt", doc.get("salt")}, {"signature", doc.get("signature")},
	}}.append(nil, golang, false), nil
}
