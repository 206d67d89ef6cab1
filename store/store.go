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
	// been forgotten. It is zero where claims outlive the process.
	Since() time.Time
}
