package memory

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// clock is a time that tests turn.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time               { return time.Unix(0, c.ns.Load()) }
func (c *clock) in(d time.Duration) time.Time { return c.now().Add(d) }
func (c *clock) turn(d time.Duration)         { c.ns.Add(int64(d)) }
func (c *clock) table(limit int64) *table     { return newTable(c.now, limit) }
func wantClaim(t *testing.T, x *table, key string, until time.Time, want bool) {
	t.Helper()
	if got, err := x.claim(key, until); err != nil || got != want {
		t.Errorf("claim of %q: got %v, %v, want %v", key, got, err, want)
	}
}

func TestClaim(t *testing.T) {
	c := newClock()
	x := c.table(100)
	until := c.in(90 * time.Second)
	wantClaim(t, x, "a", until, true)
	wantClaim(t, x, "a", until, false)
	wantClaim(t, x, "a", until.Add(time.Hour), false) // and it does not last longer by that
	wantClaim(t, x, "b", until, true)
	x.release("a")
	x.release("never claimed")
	wantClaim(t, x, "a", until, true)
	c.turn(90*time.Second - 1)
	wantClaim(t, x, "a", until.Add(time.Hour), false)
	c.turn(1)
	wantClaim(t, x, "a", c.in(time.Minute), true)
	wantClaim(t, x, "a", c.in(time.Minute), false)
}

func TestClaimTimesD118(t *testing.T) {
	c := newClock()
	x := c.table(100)
	wantClaim(t, x, "over", c.now(), false)
	wantClaim(t, x, "long over", time.Time{}, false)
	if n := x.claims.size.Load(); n != 0 {
		t.Errorf("%d claims are kept that are over", n)
	}
	wantClaim(t, x, "fraction", c.in(1500*time.Millisecond), true)
	c.turn(1499 * time.Millisecond)
	wantClaim(t, x, "fraction", c.in(time.Minute), false)
	wantClaim(t, x, "far", c.in(math.MaxInt64), true)
	c.turn(70 * 365 * 24 * time.Hour)
	wantClaim(t, x, "far", c.in(time.Minute), false)
}

