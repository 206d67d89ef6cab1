package captcha

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// sharedStore is a store elsewhere, with a board, that fails as a test says.
type sharedStore struct {
	mu     sync.Mutex
	claims map[string]time.Time
	counts map[string]int64
	texts  map[string][]byte
	leases map[string]lease
	secret []byte
	heard  []func(string, []byte)
	since  time.Time
	err    error
	hangs  bool
	calls  int
}

type lease struct {
	holder string
	until  time.Time
}

func newSharedStore() *sharedStore {
	return &sharedStore{
		claims: make(map[string]time.Time), counts: make(map[string]int64), texts: make(map[string][]byte),
		leases: make(map[string]lease), since: time.Now().Add(-time.Hour),
	}
}

var errTrouble = errors.New("trouble")

// trouble counts a call, and waits or fails.
func (s *sharedStore) trouble(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.hangs {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	}
	return s.err
}

func (s *sharedStore) fail(err error, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hangs = err, hangs
}

func (s *sharedStore) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *sharedStore) Claim(ctx context.Context, key string, until time.Time) (bool, error) {
	if err := s.trouble(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[key].After(time.Now()) {
		return false, nil
	}
	s.claims[key] = until
	return true, nil
}

func (s *sharedStore) Release(ctx context.Context, key string) error {
	err := s.trouble(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.claims, key)
	}
	return err
}

func (s *sharedStore) Count(ctx context.Context, key string, _ time.Time) (int64, error) {
	if err := s.trouble(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[key]++
	return s.counts[key], nil
}

func (s *sharedStore) Since() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

func (s *sharedStore) holds(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.claims[idOfClaim(key).text()]
	return ok
}

// ownMemory is a node's own memory.
type ownMemory struct{ *sharedStore }

func newNode(s store.Store, failure string) (*keeper, *observer.ObservedLogs, *atomic.Int32) {
	core, logs := observer.New(zap.DebugLevel)
	failures := new(atomic.Int32)
	k := newKeeper("far", ownMemory{newSharedStore()})
	k.use(s, failure == failureDeny, keeperReport{zap.New(core), func() { failures.Add(1) }})
	return k, logs, failures
}

// startNode runs a node that goes on alone, in a bubble of synctest.
func startNode(t *testing.T) (*sharedStore, *keeper, *observer.ObservedLogs, *atomic.Int32) {
	t.Helper()
	s := newSharedStore()
	k, logs, failures := newNode(s, failureLocal)
	k.start()
	t.Cleanup(func() { _ = k.Destruct() })
	return s, k, logs, failures
}

func claimed(t *testing.T, k *keeper, key string) bool {
	t.Helper()
	ok, err := k.Claim(t.Context(), key, time.Now().Add(time.Hour))
	if err != nil {
		t.Errorf("claiming %s: %v", key, err)
	}
	return ok
}

// waitsOnce checks that the first request that meets a store which hangs waits for
// it, and no other.
func waitsOnce(t *testing.T, k *keeper) {
	t.Helper()
	start := time.Now()
	if ok, err := k.Claim(t.Context(), "lost", time.Now().Add(time.Hour)); ok || !errors.Is(err, errNoAnswer) {
		t.Errorf("a claim whose answer was lost: %t, %v", ok, err)
	}
	if d := time.Since(start); d != storeTimeout {
		t.Errorf("the first request waited %s", d)
	}
	start = time.Now()
	for i := range 100 {
		if !claimed(t, k, fmt.Sprint("alone ", i)) || claimed(t, k, fmt.Sprint("alone ", i)) {
			t.Fatal("alone, a token does not count exactly once")
		}
	}
	if time.Since(start) != 0 {
		t.Errorf("requests waited %s for a store that is known to be away", time.Since(start))
	}
}

func TestKeeperGoesOnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k, logs, failures := startNode(t)
		other, _, _ := newNode(s, failureLocal)
		synctest.Wait()
		if !claimed(t, k, "before") || claimed(t, other, "before") {
			t.Error("the store is not shared")
		}
		before := time.Now()
		time.Sleep(time.Millisecond)

		s.fail(nil, true)
		waitsOnce(t, k)
		if claimed(t, k, "lost") || claimed(t, k, "before") {
			t.Error("what this node has claimed is claimed once more")
		}
		if !k.away() || !forgotten(before, k.Since()) || forgotten(time.Now(), k.Since()) || forgotten(time.Time{}, k.Since()) {
			t.Error("alone, what was issued before must not count, and what is issued now must")
		}
		if n, err := k.Count(t.Context(), "pass", time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		time.Sleep(time.Hour / 2)
		s.fail(errTrouble, false)
		time.Sleep(time.Minute)
		if failures.Load() != 1 || logs.FilterMessageSnippet("does not answer").Len() != 1 {
			t.Errorf("counted %d times, logged %v", failures.Load(), logs.All())
		}

		s.fail(nil, false)
		time.Sleep(10 * time.Second)
		if k.away() || forgotten(before, k.Since()) || logs.FilterMessageSnippet("is back").Len() != 1 {
			t.Fatal("not back")
		}
		for i := range 100 {
			if claimed(t, other, fmt.Sprint("alone ", i)) {
				t.Fatal("what was claimed alone was not handed over")
			}
		}
		if n, err := k.Count(t.Context(), "pass", time.Now().Add(time.Hour)); n != 2 || err != nil {
			t.Errorf("its own count is forgotten: %d, %v", n, err)
		}
	})
}

