package keyring

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	idSize     = 8 // bytes; twice as many hex digits
	secretSize = 32
)

// key is one secret and what is derived from it. It does not change.
type key struct {
	id        string
	secret    [secretSize]byte
	created   time.Time
	signsFrom time.Time

	// derived is copied to be written, so that reading takes no lock. There
	// are as many entries as a config has uses for keys.
	derived atomic.Pointer[map[use]*subkey]
}

// use is what a subkey is for. A key that signs never encrypts.
type use struct {
	kind    kind
	purpose string
}

type kind string

const (
	signing kind = "sign"
	sealing kind = "seal"
)

// subkey is one of mac and aead.
type subkey struct {
	macs sync.Pool // of hash.Hash
	aead cipher.AEAD
}

func newKey(created, signsFrom time.Time) *key {
	k := &key{created: created.UTC().Round(0), signsFrom: signsFrom.UTC().Round(0)}
	var id [idSize]byte
	_, _ = rand.Read(id[:]) // it never fails
	_, _ = rand.Read(k.secret[:])
	k.id = hex.EncodeToString(id[:])
	return k
}

// sub returns the subkey for a use.
func (k *key) sub(u use) *subkey {
	for {
		old := k.derived.Load()
		if old != nil {
			if s := (*old)[u]; s != nil {
				return s
			}
		}
		next := map[use]*subkey{u: k.derive(u)}
		if old != nil {
			maps.Copy(next, *old)
		}
		if k.derived.CompareAndSwap(old, &next) {
			return next[u]
		}
	}
}

func (k *key) derive(u use) *subkey {
	label := "caddy-captcha v1 " + string(u.kind) + " " + u.purpose
	secret, err := hkdf.Key(sha256.New, k.secret[:], nil, label, chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for lengths that are ours to choose
	}
	s := new(subkey)
	if u.kind == sealing {
		if s.aead, err = chacha20poly1305.NewX(secret); err != nil {
			panic(err)
		}
		return s
	}
	s.macs.New = func() any { return hmac.New(sha256.New, secret) }
	return s
}

func (s *subkey) mac(message []byte) []byte {
	h := s.macs.Get().(hash.Hash)
	defer s.macs.Put(h)
	h.Reset()
	h.Write(message)
	return h.Sum(make([]byte, 0, sha256.Size))
}

// snapshot is what a ring knows at one time. It does not change.
type snapshot struct {
	signing []*key // by the time from which they sign
	known   map[string]held
}

// held is a key and the moment until which it is honoured; none where it is
// not yet known when that will be.
type held struct {
	key   *key
	until time.Time
}

func (h held) honoured(now time.Time) bool {
	return h.key != nil && (h.until.IsZero() || !now.After(h.until))
}

// inMemory is a snapshot of one new key that no other node will ever know.
func inMemory(now time.Time) *snapshot {
	k := newKey(now, now)
	return &snapshot{signing: []*key{k}, known: map[string]held{k.id: {key: k}}}
}

// signer returns the newest key whose time has come. Where the clock is behind
// that of the node that made the first key, it is that one.
func (s *snapshot) signer(now time.Time) *key {
	for i := len(s.signing) - 1; i > 0; i-- {
		if k := s.signing[i]; !k.signsFrom.After(now) {
			return k
		}
	}
	return s.signing[0]
}

func (s *snapshot) find(id string, now time.Time) *key {
	if h := s.known[id]; h.honoured(now) {
		return h.key
	}
	return nil
}

// with returns a snapshot in which the document's keys sign. What was known
// before is honoured on: a key that is no longer stored, or never was, signed
// until now at the latest.
func (s *snapshot) with(doc document, now time.Time) *snapshot {
	if s == nil {
		s = new(snapshot)
	}
	next := &snapshot{known: make(map[string]held)}
	for _, h := range doc.held() {
		if old := s.known[h.key.id].key; old != nil && old.secret == h.key.secret && old.signsFrom.Equal(h.key.signsFrom) {
			h.key = old // it has its subkeys
		}
		next.signing = append(next.signing, h.key)
		next.known[h.key.id] = h
	}
	for id, h := range s.known {
		if _, stored := next.known[id]; stored {
			continue
		}
		if h.until.IsZero() || h.until.After(now.Add(keep)) {
			h.until = now.Add(keep)
		}
		if h.honoured(now) {
			next.known[id] = h
		}
	}
	return next
}
