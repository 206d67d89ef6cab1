package captcha

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// fleet is what this node shares with others over the board of a store: the
// health of providers and drills. Nothing of it is on a request's way: the nodes
// are told of changes, and hold what they know themselves.
//
// A provider goes by a keyed hash of its identity; the key is random, kept by
// the board, and offered to it again by every node that knows it.
type fleet struct {
	keeper *keeper
	node   string // the holder of leases: this process

	mu      sync.Mutex
	secret  []byte
	joined  bool // the secret is the fleet's
	members map[*health]struct{}
	outbox  map[string]letter // what waits to be posted, the newest by name
	waiting chan struct{}
	moved   chan struct{} // the store's instance was replaced
}

type letter struct {
	text []byte
	ttl  time.Duration
}

const (
	secretSize  = 32
	healthTTL   = 30 * 24 * time.Hour
	boardCall   = time.Second // one operation of the board
	healthNames = "health/"
	drillNames  = "drill/"
	leadNames   = "lead/"
	turnNames   = "turn/"
)

func newFleet(k *keeper) *fleet {
	f := &fleet{
		keeper: k, node: rand.Text(), secret: make([]byte, secretSize), members: make(map[*health]struct{}),
		outbox: make(map[string]letter), waiting: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
	_, _ = rand.Read(f.secret) // it never fails
	return f
}

// board is the store's, nil where it has none.
func (f *fleet) board() store.Board {
	if remote := f.keeper.remote.Load(); remote != nil {
		b, _ := (*remote).(store.Board)
		return b
	}
	return nil
}

// alone reports whether there is nobody to share with now.
func (f *fleet) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.joined || f.keeper.away()
}

// name is what a provider goes by on the board.
func (f *fleet) name(h *health) string {
	mac := hmac.New(sha256.New, f.secret)
	mac.Write([]byte(h.identity))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// run follows the board and posts to it, until ctx is done.
func (f *fleet) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.send(ctx) })
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		if b := f.board(); b != nil {
			wg.Go(func() { b.Follow(following, func() { f.read(following) }, f.hear) })
		}
		f.watchKeeper(ctx)
		stop()
	}
}

// watchKeeper reads the board again whenever the store is back or its memory is
// new, and returns when its instance was replaced.
func (f *fleet) watchKeeper(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.moved:
			return
		case <-f.keeper.changed:
			f.read(ctx)
		}
	}
}

// read learns what the board says now.
func (f *fleet) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*boardCall)
	defer cancel()
	b := f.board()
	if b == nil {
		return
	}
	f.mu.Lock()
	offer := f.secret
	f.mu.Unlock()
	secret, err := b.Secret(ctx, offer)
	if err != nil || len(secret) != secretSize {
		return // joined again, or the store's return, tries again
	}
	f.mu.Lock()
	f.secret, f.joined = secret, true
	var members []*health
	for h := range f.members {
		members = append(members, h)
	}
	f.mu.Unlock()
	for _, h := range members {
		f.readOne(ctx, b, h)
	}
}

func (f *fleet) readOne(ctx context.Context, b store.Board, h *health) {
	f.mu.Lock()
	name := f.name(h)
	f.mu.Unlock()
	for _, kind := range []string{healthNames, drillNames} {
		text, err := b.Read(ctx, kind+name)
		if err == nil && text != nil {
			f.hear(kind+name, text)
		}
		if err == nil && kind == drillNames {
			h.repeatDrill(text, time.Now())
		}
	}
}

// hear takes a text of the board. One that is not exactly what a node writes
// says nothing.
func (f *fleet) hear(name string, text []byte) {
	if len(text) > store.MaxText {
		return
	}
	f.mu.Lock()
	var of *health
	kind := ""
	for h := range f.members {
		switch n := f.name(h); name {
		case healthNames + n:
			of, kind = h, healthNames
		case drillNames + n:
			of, kind = h, drillNames
		}
	}
	f.mu.Unlock()
	now := time.Now()
	switch kind {
	case healthNames:
		if doc, ok := parseHealthText(text, now); ok && doc.Node != f.node {
			of.adopt(doc, now)
		}
	case drillNames:
		if doc, ok := parseDrillText(text, now); ok && doc.Node != f.node {
			of.adoptDrill(doc, now)
		}
	}
}

// post puts a text on the board, in the background.
func (f *fleet) post(kind string, h *health, doc any, ttl time.Duration) {
	text, err := json.Marshal(doc)
	if err != nil || len(text) > store.MaxText {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.joined {
		return
	}
	f.outbox[kind+f.name(h)] = letter{text, ttl}
	select {
	case f.waiting <- struct{}{}:
	default:
	}
}

// send posts what waits. What cannot be posted is dropped: the next probe says
// it again, and whoever returns to the board reads, and repeats what an operator
// has said of a drill.
func (f *fleet) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.waiting:
		}
		f.mu.Lock()
		letters := f.outbox
		f.outbox = make(map[string]letter)
		f.mu.Unlock()
		b := f.board()
		for name, l := range letters {
			if b == nil || f.keeper.away() {
				break
			}
			post, cancel := context.WithTimeout(ctx, boardCall)
			_ = b.Post(post, name, l.text, l.ttl)
			cancel()
		}
	}
}

// lease reports whether this node asks a provider on behalf of all for the next
// while. Where it is alone, it asks for itself.
func (f *fleet) lease(ctx context.Context, kind string, h *health, suffix string, ttl time.Duration) bool {
	b := f.board()
	if b == nil || f.alone() {
		return true
	}
	f.mu.Lock()
	name := kind + f.name(h)
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, boardCall)
	defer cancel()
	has, err := b.Lease(ctx, name, f.node+suffix, ttl)
	return has || err != nil
}

// enter and leave say whose health is of interest.
func (f *fleet) enter(h *health) {
	f.mu.Lock()
	_, known := f.members[h]
	f.members[h] = struct{}{}
	f.mu.Unlock()
	if !known {
		f.keeper.tell()
	}
}

func (f *fleet) leave(h *health) {
	f.mu.Lock()
	delete(f.members, h)
	f.mu.Unlock()
}
