package memory

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/caddy-captcha/caddy-captcha/store"
)

const (
	shardCount = 256
	// sweepPause bounds the work of sweeping, in seconds: a shard of a full
	// ledger takes a fraction of a millisecond.
	sweepPause = 10
	// shrinkBelow is how much of its largest size a map may have lost.
	shrinkBelow = 4
)

// ledger is a bounded map of what ends by itself. There is no goroutine that
// waits for the end: writers sweep, each a little. With its map's overhead an
// entry takes 29 to 57 bytes.
type ledger struct {
	limit    int64
	size     atomic.Int64
	next     atomic.Uint32 // the shard to sweep next
	sweptAll atomic.Int64
	shards   [shardCount]shard
}

// id is half of a keyed SHA-256, far beyond collisions among millions.
type id [16]byte

// entry ends when the clock shows its second. The zero entry is none.
type entry struct{ until, n uint32 }

func (e entry) live(now int64) bool { return int64(e.until) > now }

type shard struct {
	mu      sync.Mutex
	entries map[id]entry
	peak    int   // the size that the map had at most
	due     int64 // nothing ends earlier
	swept   int64
	_       [64]byte // keeps two shards' locks out of one cache line
}

func (l *ledger) shard(k id) *shard { return &l.shards[k[0]] }

// write replaces the entry of k, of which set is given the zero entry where
// there is none. It returns store.ErrFull where there is no room for another.
func (l *ledger) write(k id, now int64, set func(old entry) entry) error {
	full := !l.tryWrite(k, now, set)
	if full && l.sweepAll(now) {
		full = !l.tryWrite(k, now, set)
	}
	l.sweepNext(now)
	if full {
		return store.ErrFull
	}
	return nil
}

func (l *ledger) tryWrite(k id, now int64, set func(old entry) entry) bool {
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.entries[k]
	if !known && !l.reserve() {
		return false
	}
	if !old.live(now) {
		old = entry{}
	}
	e := set(old)
	if s.entries == nil {
		s.entries = make(map[id]entry)
	}
	if len(s.entries) == 0 || int64(e.until) < s.due {
		s.due = int64(e.until)
	}
	s.entries[k] = e
	s.peak = max(s.peak, len(s.entries))
	return true
}

// reserve makes room for one entry.
func (l *ledger) reserve() bool {
	for {
		n := l.size.Load()
		if n >= l.limit {
			return false
		}
		if l.size.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *ledger) remove(k id) {
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.entries[k]; known {
		delete(s.entries, k)
		l.size.Add(-1)
	}
}

// sweepNext sweeps one shard, another one with every write, so that a
// trickle of writes also gives back what a flood took.
func (l *ledger) sweepNext(now int64) {
	s := &l.shards[l.next.Add(1)%shardCount]
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if now >= s.swept+sweepPause || now < s.swept {
		l.size.Add(-s.sweep(now))
	}
}

// sweepAll sweeps all shards, at most once a second, and reports whether
// there may be room now.
func (l *ledger) sweepAll(now int64) bool {
	last := l.sweptAll.Load()
	if last == now || !l.sweptAll.CompareAndSwap(last, now) {
		return l.size.Load() < l.limit
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		l.size.Add(-s.sweep(now))
		s.mu.Unlock()
	}
	return l.size.Load() < l.limit
}

// sweep forgets what has ended and returns how much that was. Go's maps do not
// shrink, so a much too large one is replaced.
func (s *shard) sweep(now int64) (ended int64) {
	if len(s.entries) == 0 && s.peak == 0 || len(s.entries) > 0 && s.due > now {
		return 0
	}
	s.swept = now
	s.due = 1<<63 - 1
	for k, e := range s.entries {
		if !e.live(now) {
			delete(s.entries, k)
			ended++
		} else {
			s.due = min(s.due, int64(e.until))
		}
	}
	if n := len(s.entries); n < s.peak/shrinkBelow || n == 0 {
		kept := map[id]entry(nil)
		if n > 0 {
			kept = make(map[id]entry, n)
			maps.Copy(kept, s.entries)
		}
		s.entries, s.peak = kept, n
	}
	return ended
}