func TestClaimExactlyOnceD52(t *testing.T) {
	x := newClock().table(MaxClaims)
	until := x.now().Add(time.Hour)
	const callers, keys = 1000, 5
	var won [keys]atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range callers {
		wg.Go(func() {
			<-start
			for k := range keys {
				if ok, err := x.claim(fmt.Sprint("key ", k), until); err != nil {
					t.Error(err)
				} else if ok {
					won[k].Add(1)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	for k := range won {
		if n := won[k].Load(); n != 1 {
			t.Errorf("%d callers were told that they claimed key %d", n, k)
		}
	}
}

func TestCount(t *testing.T) {
	c := newClock()
	x := c.table(2)
	until := c.in(time.Minute)
	want := func(key string, want int64) {
		t.Helper()
		if got, err := x.count(key, until); err != nil || got != want {
			t.Errorf("count of %q: got %d, %v, want %d", key, got, err, want)
		}
	}
	wantClaim(t, x, "a", until, true) // claims and counts do not meet
	want("a", 1)
	want("a", 2)
	want("b", 1)
	want("a", 3)
	if _, err := x.count("c", until); !errors.Is(err, store.ErrFull) {
		t.Errorf("a counter too many: %v", err)
	}
	want("a", 4)
	c.turn(time.Minute)
	until = c.in(time.Minute)
	want("c", 1)
	want("a", 1)
	c.turn(time.Minute) // until is now: it counts on for a second
	want("over", 1)
	want("over", 2)
}

func TestCountConcurrently(t *testing.T) {
	x := newClock().table(10)
	until := x.now().Add(time.Hour)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { _, _ = x.count("k", until) })
	}
	wg.Wait()
	if n, _ := x.count("k", until); n != 101 {
		t.Errorf("the sum is %d, want 101", n)
	}
}

func TestCountDoesNotWrap(t *testing.T) {
	x := newClock().table(10)
	until := x.now().Add(time.Hour)
	_, _ = x.count("k", until)
	k := x.id("k")
	s := x.counts.shard(k)
	s.entries[k] = entry{until: s.entries[k].until, n: math.MaxUint32 - 1}
	for range 2 {
		if n, _ := x.count("k", until); n != math.MaxUint32 {
			t.Errorf("the sum is %d", n)
		}
	}
}

// A full store neither forgets a live claim nor takes another one, and has
// room again as soon as time allows.
func TestFullD54(t *testing.T) {
	c := newClock()
	const limit = 1000
	x := c.table(limit)
	for i := range limit {
		life := time.Minute
		if i%2 == 0 {
			life = time.Hour
		}
		wantClaim(t, x, fmt.Sprint(i), c.in(life), true)
	}
	for i := range 3 {
		if ok, err := x.claim(fmt.Sprint("more", i), c.in(time.Hour)); ok || !errors.Is(err, store.ErrFull) {
			t.Errorf("beyond the limit: %v, %v", ok, err)
		}
	}
	wantClaim(t, x, "0", c.in(time.Hour), false) // known: no room needed
	x.release("0")
	wantClaim(t, x, "new", c.in(time.Hour), true)
	c.turn(time.Minute)
	for i := range limit / 2 {
		wantClaim(t, x, fmt.Sprint("later", i), c.in(time.Hour), true)
	}
	if _, err := x.claim("more", c.in(time.Hour)); !errors.Is(err, store.ErrFull) {
		t.Errorf("beyond the limit again: %v", err)
	}
	for i := 2; i < limit; i += 2 {
		wantClaim(t, x, fmt.Sprint(i), c.in(time.Hour), false)
	}
}

// The limit is exact, however many write.
func TestFullConcurrently(t *testing.T) {
	const limit = 300
	x := newClock().table(limit)
	until := x.now().Add(time.Hour)
	var won atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if ok, _ := x.claim(fmt.Sprint(g, " ", i), until); ok {
					won.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if won.Load() != limit || x.claims.size.Load() != limit {
		t.Errorf("%d claims, size %d, want %d", won.Load(), x.claims.size.Load(), limit)
	}
}

// held counts what the maps hold, ended or not, and the room that they have.
func held(l *ledger) (entries, peak int) {
	for i := range l.shards {
		entries += len(l.shards[i].entries)
		peak += l.shards[i].peak
	}
	return entries, peak
}

// After a flood a trickle of writes gives all memory back.
func TestSweep(t *testing.T) {
	c := newClock()
	x := c.table(MaxClaims)
	const flood = 20_000
	for i := range flood {
		_, _ = x.claim(fmt.Sprint(i), c.in(time.Minute))
	}
	wantClaim(t, x, "lasting", c.in(time.Hour), true)
	c.turn(time.Minute)
	for i := range shardCount {
		wantClaim(t, x, fmt.Sprint("trickle", i), c.in(time.Hour), true)
	}
	entries, peak := held(&x.claims)
	if entries != shardCount+1 || int64(entries) != x.claims.size.Load() {
		t.Errorf("%d entries, size %d, want %d", entries, x.claims.size.Load(), shardCount+1)
	}
	if peak > 2*entries {
		t.Errorf("maps have room for %d entries and hold %d", peak, entries)
	}
	wantClaim(t, x, "lasting", c.in(time.Hour), false)
}

// Steady traffic holds what lives and little more.
func TestSteady(t *testing.T) {
	c := newClock()
	x := c.table(MaxClaims)
	for i := range 60_000 { // 100 a second, each for a minute
		_, _ = x.claim(fmt.Sprint(i), c.in(time.Minute))
		c.turn(10 * time.Millisecond)
	}
	if entries, _ := held(&x.claims); entries < 6000 || entries > 6000+1500 {
		t.Errorf("%d entries are held for 6000 that live", entries)
	}
}

// bytesPerClaim measures with n claims.
func bytesPerClaim(n int) float64 {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	x := newClock().table(MaxClaims)
	until := x.now().Add(time.Hour)
	var key [8]byte
	for i := range n {
		for b := range key {
			key[b] = byte(i >> (8 * b))
		}
		_, _ = x.claim(string(key[:]), until)
	}
	after := heap()
	runtime.KeepAlive(x)
	return (float64(after) - float64(before)) / float64(n)
}

func TestBytesPerClaim(t *testing.T) {
	// Maps grow by doubling: between two sizes lies the worst case.
	for _, n := range []int{100_000, 150_000, 250_000} {
		if got := bytesPerClaim(n); got > 64 {
			t.Errorf("%.1f bytes per claim at %d claims, want at most 64", got, n)
		}
	}
}

func BenchmarkBytesPerMillion(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(bytesPerClaim(1_000_000), "MB/million")
	}
}

func BenchmarkClaim(b *testing.B) {
	x := newTable(time.Now, MaxClaims)
	until := time.Now().Add(time.Hour)
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = fmt.Sprintf("pow:%064x", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, _ = x.claim(keys[i%len(keys)], until)
		i++
	}
}
