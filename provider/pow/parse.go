package pow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	// field is the form field in which every ALTCHA widget submits.
	field = "altcha"

	// maxSkew is how far another node's clock may be ahead of ours.
	maxSkew = time.Minute
	// maxUpload is how long after a proof's expiry its request may still be
	// on its way: time for a slow upload, none for a stockpile of stalled ones.
	maxUpload = time.Hour
)

func invalid(detail string) error { return provider.Refuse(provider.TokenInvalid, detail) }

func expired(detail string) error { return provider.Refuse(provider.TokenExpired, detail) }

// Parse verifies a proof completely, and asks nobody. What it returns can only
// fail because it is spent.
func (p *Provider) Parse(ctx context.Context, req provider.Request, fields map[string]string) (provider.Token, error) {
	raw := fields[field]
	if strings.TrimSpace(raw) == "" {
		return provider.Token{}, provider.Refuse(provider.TokenMissing, "no payload")
	}
	proof, wrong := decodePayload(raw)
	if wrong != "" {
		return provider.Token{}, invalid("payload: " + wrong)
	}
	terms, ok := parseSalt(proof.salt)
	if !ok {
		return provider.Token{}, invalid("the salt is none of ours")
	}
	if err := p.authenticate(ctx, proof, terms); err != nil {
		return provider.Token{}, err
	}
	if err := p.judge(req, proof, terms); err != nil {
		return provider.Token{}, err
	}
	return provider.Token{
		// The signature is what we computed, and one challenge has one.
		Key:     "pow:" + proof.signature,
		Expires: time.Unix(terms.expires, 0).Add(maxUpload),
		Fields:  fields,
		Issued:  time.UnixMilli(terms.issued),
		Role:    terms.role,
	}, nil
}

// authenticate checks that the challenge is ours and that the salt and the
// number are its solution. Nothing that the salt says counts before.
func (p *Provider) authenticate(ctx context.Context, proof payload, terms params) error {
	if p.env.Signer == nil {
		return errNoSigner
	}
	want, err := p.env.Signer.MAC(ctx, terms.key, []byte(proof.challenge))
	if errors.Is(err, provider.ErrUnknownKey) {
		return invalid("signed with a key that is not ours, or no longer")
	}
	if err != nil {
		return err
	}
	var got [sha256.Size]byte
	_, _ = hex.Decode(got[:], []byte(proof.signature)) // its shape is checked
	if !hmac.Equal(got[:], want) {
		return invalid("the signature is wrong")
	}
	var scratch [512]byte
	sum := sha256.Sum256(append(append(scratch[:0], proof.salt...), proof.number...))
	var text [hexSum]byte
	hex.Encode(text[:], sum[:])
	if string(text[:]) != proof.challenge {
		return invalid("the number is not the solution")
	}
	return nil
}

// judge decides whether a solved challenge of ours counts here and now.
func (p *Provider) judge(req provider.Request, proof payload, terms params) error {
	now := p.env.Now()
	received := req.Received
	if received.IsZero() {
		received = now
	}
	expires := time.Unix(terms.expires, 0)
	lifetime := terms.expires*1000 - terms.issued
	number, _ := decimal(proof.number) // its shape is checked
	switch {
	case terms.issued > now.Add(maxSkew).UnixMilli():
		return invalid("issued in the future: compare the clocks of the nodes")
	case lifetime < 0 || lifetime > MaxExpires.Milliseconds():
		return invalid("an impossible lifetime")
	case received.After(expires):
		return expired("expired before the request arrived")
	case now.After(expires.Add(maxUpload)):
		return expired("expired long before the request was complete")
	case !tagged(terms.host, req.Host, hexHost):
		return invalid("issued for another host")
	case terms.cost < int64(p.Difficulty):
		return invalid("less work than is asked for here")
	case number > 2*terms.cost:
		return invalid("the number is above the challenge's maximum")
	}
	return p.judgeNode(terms)
}

// judgeNode refuses what may have been spent and forgotten: a challenge from
// before the memory of spent proofs began. Where that memory is this process's,
// that concerns this node's challenges; one of another node may have been spent
// there, and the operator is told.
func (p *Provider) judgeNode(terms params) error {
	since := p.env.Since()
	if since.IsZero() {
		return nil
	}
	if p.env.Shared || tagged(terms.node, p.env.Node(), hexNode) {
		if terms.issued < since.UnixMilli() {
			return expired("issued before the memory of what is spent began")
		}
		return nil
	}
	if p.foreign.add(terms.node) {
		p.env.Logger.Warn("accepted a proof of work that another node issued; without a shared store it counts once on every node: use 'store redis'",
			zap.String("node", terms.node))
	}
	return nil
}

// foreignNodes outlives a config reload, so that each node is reported once.
var foreignNodes nodeSet

// nodeSet is a set of a bounded number of nodes.
type nodeSet struct {
	mu    sync.Mutex
	nodes map[string]struct{}
}

const maxNodes = 64

// add reports whether the node is new. Beyond the bound none is.
func (s *nodeSet) add(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.nodes[node]; ok || len(s.nodes) >= maxNodes {
		return false
	}
	if s.nodes == nil {
		s.nodes = make(map[string]struct{})
	}
	s.nodes[strings.Clone(node)] = struct{}{}
	return true
}
