package keyring

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"golang.org/x/crypto/chacha20poly1305"
)

// Signer computes message authentication codes for one purpose. A code for
// another purpose is another one.
type Signer struct {
	ring *Ring
	use  use
}

// Signer returns a signer for a purpose, a name that stays the same over
// reloads and restarts and is the same on all nodes.
func (r *Ring) Signer(purpose string) *Signer {
	return &Signer{ring: r, use: use{signing, purpose}}
}

// KeyID names the key that signs now: 16 lower-case hex digits. Where no keys
// are loaded yet it waits for them as long as the context lasts.
func (s *Signer) KeyID(ctx context.Context) (string, error) {
	keys, err := s.ring.current(ctx)
	if err != nil {
		return "", err
	}
	return keys.signer(s.ring.now()).id, nil
}

// MAC returns the HMAC-SHA-256 of the message under the named key, and
// ErrUnknownKey where there is none. It asks no storage.
func (s *Signer) MAC(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	keys, err := s.ring.current(ctx)
	if err != nil {
		return nil, err
	}
	k := keys.find(keyID, s.ring.now())
	if k == nil {
		return nil, ErrUnknownKey
	}
	return k.sub(s.use).mac(message), nil
}

// Sealer encrypts for one purpose, with XChaCha20-Poly1305. A box is the key's
// id (8 bytes), a random nonce (24 bytes), and the ciphertext.
type Sealer struct {
	ring *Ring
	use  use
}

const (
	nonceEnd = idSize + chacha20poly1305.NonceSizeX

	// overhead is how much longer a box is than its content.
	overhead = nonceEnd + chacha20poly1305.Overhead
)

// Sealer returns a sealer for a purpose, as Signer does.
func (r *Ring) Sealer(purpose string) *Sealer {
	return &Sealer{ring: r, use: use{sealing, purpose}}
}

// Seal encrypts plaintext, and binds it to aad, which is not in the box.
func (s *Sealer) Seal(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	keys, err := s.ring.current(ctx)
	if err != nil {
		return nil, err
	}
	k := keys.signer(s.ring.now())
	box := make([]byte, nonceEnd, overhead+len(plaintext))
	if _, err := hex.Decode(box[:idSize], []byte(k.id)); err != nil {
		return nil, err // an id is hex
	}
	_, _ = rand.Read(box[idSize:nonceEnd]) // it never fails
	return k.sub(s.use).aead.Seal(box, box[idSize:nonceEnd], plaintext, bind(box, aad)), nil
}

// Open decrypts a box. It returns ErrOpen for any box that is not good; other
// errors say that the keys are not loaded yet.
func (s *Sealer) Open(ctx context.Context, box, aad []byte) ([]byte, error) {
	if len(box) < overhead {
		return nil, ErrOpen
	}
	keys, err := s.ring.current(ctx)
	if err != nil {
		return nil, err
	}
	k := keys.find(hex.EncodeToString(box[:idSize]), s.ring.now())
	if k == nil {
		return nil, ErrOpen
	}
	plain, err := k.sub(s.use).aead.Open(nil, box[idSize:nonceEnd], box[nonceEnd:], bind(box, aad))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// bind authenticates the key's id, which has one length, before aad.
func bind(box, aad []byte) []byte {
	return append(append(make([]byte, 0, idSize+len(aad)), box[:idSize]...), aad...)
}
