package pow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// algorithm is the one that every ALTCHA widget has; no other is accepted.
const algorithm = "SHA-256"

var errNoSigner = errors.New("pow: no signer is bound")

// Challenge issues a challenge document of the ALTCHA protocol v1. It keeps
// nothing: what must be known later travels in the salt, which the signature
// covers through the hash.
func (p *Provider) Challenge(ctx context.Context, req provider.Request) (json.RawMessage, error) {
	if p.env.Signer == nil {
		return nil, errNoSigner
	}
	keyID, err := p.env.Signer.KeyID(ctx)
	if err != nil {
		return nil, err
	}
	if !isKeyID(keyID) {
		return nil, fmt.Errorf("pow: the signer's key id has other characters than letters, digits, '.', '_' and '-', or is longer than %d", maxKeyID)
	}
	if req.Role != "" && !isRole(req.Role) {
		return nil, fmt.Errorf("pow: a role has other characters than letters, digits, '.', '_', ':' and '-', or is longer than %d", maxRole)
	}
	now := p.env.Now()
	maxNumber := 2 * uint64(p.Difficulty) //nolint:gosec // Validate has checked it

	var random [saltRandom]byte
	_, _ = rand.Read(random[:]) // it never fails
	var scratch [320]byte
	salted := appendSalt(scratch[:0], random, params{
		expires: now.Add(time.Duration(p.Expires)).Unix(),
		issued:  now.UnixMilli(),
		cost:    int64(p.Difficulty),
		host:    hostTag(req.Host),
		node:    nodeTag(p.env.Node()),
		key:     keyID,
		role:    req.Role,
	})
	salt := string(salted)
	sum := sha256.Sum256(strconv.AppendUint(salted, uniform(maxNumber), 10))
	challenge := hex.AppendEncode(make([]byte, 0, hexSum), sum[:])
	mac, err := p.env.Signer.MAC(ctx, keyID, challenge)
	if err != nil {
		return nil, err
	}

	// Written by hand because encoding/json would write the salt's & as
	// \u0026. No value needs escaping: all are hex, digits or checked above.
	doc := make([]byte, 0, 384)
	doc = append(doc, `{"algorithm":"`+algorithm+`","challenge":"`...)
	doc = append(doc, challenge...)
	doc = append(doc, `","maxnumber":`...)
	doc = strconv.AppendUint(doc, maxNumber, 10)
	doc = append(doc, `,"salt":"`...)
	doc = append(doc, salt...)
	doc = append(doc, `","signature":"`...)
	doc = hex.AppendEncode(doc, mac)
	doc = append(doc, `"}`...)
	return doc, nil
}

// uniform returns a random number from 0 to limit, both included, none
// likelier than another: whoever knows a likelier half does half the work.
func uniform(limit uint64) uint64 {
	n := limit + 1
	unbiased := math.MaxUint64 - math.MaxUint64%n
	var b [8]byte
	for {
		_, _ = rand.Read(b[:])
		if v := binary.LittleEndian.Uint64(b[:]); v < unbiased {
			return v % n
		}
	}
}
