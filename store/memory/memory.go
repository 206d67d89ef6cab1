// Package memory is the default store: it remembers in this process's memory,
// over config reloads, and not over a restart.
package memory

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// MaxClaims is how many claims, and how many counters, are remembered at most.
const MaxClaims = 4_194_304

func init() {
	caddy.RegisterModule(new(Memory))
}

// Memory remembers spent tokens and counts in the memory of this process. All
// configs that run in it, one after another or during a reload side by side,
// share what is remembered. A restart forgets it, and no other node knows it:
// a fleet uses redis.
//
// Memory is given back by time alone: what must be remembered is never evicted.
// Beyond 4194304 tokens at a time, some 200 MB, no further one is accepted.
type Memory struct {
	// shared outlives Cleanup, because requests in flight do.
	shared   *table
	acquired bool
}

// CaddyModule returns the Caddy module information.
func (*Memory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  store.Namespace + ".memory",
		New: func() caddy.Module { return new(Memory) },
	}
}

// Provision finds the memory of this process or begins it.
func (m *Memory) Provision(caddy.Context) error {
	shared, _, err := pool.LoadOrNew(poolKey{}, func() (caddy.Destructor, error) {
		return newTable(time.Now, MaxClaims), nil
	})
	if err != nil {
		return err
	}
	m.acquired = true
	m.shared = shared.(*table)
	return nil
}

// Cleanup gives up this config's hold on the memory. Requests that are still
// on their way can go on using it.
func (m *Memory) Cleanup() error {
	if !m.acquired {
		return nil // or the hold of a config that runs would go
	}
	m.acquired = false
	_, err := pool.Delete(poolKey{})
	return err
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	memory
func (*Memory) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's name
	if d.NextArg() || d.NextBlock(0) {
		return d.Errf("memory has no options, got %q: write 'store memory'", d.Val())
	}
	return nil
}

// Claim spends key until the given time. A time that is over cannot be kept;
// such a claim is refused.
func (m *Memory) Claim(_ context.Context, key string, until time.Time) (bool, error) {
	return m.shared.claim(key, until)
}

// Release lets go of a claim.
func (m *Memory) Release(_ context.Context, key string) error {
	m.shared.release(key)
	return nil
}

// Count adds one to the key's counter and returns the sum.
func (m *Memory) Count(_ context.Context, key string, until time.Time) (int64, error) {
	return m.shared.count(key, until)
}

// Since is when the memory began.
func (m *Memory) Since() time.Time { return m.shared.since }

// pool holds the one table for as long as a config uses it.
var pool = caddy.NewUsagePool()

type poolKey struct{}

// Interface guards.
var (
	_ store.Store           = (*Memory)(nil)
	_ caddy.Provisioner     = (*Memory)(nil)
	_ caddy.CleanerUpper    = (*Memory)(nil)
	_ caddyfile.Unmarshaler = (*Memory)(nil)
)
