package keyring

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// fakeStorage is a storage in memory that fails on demand.
type fakeStorage struct {
	certmagic.Storage // for the methods that must not be called

	mu     sync.Mutex
	data   []byte
	fail   error         // what every call returns
	hang   bool          // calls last until their context ends
	stuck  chan struct{} // calls last until it is closed, whatever the context says
	failOn string        // the only call that fails, hangs or is stuck; "" is all
	calls  map[string]int
	locked chan struct{}
}

func newFake() *fakeStorage {
	return &fakeStorage{calls: make(map[string]int), locked: make(chan struct{}, 1)}
}

func (s *fakeStorage) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *fakeStorage) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

func (s *fakeStorage) document(t *testing.T) document {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, err := parseDocument(s.data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func (s *fakeStorage) enter(ctx context.Context, call string) error {
	s.mu.Lock()
	s.calls[call]++
	fail, hang, stuck := s.fail, s.hang, s.stuck
	if s.failOn != "" && s.failOn != call {
		fail, hang, stuck = nil, false, nil
	}
	s.mu.Unlock()
	if stuck != nil {
		<-stuck
		return nil
	}
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fail
}

func (s *fakeStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.enter(ctx, "load"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != storageKey || s.data == nil {
		return nil, fs.ErrNotExist
	}
	return s.data, nil
}

func (s *fakeStorage) Store(ctx context.Context, _ string, data []byte) error {
	if err := s.enter(ctx, "store"); err != nil {
		return err
	}
	if len(s.locked) != 1 {
		return errors.New("stored without the lock")
	}
	s.set(func() { s.data = data })
	return nil
}

func (s *fakeStorage) Lock(ctx context.Context, _ string) error {
	s.mu.Lock()
	late := s.stuck != nil && s.failOn == "lock"
	s.mu.Unlock()
	if err := s.enter(ctx, "lock"); err != nil {
		return err
	}
	if late {
		s.locked <- struct{}{} // although nobody waits for it any more
		return nil
	}
	select {
	case s.locked <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeStorage) Unlock(ctx context.Context, _ string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.set(func() { s.calls["unlock"]++ })
	select {
	case <-s.locked:
		return nil
	default:
		return errors.New("not locked")
	}
}

// node is one ring on a storage.
type node struct {
	*Ring
	storage certmagic.Storage
	logs    *observer.ObservedLogs
}

func startNode(storage certmagic.Storage) *node {
	n := &node{Ring: New(time.Now), storage: storage}
	n.restart()
	return n
}

func (n *node) restart() {
	core, logs := observer.New(zap.DebugLevel)
	n.logs = logs
	n.Start(Options{Storage: n.storage, Logger: zap.New(core)})
}

// settle waits until everything waits for a time to come.
func (n *node) settle() *node {
	synctest.Wait()
	return n
}

// keyID is the key that signs now.
func (n *node) keyID(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id, err := n.Signer("test").KeyID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (n *node) knows(t *testing.T, id string) bool {
	t.Helper()
	_, err := n.Signer("test").MAC(t.Context(), id, []byte("message"))
	if err != nil && !errors.Is(err, ErrUnknownKey) {
		t.Fatal(err)
	}
	return err == nil
}

// wantLogs takes what was logged and compares the levels.
func (n *node) wantLogs(t *testing.T, levels ...string) {
	t.Helper()
	entries := n.logs.TakeAll()
	if len(entries) != len(levels) {
		t.Errorf("logged %v, want %v", entries, levels)
		return
	}
	for i, e := range entries {
		if e.Level.String() != levels[i] {
			t.Errorf("entry %d is %v, want level %s", i, e, levels[i])
		}
	}
}
