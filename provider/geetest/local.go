package geetest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// A local challenge is 32 characters of [0-9a-z], as GeeTest's widgets expect:
// 'z', which no digest begins with, and 31 digits to base 36, which hold 160
// bits:
//
//	64  the signing key's id
//	16  the issue time, the low bits of its Unix seconds
//	24  random, so that no two challenges of one second are the same
//	56  the beginning of the MAC
//
// The MAC covers the label, the captcha_id, the host, the whole issue time and
// the random bits. The high bits of the time follow from the clock, so an old
// challenge does not come back when the low ones do.
//
// 56 bits of MAC are enough. They can only be tried here, one request for each
// try: at 100,000 requests a second a hit takes over 10,000 years on average,
// its prize is one offline answer, which proves nothing anyway, and it expires
// after ten minutes.
const (
	localMark   = "z"
	localDigits = 31
	localSize   = keyTag + 2 + localRandom + macSize

	keyTag      = 8
	localRandom = 3
	macSize     = 7

	localLabel = "geetest local challenge v1"
)

var errNoSigner = errors.New("geetest: no signer is bound")

// issueLocal makes a local challenge.
func (p *Provider) issueLocal(ctx context.Context, host string) (string, error) {
	if p.env.Signer == nil {
		return "", errNoSigner
	}
	keyID, err := p.env.Signer.KeyID(ctx)
	if err != nil {
		return "", err
	}
	issued := p.env.Now().Unix()
	var random [localRandom]byte
	_, _ = rand.Read(random[:]) // it never fails
	mac, err := p.env.Signer.MAC(ctx, keyID, p.localMessage(host, issued, random[:]))
	if err != nil {
		return "", err
	}
	tag := tagOf(keyID)
	packed := append(make([]byte, 0, localSize), tag[:]...)
	packed = binary.BigEndian.AppendUint16(packed, uint16(issued)) //nolint:gosec // its low bits are enough, see checkLocal
	packed = append(packed, random[:]...)
	packed = append(packed, mac[:macSize]...)
	digits := new(big.Int).SetBytes(packed).Text(36)
	return localMark + strings.Repeat("0", localDigits-len(digits)) + digits, nil
}

// readLocal reports whether a challenge is a local one of ours for this host,
// and when it was issued. An error is a fault of ours.
func (p *Provider) readLocal(ctx context.Context, host, challenge string) (issued time.Time, ours bool, err error) {
	if len(challenge) != len(localMark)+localDigits || !strings.HasPrefix(challenge, localMark) {
		return time.Time{}, false, nil
	}
	n, ok := new(big.Int).SetString(challenge[len(localMark):], 36)
	if !ok || n.BitLen() > 8*localSize {
		return time.Time{}, false, nil
	}
	packed := n.FillBytes(make([]byte, localSize))
	tag, rest := packed[:keyTag], packed[keyTag:]
	low, random, mac := rest[:2], rest[2:2+localRandom], rest[2+localRandom:]

	// the latest time with these low bits that is not too far ahead
	latest := p.env.Now().Add(maxSkew).Unix()
	seconds := latest - int64(uint16(latest)-binary.BigEndian.Uint16(low)) //nolint:gosec // its low bits

	want, err := p.localMAC(ctx, tag, p.localMessage(host, seconds, random))
	if errors.Is(err, provider.ErrUnknownKey) {
		return time.Time{}, false, nil
	}
	if err != nil || !hmac.Equal(mac, want[:macSize]) {
		return time.Time{}, false, err
	}
	return time.Unix(seconds, 0), true, nil
}

// judgeLocal decides whether a local challenge of ours counts here and now.
func (p *Provider) judgeLocal(req provider.Request, issued time.Time) error {
	expires := issued.Add(lifetime)
	switch {
	case p.received(req).After(expires):
		return expired("the local challenge expired before the request arrived")
	case p.env.Now().After(expires.Add(maxUpload)):
		return expired("the local challenge expired long before the request was complete")
	case issued.Before(p.env.Since().Truncate(time.Second)):
		return expired("the local challenge is from before this node began to remember what is spent")
	}
	return nil
}

func (p *Provider) localMessage(host string, seconds int64, random []byte) []byte {
	m := make([]byte, 0, 128)
	for _, s := range []string{localLabel, p.id, host} {
		m = binary.AppendUvarint(m, uint64(len(s)))
		m = append(m, s...)
	}
	m = binary.BigEndian.AppendUint64(m, uint64(seconds)) //nolint:gosec // after 1970
	return append(m, random...)
}

// tagOf is a key's id in 8 bytes: the id itself where it is 16 hex digits, as
// those of the module's keyring are, so that any honoured key is found. For
// another signer it is a hash, which only the key that signs now has.
func tagOf(keyID string) [keyTag]byte {
	var tag [keyTag]byte
	if b, err := hex.DecodeString(keyID); err == nil && len(b) == keyTag && hex.EncodeToString(b) == keyID {
		return [keyTag]byte(b)
	}
	sum := sha256.Sum256([]byte(keyID))
	copy(tag[:], sum[:])
	return tag
}

// localMAC computes the MAC with the key that a tag names.
func (p *Provider) localMAC(ctx context.Context, tag, message []byte) ([]byte, error) {
	if p.env.Signer == nil {
		return nil, errNoSigner
	}
	mac, err := p.env.Signer.MAC(ctx, hex.EncodeToString(tag), message)
	if !errors.Is(err, provider.ErrUnknownKey) {
		return mac, err
	}
	keyID, err := p.env.Signer.KeyID(ctx)
	if err != nil {
		return nil, err
	}
	if tagOf(keyID) != [keyTag]byte(tag) {
		return nil, provider.ErrUnknownKey
	}
	return p.env.Signer.MAC(ctx, keyID, message)
}
