package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"
)

const (
	storageKey  = "captcha/keys.json"
	storageLock = "captcha_keys"

	// storageTimeout bounds one call of the storage.
	storageTimeout = 10 * time.Second

	firstRetry = time.Second
	lastRetry  = time.Minute
)

// errBusy is returned while a call that was given up has not come back. There
// is never more than one, however long the storage hangs.
var errBusy = errors.New("an earlier call of the storage hangs")

// trouble is what a loop has last complained of.
type trouble int

const (
	noTrouble trouble = iota
	storageFails
	documentUnreadable
)

// loop watches one storage.
type loop struct {
	Options
	ring *Ring
	busy chan struct{}
}

// run looks for keys until the context ends.
func (l *loop) run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		wait := lookEvery
		err := l.look(ctx)
		switch {
		case ctx.Err() != nil:
			return // a call that was broken off is no trouble
		case err != nil:
			l.complain(err)
			wait, retry = retry, min(2*retry, lastRetry)
		default:
			l.recovered()
			retry = firstRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// complain reports trouble once, and sees to it that requests have a key.
func (l *loop) complain(err error) {
	now := storageFails
	if errors.Is(err, errDocument) {
		now = documentUnreadable
	}
	consequence := "the known keys stay in use"
	if l.ring.ensure() {
		consequence = "a key in memory signs, which other nodes do not know and a restart loses"
	}
	if l.ring.trouble == now {
		return
	}
	l.ring.trouble = now
	fields := []zap.Field{zap.String("storage_key", storageKey), zap.String("consequence", consequence), zap.Error(err)}
	if now == documentUnreadable {
		l.Logger.Error("the captcha keys in the storage cannot be read and are left as they are; restore or remove them", fields...)
		return
	}
	l.Logger.Warn("the storage of the captcha keys fails; trying again", fields...)
}

func (l *loop) recovered() {
	if l.ring.trouble != noTrouble {
		l.ring.trouble = noTrouble
		l.Logger.Info("the captcha keys in the storage are in use again", zap.String("storage_key", storageKey))
	}
}

// look takes over the stored keys, and adds or removes some where it is time.
// The lock is taken only then.
func (l *loop) look(ctx context.Context) error {
	doc, err := l.load(ctx)
	if err != nil {
		return err
	}
	if len(doc.keys) > 0 {
		l.ring.install(doc)
	}
	if _, due := doc.advance(l.ring.now(), l.Rotate); !due {
		return nil
	}
	unlock := func() { l.unlock(ctx) }
	err = l.call(ctx, func(ctx context.Context) error { return l.Storage.Lock(ctx, storageLock) }, unlock)
	if err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	defer unlock()
	// Again, as another node may have had the lock for the same reason.
	if doc, err = l.load(ctx); err != nil {
		return err
	}
	next, due := doc.advance(l.ring.now(), l.Rotate)
	if due {
		if err := l.store(ctx, next); err != nil {
			return err
		}
	}
	l.ring.install(next)
	return nil
}

// load returns the stored document, which is empty where none is stored.
func (l *loop) load(ctx context.Context) (document, error) {
	var data []byte
	err := l.call(ctx, func(ctx context.Context) (err error) {
		data, err = l.Storage.Load(ctx, storageKey)
		return err
	}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return document{}, nil
	}
	if err != nil {
		return document{}, fmt.Errorf("loading: %w", err)
	}
	return parseDocument(data)
}

// store is not broken off by a reload: a write that lands after the lock was
// released could undo that of another node.
func (l *loop) store(ctx context.Context, doc document) error {
	data, err := doc.marshal()
	if err != nil {
		return err
	}
	err = l.call(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return l.Storage.Store(ctx, storageKey, data)
	}, nil)
	if err != nil {
		return fmt.Errorf("storing: %w", err)
	}
	return nil
}

// unlock uses a context of its own, as ours may have ended, and does not mind
// a call that hangs: a lock that stays would stop all nodes.
func (l *loop) unlock(ctx context.Context) {
	err := bounded(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return l.Storage.Unlock(ctx, storageLock)
	}, nil)
	if err != nil {
		l.Logger.Warn("the lock of the captcha keys could not be released", zap.String("lock", storageLock), zap.Error(err))
	}
}

// call is bounded, and refuses while an earlier call hangs.
func (l *loop) call(ctx context.Context, f func(context.Context) error, late func()) error {
	select {
	case l.busy <- struct{}{}:
	default:
		return errBusy
	}
	return bounded(ctx, func(ctx context.Context) error {
		defer func() { <-l.busy }()
		return f(ctx)
	}, late)
}

// bounded calls f and gives up at the deadline even if f does not. If f then
// succeeds after all, late is called to undo it.
func bounded(ctx context.Context, f func(context.Context) error, late func()) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	result, givenUp := make(chan error), make(chan struct{})
	go func() {
		err := f(ctx)
		select {
		case result <- err:
		case <-givenUp:
			if err == nil && late != nil {
				late()
			}
		}
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		close(givenUp)
		return ctx.Err()
	}
}
