package keyring

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRotation follows two nodes that look at different times over a rotation:
// at no time does one sign with a key that the other does not know.
func TestRotationD113(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		a := startNode(storage).settle()
		defer a.Close()
		time.Sleep(7 * time.Minute)
		b := startNode(storage).settle()
		defer b.Close()
		first := a.keyID(t)
		born := storage.document(t).keys[0].signsFrom

		at := func(d time.Duration) { time.Sleep(time.Until(born.Add(d))); synctest.Wait() }
		at(DefaultRotate - lead - time.Second)
		if n := len(storage.document(t).keys); n != 1 || storage.count("store") != 1 || storage.count("lock") != 1 {
			t.Fatalf("%d keys, stored %d times, locked %d times", n, storage.count("store"), storage.count("lock"))
		}
		at(DefaultRotate - lead + lookEvery)
		keys := storage.document(t).keys
		if len(keys) != 2 {
			t.Fatalf("%d keys an hour before the rotation", len(keys))
		}
		next := keys[1]
		if d := next.signsFrom.Sub(next.created); d < lead || d > lead+lookEvery {
			t.Errorf("the next key signs %s after it was stored", d)
		}
		for time.Now().Before(next.signsFrom) {
			if a.keyID(t) != first || b.keyID(t) != first {
				t.Fatalf("the next key signs before its time")
			}
			time.Sleep(lookEvery)
			if !a.knows(t, next.id) || !b.knows(t, next.id) {
				t.Fatal("a node does not know the next key in time")
			}
		}
		if a.keyID(t) != next.id || b.keyID(t) != next.id {
			t.Fatal("the next key does not sign")
		}

		wantForgotten(t, storage, first, next, a, b)
		a.wantLogs(t)
		b.wantLogs(t)
	})
}

// wantForgotten waits until a key that no longer signs is honoured no more: it
// is for as long as what it signed last, and then it is pruned.
func wantForgotten(t *testing.T, storage *fakeStorage, old string, next *key, nodes ...*node) {
	t.Helper()
	time.Sleep(time.Until(next.signsFrom.Add(keep)))
	for _, n := range nodes {
		if !n.knows(t, old) {
			t.Error("the old key was forgotten too early")
		}
	}
	time.Sleep(time.Nanosecond)
	for _, n := range nodes {
		if n.knows(t, old) {
			t.Error("the old key is honoured for too long")
		}
	}
	time.Sleep(2 * lookEvery)
	synctest.Wait()
	if slices.ContainsFunc(storage.document(t).keys, func(k *key) bool { return k.id == old }) {
		t.Error("the old key was not pruned")
	}
	for _, n := range nodes {
		if _, held := n.keys.Load().known[old]; held {
			t.Error("the old key is still in memory")
		}
	}
}

// TestRollingRestartOverARotation restarts one node after the other while the next
// key is stored and begins to sign: whatever one node has signed, every node that
// runs knows at once.
func TestRollingRestartOverARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		nodes := []*node{startNode(storage).settle(), startNode(storage).settle(), startNode(storage).settle()}
		born := storage.document(t).keys[0].signsFrom
		time.Sleep(time.Until(born.Add(DefaultRotate - 2*lead)))
		signed := make(map[string]bool)
		for i := 0; len(signed) < 2 || i%3 != 0; i++ {
			if i > 100 {
				t.Fatal("no rotation has come")
			}
			nodes[i%3].Close()
			nodes[i%3] = startNode(storage).settle()
			for _, from := range nodes {
				id := from.keyID(t)
				signed[id] = true
				for _, to := range nodes {
					if !to.knows(t, id) {
						t.Fatalf("after restart %d a node does not know the key that another signs with", i)
					}
				}
			}
			time.Sleep(7 * time.Minute)
		}
		for _, n := range nodes {
			for id := range signed {
				if !n.knows(t, id) {
					t.Error("a token from before the rotation does not count")
				}
			}
			n.Close()
		}
	})
}

// A fleet that was off for long signs with the old key for another hour.
func TestOverdueRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		a := startNode(storage)
		first := a.keyID(t)
		a.Close()
		time.Sleep(100 * 24 * time.Hour)
		b := startNode(storage).settle()
		defer b.Close()
		if got := b.keyID(t); got != first {
			t.Errorf("%s signs, want the known key %s", got, first)
		}
		time.Sleep(lead)
		next := b.keyID(t)
		if next == first {
			t.Error("the old key signs for ever")
		}
		if n := len(storage.document(t).keys); n != 2 {
			t.Errorf("%d keys", n)
		}
		c := startNode(storage)
		defer c.Close()
		if got := c.keyID(t); got != next {
			t.Errorf("a new node signs with %s, want %s", got, next)
		}
	})
}

func TestShortRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		r := New(time.Now)
		defer r.Close()
		r.Start(Options{Storage: storage, Rotate: time.Minute}) // and no logger
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(storage.document(t).keys); n < 15 || n > 25 {
			t.Errorf("%d keys after a day, want one for every hour or so", n)
		}
	})
}
