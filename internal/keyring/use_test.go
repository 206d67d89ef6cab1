package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// loaded returns a ring with a key in memory.
func loaded(t testing.TB) *Ring {
	t.Helper()
	r := New(time.Now)
	r.ensure()
	return r
}

func TestPurposesAreSeparateD113(t *testing.T) {
	r := loaded(t)
	ctx := t.Context()
	id, _ := r.Signer("a").KeyID(ctx)
	macs := map[string]string{}
	for _, purpose := range []string{"", "a", "b", "a b", "sign a", "seal a"} {
		mac, err := r.Signer(purpose).MAC(ctx, id, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		again, _ := r.Signer(purpose).MAC(ctx, id, []byte("m"))
		if !bytes.Equal(mac, again) {
			t.Errorf("%q signs differently each time", purpose)
		}
		if other, seen := macs[string(mac)]; seen {
			t.Errorf("%q and %q sign alike", purpose, other)
		}
		macs[string(mac)] = purpose
	}
	box, _ := r.Sealer("a").Seal(ctx, []byte("plain"), nil)
	for _, purpose := range []string{"", "b", "a "} {
		if _, err := r.Sealer(purpose).Open(ctx, box, nil); !errors.Is(err, ErrOpen) {
			t.Errorf("%q opens a box of %q: %v", purpose, "a", err)
		}
	}
}

// Nodes of different versions share keys, so the derivation must not change,
// and a key that signs must not also encrypt.
func TestDerivation(t *testing.T) {
	r := loaded(t)
	k := r.keys.Load().signing[0]
	subkey := func(label string) []byte {
		secret, err := hkdf.Key(sha256.New, k.secret[:], nil, label, 32)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	h := hmac.New(sha256.New, subkey("caddy-captcha v1 sign p"))
	h.Write([]byte("m"))
	if mac, _ := r.Signer("p").MAC(t.Context(), k.id, []byte("m")); !hmac.Equal(mac, h.Sum(nil)) {
		t.Error("the signing key is derived differently")
	}
	aead, _ := chacha20poly1305.NewX(subkey("caddy-captcha v1 seal p"))
	box, _ := r.Sealer("p").Seal(t.Context(), []byte("plain"), []byte("aad"))
	id, _ := hex.DecodeString(k.id)
	if plain, err := aead.Open(nil, box[8:32], box[32:], append(id, "aad"...)); err != nil || string(plain) != "plain" {
		t.Errorf("the sealing key is derived differently: %v", err)
	}
}

func TestBox(t *testing.T) {
	r := loaded(t)
	ctx := t.Context()
	s := r.Sealer("p")
	for _, plain := range []string{"", "x", "some text that is longer"} {
		box, err := s.Seal(ctx, []byte(plain), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		if len(box) != len(plain)+overhead {
			t.Errorf("%d bytes for %d", len(box), len(plain))
		}
		got, err := s.Open(ctx, box, []byte("aad"))
		if err != nil || string(got) != plain {
			t.Errorf("got %q, %v", got, err)
		}
		for _, aad := range []string{"", "aa", "aad ", "AAD"} {
			if _, err := s.Open(ctx, box, []byte(aad)); !errors.Is(err, ErrOpen) {
				t.Errorf("opened with %q: %v", aad, err)
			}
		}
		for i := range box {
			bad := bytes.Clone(box)
			bad[i] ^= 1
			if _, err := s.Open(ctx, bad, []byte("aad")); !errors.Is(err, ErrOpen) {
				t.Errorf("opened with byte %d changed: %v", i, err)
			}
			if _, err := s.Open(ctx, box[:i], []byte("aad")); !errors.Is(err, ErrOpen) {
				t.Errorf("opened with %d bytes only: %v", i, err)
			}
		}
		if _, err := s.Open(ctx, append(bytes.Clone(box), 0), []byte("aad")); !errors.Is(err, ErrOpen) {
			t.Errorf("opened with a byte more: %v", err)
		}
	}
	one, _ := s.Seal(ctx, []byte("same"), nil)
	two, _ := s.Seal(ctx, []byte("same"), nil)
	if bytes.Equal(one, two) {
		t.Error("two boxes are the same")
	}
}

// The id in front of a box is authenticated, not only used: with two keys of
// one secret it could otherwise be exchanged.
func TestBoxKeyIDIsBound(t *testing.T) {
	r := loaded(t)
	s := r.Sealer("p")
	box, _ := s.Seal(t.Context(), []byte("plain"), nil)
	twin := newKey(time.Now(), time.Now())
	keys := r.keys.Load()
	twin.secret = keys.signing[0].secret
	keys.known[twin.id] = held{key: twin}
	other, _ := (&Ring{now: time.Now}).withKey(twin).Sealer("p").Seal(t.Context(), nil, nil)
	copy(box, other[:idSize])
	if _, err := s.Open(t.Context(), box, nil); !errors.Is(err, ErrOpen) {
		t.Errorf("opened under another id: %v", err)
	}
}

func (r *Ring) withKey(k *key) *Ring {
	r.keys.Store(&snapshot{signing: []*key{k}, known: map[string]held{k.id: {key: k}}})
	return r
}

func TestConcurrentUse(t *testing.T) {
	r := loaded(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				s := r.Signer(fmt.Sprint(i % 10))
				id, _ := s.KeyID(t.Context())
				mac, err := s.MAC(t.Context(), id, []byte("m"))
				if err != nil || len(mac) != 32 {
					t.Errorf("%d: %x, %v", g, mac, err)
				}
			}
		})
	}
	wg.Wait()
}

// What signs is used again: each message has its own signature, whoever signs beside it.
func TestConcurrentSignatures(t *testing.T) {
	s := loaded(t).Signer("p")
	id, _ := s.KeyID(t.Context())
	k := s.ring.keys.Load().find(id, s.ring.now())
	var wg sync.WaitGroup
	for g := range 8 {
		message := bytes.Repeat([]byte{byte(g)}, 100*g)
		alone := k.derive(s.use).macs.New().(hash.Hash)
		alone.Write(message)
		want := alone.Sum(nil)
		wg.Go(func() {
			for range 200 {
				if mac, err := s.MAC(t.Context(), id, message); err != nil || !bytes.Equal(mac, want) {
					t.Errorf("%d: %x, %v", g, mac, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkMAC(b *testing.B) {
	s := loaded(b).Signer("p")
	message := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		id, _ := s.KeyID(b.Context())
		if _, err := s.MAC(b.Context(), id, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := loaded(b).Sealer("p")
	plain := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		box, _ := s.Seal(b.Context(), plain, nil)
		if _, err := s.Open(b.Context(), box, nil); err != nil {
			b.Fatal(err)
		}
	}
}
