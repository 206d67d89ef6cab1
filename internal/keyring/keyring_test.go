package keyring

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/goleak"
)

// lockFresh is longer than certmagic's goroutine for a lock file lives on.
const lockFresh = 6 * time.Second

func TestTwoNodesShareKeys(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(lockFresh)
		a := startNode(&certmagic.FileStorage{Path: dir})
		defer a.Close()
		id := a.keyID(t)
		b := startNode(&certmagic.FileStorage{Path: dir})
		defer b.Close()
		if got := b.keyID(t); got != id {
			t.Errorf("the second node signs with %s, the first with %s", got, id)
		}
		one, _ := a.Signer("p").MAC(t.Context(), id, []byte("m"))
		two, err := b.Signer("p").MAC(t.Context(), id, []byte("m"))
		if err != nil || string(one) != string(two) || len(one) != 32 {
			t.Errorf("%x and %x, %v", one, two, err)
		}
		box, _ := a.Sealer("p").Seal(t.Context(), []byte("plain"), []byte("aad"))
		if plain, err := b.Sealer("p").Open(t.Context(), box, []byte("aad")); err != nil || string(plain) != "plain" {
			t.Errorf("opened %q, %v", plain, err)
		}
		a.wantLogs(t)
		b.wantLogs(t)
	})
	info, err := os.Stat(filepath.Join(dir, "captcha", "keys.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestFirstStartOfManyMakesOneKey(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(lockFresh)
		var nodes []*node
		defer func() {
			for _, n := range nodes {
				n.Close()
			}
		}()
		for range 8 {
			nodes = append(nodes, startNode(&certmagic.FileStorage{Path: dir}))
		}
		time.Sleep(5 * time.Minute) // for those that did not get the lock
		id := nodes[0].keyID(t)
		for _, n := range nodes {
			if got := n.keyID(t); got != id {
				t.Errorf("one node signs with %s, another with %s", got, id)
			}
		}
		data, err := os.ReadFile(filepath.Join(dir, "captcha", "keys.json"))
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := parseDocument(data); err != nil || len(doc.keys) != 1 {
			t.Errorf("%d keys, %v", len(doc.keys), err)
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		n := startNode(storage).settle()
		defer n.Close()
		first := n.keyID(t)
		key := n.keys.Load().signing[0]
		for range 10 {
			n.restart()
		}
		n.settle()
		if n.keys.Load().signing[0] != key {
			t.Error("the derived keys of a known key are lost")
		}
		if got := n.keyID(t); got != first {
			t.Errorf("%s signs after a reload, want %s", got, first)
		}
		loads := storage.count("load")
		time.Sleep(lookEvery)
		n.settle()
		if got := storage.count("load") - loads; got != 1 {
			t.Errorf("%d loads in ten minutes, want that of one loop", got)
		}

		// Another storage: its keys sign, the known one is honoured.
		n.storage = newFake()
		n.restart()
		n.settle()
		second := n.keyID(t)
		if second == first || !n.knows(t, first) {
			t.Errorf("%s signs; the first key is known: %v", second, n.knows(t, first))
		}
		n.wantLogs(t)
		time.Sleep(keep)
		if !n.knows(t, first) {
			t.Error("the first storage's key was forgotten too early")
		}
		time.Sleep(2 * lookEvery)
		if n.knows(t, first) {
			t.Error("the first storage's key is honoured for ever")
		}

		// Another storage that fails: the known keys sign on.
		broken := newFake()
		broken.fail = errors.New("no")
		id := n.keyID(t)
		n.storage = broken
		n.restart()
		n.settle()
		if got := n.keyID(t); got != id {
			t.Errorf("%s signs, want %s", got, id)
		}
		n.wantLogs(t, "warn")
	})
}

func TestClockBehindD118(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		ahead := New(func() time.Time { return time.Now().Add(5 * time.Minute) })
		ahead.Start(Options{Storage: storage})
		defer ahead.Close()
		want, err := ahead.Signer("").KeyID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		behind := startNode(storage)
		defer behind.Close()
		if got := behind.keyID(t); got != want {
			t.Errorf("%s signs, want %s", got, want)
		}
	})
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{Ring: New(time.Now), storage: newFake()}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Signer("p").KeyID(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Start: %v", err)
		}
		if _, err := n.Sealer("p").Open(ctx, make([]byte, overhead), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("opening before Start: %v", err)
		}
		ids := make(chan string, 100)
		for range cap(ids) {
			go func() {
				id, err := n.Signer("p").KeyID(t.Context())
				if err != nil {
					t.Error(err)
				}
				ids <- id
			}()
		}
		synctest.Wait()
		n.restart()
		defer n.Close()
		id := <-ids
		for range cap(ids) - 1 {
			if got := <-ids; got != id {
				t.Errorf("%s and %s", got, id)
			}
		}
		if got := n.storage.(*fakeStorage).count("store"); got != 1 {
			t.Errorf("stored %d times", got)
		}
	})
}

// Requests in flight have keys after Close, also if there never were any.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		n := startNode(storage)
		id := n.keyID(t)
		n.Close()
		n.Close()
		if got := n.keyID(t); got != id || !n.knows(t, id) {
			t.Error("the keys went with Close")
		}
		loads := storage.count("load")
		time.Sleep(time.Hour)
		if storage.count("load") != loads {
			t.Error("the loop goes on after Close")
		}

		storage = newFake()
		storage.hang = true
		n = startNode(storage)
		waiting := make(chan error)
		go func() {
			_, err := n.Signer("p").KeyID(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		n.Close()
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		n.settle().wantLogs(t)
	})
}

func TestStartLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	storage := newFake()
	r := New(time.Now)
	defer r.Close()
	for range 1000 {
		r.Start(Options{Storage: storage})
	}
	if _, err := r.Signer("p").KeyID(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := storage.count("store"); got != 1 {
		t.Errorf("stored %d times", got)
	}
}

// What is not known is not looked for: that would be a client's to command.
func TestUnknownKeyAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFake()
		n := startNode(storage).settle()
		defer n.Close()
		loads := storage.count("load")
		for _, id := range []string{"", "0123456789abcdef", strings.Repeat("x", 1000)} {
			if n.knows(t, id) {
				t.Errorf("key %q is known", id)
			}
		}
		if _, err := n.Sealer("p").Open(t.Context(), make([]byte, 100), nil); !errors.Is(err, ErrOpen) {
			t.Error(err)
		}
		n.settle()
		if storage.count("load") != loads {
			t.Error("an unknown key made a call to the storage")
		}
	})
}