// A claim that was made alone is judged as that, also where the store is back
// before it is judged.
func TestKeeperComesBackBehindAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k, _, _ := startNode(t)
		other, _, _ := newNode(s, failureLocal)
		issued := time.Now()
		time.Sleep(time.Minute)
		if _, since, _ := k.spend(t.Context(), "with the store", time.Now().Add(time.Hour)); forgotten(issued, since) {
			t.Error("a good token is refused")
		}
		claimed(t, other, "token")
		s.fail(errTrouble, false)
		time.Sleep(5 * time.Second)
		first, since, err := k.spend(t.Context(), "token", time.Now().Add(time.Hour))
		s.fail(nil, false)
		time.Sleep(10 * time.Second)
		if k.away() || !first || err != nil || !forgotten(issued, since) {
			t.Errorf("a token that another node has let in counts: %t, since %s, %v", first, since, err)
		}
	})
}

func TestKeeperDenies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharedStore()
		k, logs, _ := newNode(s, failureDeny)
		s.fail(errTrouble, false)
		for range 3 {
			if ok, err := k.Claim(t.Context(), "x", time.Now().Add(time.Hour)); ok || !errors.Is(err, errStoreAway) {
				t.Errorf("%t, %v", ok, err)
			}
			if n, err := k.Count(t.Context(), "x", time.Now().Add(time.Hour)); n != 0 || !errors.Is(err, errStoreAway) {
				t.Errorf("%d, %v", n, err)
			}
		}
		if s.asked() != 1 || logs.FilterLevelExact(zap.ErrorLevel).Len() != 1 {
			t.Errorf("asked %d times, logged %v", s.asked(), logs.All())
		}
	})
}

func TestKeeperReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharedStore()
		k, _, _ := newNode(s, failureLocal)
		claimed(t, k, "x")
		if err := k.Release(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.holds("x") || !claimed(t, k, "x") {
			t.Error("not let go of")
		}
		s.fail(errTrouble, false)
		_, _ = k.Claim(t.Context(), "lost", time.Now().Add(time.Hour))
		claimed(t, k, "alone")
		if err := k.Release(t.Context(), "alone"); err != nil || len(k.journal) != 0 {
			t.Errorf("%v, %d in the journal", err, len(k.journal))
		}
		if !claimed(t, k, "alone") {
			t.Error("not let go of alone")
		}
	})
}

// What a store has no room for is no outage, and no pass.
func TestKeeperTellsFull(t *testing.T) {
	s := newSharedStore()
	k, _, failures := newNode(s, failureLocal)
	s.fail(store.ErrFull, false)
	if ok, err := k.Claim(t.Context(), "x", time.Now().Add(time.Hour)); ok || !errors.Is(err, store.ErrFull) || k.away() || failures.Load() != 0 {
		t.Errorf("%t, %v", ok, err)
	}
	s.fail(errTrouble, false)
	_, _ = k.Claim(t.Context(), "y", time.Now().Add(time.Hour))
	for i := range maxJournal { // alone, and the journal is full
		k.journal[claimID{byte(i), byte(i >> 8), byte(i >> 16)}] = time.Now().Add(time.Hour)
	}
	if ok, err := k.Claim(t.Context(), "z", time.Now().Add(time.Hour)); ok || !errors.Is(err, store.ErrFull) {
		t.Errorf("%t, %v", ok, err)
	}
	for id := range k.journal {
		k.journal[id] = time.Now().Add(-time.Hour)
	}
	if !claimed(t, k, "later") || len(k.journal) != 1 {
		t.Error("what is over takes room in the journal")
	}
}

// A client that goes away is no failure of the store.
func TestKeeperIgnoresClients(t *testing.T) {
	k, _, _ := newNode(newSharedStore(), failureLocal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := k.Claim(ctx, "x", time.Now().Add(time.Hour)); !ok || err != nil || k.away() {
		t.Errorf("%t, %v, away %t", ok, err, k.away())
	}
}

// A store that is too slow at every second call does not make the log flap.
func TestKeeperNeedsSeveralGoodPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, logs, _ := startNode(t)
		for range 100 {
			s.fail(errTrouble, false)
			time.Sleep(pingEvery * 11 / 10)
			s.fail(nil, false)
			time.Sleep(pingEvery * 8 / 10)
		}
		if n := logs.FilterMessageSnippet("is back").Len(); n > 10 {
			t.Errorf("it came back %d times", n)
		}
	})
}

func TestKeeperSaysThatTheMemoryIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k, logs, _ := startNode(t)
		time.Sleep(time.Minute)
		issued := time.Now()
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.since = time.Now()
		s.mu.Unlock()
		if !forgotten(issued, k.Since()) {
			t.Error("an old token counts")
		}
		time.Sleep(time.Minute)
		if logs.FilterMessageSnippet("has lost its memory").Len() != 1 {
			t.Errorf("%v", logs.All())
		}
	})
}
