// Package store is the contract for what several requests, and with a shared
// store several nodes, must agree on: which tokens are spent, and how often a
// clearance was used. A store is a Caddy guest module in the namespace
// captcha.stores.
package store

import (
	"context"
	"errors"
	"time"
)

// Namespace is the module namespace of stores.
const Namespace = "captcha.stores"

// ErrFull is returned where a store cannot remember another key. Nothing is
// evicted to make room: a spent token must stay spent.
var ErrFull = errors.New("the store is full")

// Store remembers. All methods are safe for concurrent use and keep nothing
// beyond the time they are given. Keys of claims and counts do not meet.
type Store interface {
	// Claim spends key until the given time. Exactly one caller is told true.
	Claim(ctx context.Context, key string, until time.Time) (bool, error)

	// Release lets go of a claim, so that the key can be claimed again.
	Release(ctx context.Context, key string) error

	// Count adds one to the key's counter, which ends at the given time, and
	// returns the sum.
	Count(ctx context.Context, key string, until time.Time) (int64, error)

	// Since is when this store's memory begins: a claim made earlier may have
	// been forgotten. It is zero where claims outlive everything. A store that
	// finds in a Claim that its memory has begun anew says so here before that
	// Claim returns.
	Since() time.Time
}

// Board is the optional ability of a shared store to carry what the nodes of a
// fleet tell each other: the health of providers, drills, and who asks. Without
// it every node learns that by itself.
//
// Names are short, of the characters [0-9a-z/]; a text has at most MaxText
// bytes. What is here may be lost: the nodes hold it too.
type Board interface {
	// Follow tells of what is posted, until ctx is done. It calls joined each
	// time that it begins to hear, at first and whenever the connection was
	// lost meanwhile: what was posted before must be read then. It calls
	// neither function at the same time as another.
	Follow(ctx context.Context, joined func(), heard func(name string, text []byte))

	// Post keeps a text under a name for some time, in place of an earlier
	// one, and tells those who follow.
	Post(ctx context.Context, name string, text []byte, ttl time.Duration) error

	// Read returns the text under a name; nil where there is none.
	Read(ctx context.Context, name string) ([]byte, error)

	// Lease takes a name for its holder, or takes it for longer, and reports
	// whether the holder has it. A ttl of 0 gives it up.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)

	// Secret returns the random key that all nodes share. Where there is none,
	// the one offered becomes it.
	Secret(ctx context.Context, offer []byte) ([]byte, error)
}

// MaxText is how many bytes a text on a Board may have.
const MaxText = 64 << 10
