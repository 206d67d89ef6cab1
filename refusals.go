package captcha

import (
	"crypto/sha256"
	"hash/maphash"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	refusalTTL  = time.Minute
	maxRefusals = 1 << 16
)

// refusals remembers for a minute which tokens were refused, so that sending
// the same bad token again costs a look-up instead of another verification. A
// refusal may be forgotten at any time; a token that was spent is not here but
// in the store.
type refusals struct {
	once   sync.Once
	mu     sync.RWMutex
	closed bool
	cache  *ristretto.Cache[uint64, refusal]
}

type refusal struct {
	sum    [sha256.Size]byte // of the token, which is not kept itself
	reason provider.Reason
}

var refusalSeed = maphash.MakeSeed()

// open starts the cache on first use: `caddy validate` starts nothing.
func (c *refusals) open() {
	c.once.Do(func() {
		cache, err := ristretto.NewCache(&ristretto.Config[uint64, refusal]{
			NumCounters:        10 * maxRefusals,
			MaxCost:            maxRefusals,
			BufferItems:        64,
			IgnoreInternalCost: true,
		})
		if err == nil { // the configuration is constant
			c.cache = cache
		}
	})
}

// get returns why a token was refused in the last minute; empty if it was not.
func (c *refusals) get(token []byte) provider.Reason {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.cache == nil || c.closed {
		return ""
	}
	// a short hash finds it, and is no proof of guilt
	if r, ok := c.cache.Get(maphash.Bytes(refusalSeed, token)); ok && r.sum == sha256.Sum256(token) {
		return r.reason
	}
	return ""
}

// add remembers that a token was refused.
func (c *refusals) add(token []byte, reason provider.Reason) {
	c.mu.Lock()
	if !c.closed {
		c.open()
	}
	c.mu.Unlock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.cache != nil && !c.closed {
		c.cache.SetWithTTL(maphash.Bytes(refusalSeed, token), refusal{sha256.Sum256(token), reason}, 1, refusalTTL)
	}
}

func (c *refusals) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.cache != nil {
		c.cache.Close()
	}
}

// asked remembers, for mode request, which providers were asked for their health
// moments ago. A forgotten one is asked again.
type asked struct {
	once  sync.Once
	cache *ristretto.Cache[string, struct{}]
}

func (c *asked) open() {
	c.once.Do(func() {
		cache, err := ristretto.NewCache(&ristretto.Config[string, struct{}]{
			NumCounters: 1000, MaxCost: 100, BufferItems: 64, IgnoreInternalCost: true,
		})
		if err == nil { // the configuration is constant
			c.cache = cache
		}
	})
}

func (c *asked) recently(identity string) bool {
	c.open()
	_, ok := c.cache.Get(identity)
	return ok
}

func (c *asked) note(identity string, ttl time.Duration) {
	c.open()
	c.cache.SetWithTTL(identity, struct{}{}, 1, ttl)
}

func (c *asked) close() {
	c.once.Do(func() {})
	if c.cache != nil {
		c.cache.Close()
	}
}
