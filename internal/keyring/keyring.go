// Package keyring keeps rotating secret keys in Caddy's storage, so that
// nodes that share a storage share keys. A key is stored an hour before it
// signs, so that every node has it by then, and is honoured until everything
// that it signed has expired. Where the storage fails, a key in memory signs.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	// MaxLifetime is how long something signed or sealed may be valid.
	MaxLifetime = 30 * 24 * time.Hour
	// DefaultRotate is how long a key signs.
	DefaultRotate = 30 * 24 * time.Hour
	// MinRotate is the least time for which a key signs.
	MinRotate = lead

	// keep is how long a key is honoured once its successor signs. The day
	// more than MaxLifetime is for slow uploads and clocks that differ.
	keep = MaxLifetime + 24*time.Hour
	// lead is how long before it signs a key is stored.
	lead = time.Hour
	// lookEvery is how often a node looks for new keys. It must fit into
	// lead several times, for storages that fail now and then.
	lookEvery = 10 * time.Minute
)

var (
	// ErrUnknownKey is returned for a key id that is not known, or whose key
	// is no longer honoured.
	ErrUnknownKey = errors.New("keyring: unknown key")
	// ErrOpen is returned for a box that was not sealed here for this
	// purpose and associated data, or too long ago.
	ErrOpen = errors.New("keyring: the box cannot be opened")
)

// Options says where the keys are and how they change.
type Options struct {
	// Storage holds the keys, under the key captcha/keys.json.
	Storage certmagic.Storage
	// Rotate is how long a key signs; 0 is DefaultRotate, and less than
	// MinRotate is MinRotate.
	Rotate time.Duration
	// Logger is told of trouble with the storage.
	Logger *zap.Logger
}

// Ring holds the keys. It is safe for concurrent use; signing takes no lock.
type Ring struct {
	now func() time.Time

	// keys is nil until the first load has ended, one way or the other.
	keys  atomic.Pointer[snapshot]
	ready chan struct{} // closed when keys is set first

	mu     sync.Mutex // for what follows, and to set keys
	cancel context.CancelFunc
	done   chan struct{} // closed when the newest loop has ended

	trouble trouble // of the newest loop
}

// New returns a ring without keys. Whoever needs one waits for Start.
func New(now func() time.Time) *Ring {
	return &Ring{now: now, ready: make(chan struct{})}
}

// Start begins to load, watch and rotate the keys of a storage, in the
// background. After a config reload it is called again: it ends the watching
// of the old storage and goes on with the new one, which may be the same. Keys
// that are known stay honoured.
func (r *Ring) Start(o Options) {
	if o.Rotate == 0 {
		o.Rotate = DefaultRotate
	}
	o.Rotate = max(o.Rotate, MinRotate)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	previous, done := r.done, make(chan struct{})
	r.cancel, r.done = cancel, done
	l := &loop{Options: o, ring: r, busy: make(chan struct{}, 1)}
	go func() {
		defer close(done)
		if previous != nil {
			<-previous // one at a time; it was told to end
		}
		l.run(ctx)
	}()
}

// Close ends the watching, whoever started it last: after a reload that is the
// new config, so Close belongs where nobody uses the ring any more. The keys
// stay usable for requests in flight. Close does not wait.
func (r *Ring) Close() {
	r.mu.Lock()
	if r.cancel != nil {
		r.cancel()
		r.cancel = nil
	}
	r.mu.Unlock()
	r.ensure() // nobody else would wake those who wait
}

// current returns the keys, and waits for the first load where it must.
func (r *Ring) current(ctx context.Context) (*snapshot, error) {
	if s := r.keys.Load(); s != nil {
		return s, nil
	}
	select {
	case <-r.ready:
		return r.keys.Load(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("keyring: the keys are not loaded yet: %w", context.Cause(ctx))
	}
}

// install makes the keys of a document the ones that sign.
func (r *Ring) install(doc document) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(r.keys.Load().with(doc, r.now()))
}

// ensure makes a key in memory if there is none at all, and reports whether it
// did.
func (r *Ring) ensure() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys.Load() != nil {
		return false
	}
	r.set(inMemory(r.now()))
	return true
}

func (r *Ring) set(s *snapshot) {
	first := r.keys.Load() == nil
	r.keys.Store(s)
	if first {
		close(r.ready)
	}
}
