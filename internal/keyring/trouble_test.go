package keyring

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("storage is away")

// TestStorageFails goes through the ways of failing from the beginning on: the
// node has a key in memory in bounded time, says so once, and comes back.
func TestStorageFails(t *testing.T) {
	for _, tc := range []struct {
		name    string
		breakIt func(*fakeStorage)
		within  time.Duration
	}{
		{"error on load", func(s *fakeStorage) { s.fail = errAway }, 0},
		{"error on lock", func(s *fakeStorage) { s.fail, s.failOn = errAway, "lock" }, 0},
		{"error on store", func(s *fakeStorage) { s.fail, s.failOn = errAway, "store" }, 0},
		{"hang on load", func(s *fakeStorage) { s.hang = true }, storageTimeout},
		{"hang on lock", func(s *fakeStorage) { s.hang, s.failOn = true, "lock" }, storageTimeout},
		{"hang on store", func(s *fakeStorage) { s.hang, s.failOn = true, "store" }, storageTimeout},
		{"locked by another", func(s *fakeStorage) { s.locked <- struct{}{} }, storageTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFake()
				tc.breakIt(storage)
				begin := time.Now()
				n := startNode(storage)
				defer n.Close()
				local := n.keyID(t)
				if d := time.Since(begin); d > tc.within {
					t.Errorf("a request waited for %s", d)
				}
				time.Sleep(10 * time.Minute)
				n.settle().wantLogs(t, "warn")
				if n.keyID(t) != local {
					t.Error("the key in memory changed")
				}
				if calls := storage.count("load"); calls < 8 || calls > 32 {
					t.Errorf("%d loads in ten minutes, want one or two a minute", calls)
				}

				storage.set(func() { storage.fail, storage.hang = nil, false })
				if tc.name == "locked by another" {
					<-storage.locked
				}
				time.Sleep(lastRetry + storageTimeout)
				n.settle().wantLogs(t, "info")
				stored := n.keyID(t)
				if stored == local || storage.document(t).keys[0].id != stored {
					t.Errorf("%s signs, not the stored key", stored)
				}
				if !n.knows(t, local) {
					t.Error("the key in memory is not honoured any more")
				}
				if len(storage.locked) != 0 {
					t.Error("the lock was left")
				}
				if until := n.keys.Load().known[local].until; until.IsZero() || time.Until(until) > keep {
					t.Error("the key in memory is honoured for ever")
				}
			})
		})
	}
}

// A storage that ignores deadlines costs one goroutine, and what it does in
// the end does no harm.
func TestStorageStuck(t *testing.T) {
	for _, call := range []string{"load", "lock", "store"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFake()
				stuck := make(chan struct{})
				storage.stuck, storage.failOn = stuck, call
				n := startNode(storage)
				defer n.Close()
				begin := time.Now()
				local := n.keyID(t)
				if d := time.Since(begin); d != storageTimeout {
					t.Errorf("waited for %s", d)
				}
				time.Sleep(time.Hour)
				if got := storage.count(call); got != 1 {
					t.Errorf("%d calls hang", got)
				}
				n.settle().wantLogs(t, "warn")
				storage.set(func() { storage.stuck = nil })
				close(stuck)
				time.Sleep(2 * lastRetry)
				n.settle()
				if len(storage.locked) != 0 {
					t.Error("the lock was left")
				}
				if id := n.keyID(t); id == local || storage.document(t).keys[0].id != id {
					t.Errorf("%s signs, not the stored key", id)
				}
			})
		})
	}
}

// A storage that fails later changes nothing for those who sign.
func TestStorageFailsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		n := startNode(storage).settle()
		defer n.Close()
		id := n.keyID(t)
		time.Sleep(DefaultRotate - 2*lead)
		storage.set(func() { storage.fail = errAway })
		time.Sleep(3 * lead)
		n.settle().wantLogs(t, "warn")
		if n.keyID(t) != id {
			t.Error("another key signs")
		}
		storage.set(func() { storage.fail = nil })
		time.Sleep(lastRetry)
		n.settle().wantLogs(t, "info")
		time.Sleep(lead)
		if n.keyID(t) == id {
			t.Error("the rotation was not made up for")
		}

		storage.set(func() { storage.data = []byte("garbage") })
		id = n.keyID(t)
		time.Sleep(3 * lead)
		n.settle().wantLogs(t, "error")
		if n.keyID(t) != id || string(storage.data) != "garbage" {
			t.Error("a garbage document changed the keys, or was changed")
		}
	})
}

func TestDocumentUnreadable(t *testing.T) {
	const good = `{"id":"0123456789abcdef","secret":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","created":"2026-01-01T00:00:00Z","signs_from":"2026-01-01T00:00:00Z"}`
	if _, err := parseDocument([]byte(`{"version":1,"keys":[` + good + `]}`)); err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return `{"version":1,"keys":[` + strings.Replace(good, old, new, 1) + `]}`
	}
	for name, data := range map[string]string{
		"empty":            "",
		"garbage":          "\x00\xff",
		"cut":              `{"version":1,"keys":[` + good,
		"null":             "null",
		"other JSON":       `{"a":1}`,
		"newer":            `{"version":2,"keys":[` + good + `]}`,
		"no version":       `{"keys":[` + good + `]}`,
		"no keys":          `{"version":1,"keys":[]}`,
		"twice":            `{"version":1,"keys":[` + good + `,` + good + `]}`,
		"something behind": `{"version":1,"keys":[` + good + `]}{}`,
		"unknown member":   `{"version":1,"more":1,"keys":[` + good + `]}`,
		"short id":         change("0123456789abcdef", "01234567"),
		"upper-case id":    change("abcdef", "ABCDEF"),
		"no secret":        change("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", ""),
		"short secret":     change("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MDEy"),
		"no time":          change(`,"signs_from":"2026-01-01T00:00:00Z"`, ""),
		"no date":          change(`"2026-01-01T00:00:00Z"`, `"yesterday"`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFake()
				storage.data = []byte(data)
				n := startNode(storage)
				defer n.Close()
				local := n.keyID(t)
				time.Sleep(time.Hour)
				entries := n.settle().logs.All()
				n.wantLogs(t, "error")
				if text := entries[0].Message + entries[0].ContextMap()["error"].(string); strings.Contains(text, "MDEy") {
					t.Errorf("a secret is logged: %s", text)
				}
				if string(storage.data) != data || storage.count("store") != 0 {
					t.Error("the document was overwritten")
				}
				if !n.knows(t, local) {
					t.Error("the key in memory is not honoured")
				}
				storage.set(func() { storage.data = nil }) // the operator removed it
				time.Sleep(lastRetry)
				n.settle().wantLogs(t, "info")
				if n.keyID(t) == local || !n.knows(t, local) {
					t.Error("the stored key does not sign, or the one in memory is gone")
				}
			})
		})
	}
}

// A reload in the middle of the first write neither loses it nor writes twice.
func TestReloadWhileStoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		stuck := make(chan struct{})
		storage.stuck, storage.failOn = stuck, "store"
		n := startNode(storage).settle()
		defer n.Close()
		loads := storage.count("load")
		n.restart()
		n.settle()
		if storage.count("load") != loads {
			t.Error("two loops are at work")
		}
		storage.set(func() { storage.stuck = nil })
		close(stuck)
		n.settle()
		if got := storage.count("store"); got != 1 {
			t.Errorf("stored %d times", got)
		}
		if id := n.keyID(t); storage.document(t).keys[0].id != id {
			t.Errorf("%s signs, not the stored key", id)
		}
		n.wantLogs(t)
	})
}
