package captcha

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// lose notes that the store does not answer: once for each time that it goes
// away, however many requests notice.
func (k *keeper) lose(journey uint64, cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.journeys.Load() != journey || !k.alone.CompareAndSwap(0, time.Now().UnixNano()) {
		return
	}
	r := k.report.Load()
	r.failed()
	if k.deny.Load() {
		r.logger.Error("the store does not answer: requests that need it are refused (store_failure deny)", zap.String("store", k.kind), zap.Error(cause))
		return
	}
	r.logger.Warn("the store does not answer: this node goes on alone, and a token counts once on each such node (store_failure local)",
		zap.String("store", k.kind), zap.Error(cause))
}

// look pings the store, so that its absence is mostly noticed before a request
// does, and its return without one.
func (k *keeper) look() {
	good := 0
	since := time.Time{}
	for {
		ok := k.ping()
		switch {
		case !ok:
			good = 0
		case k.away():
			if good++; good >= pingsToReturn {
				k.comeBack()
				good = 0
			}
		}
		if now := k.Since(); !k.away() && !now.Equal(since) {
			if !since.IsZero() && now.After(since) {
				k.report.Load().logger.Warn("the store has lost its memory: challenges from before are issued anew, so that none counts twice",
					zap.String("store", k.kind), zap.Time("since", now))
			}
			since = now
			k.tell()
		}
		pause := pingEvery*9/10 + time.Duration(mathrand.Int64N(int64(pingEvery)/5)) //nolint:gosec // not a secret
		select {
		case <-k.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// tell wakes whoever follows the store.
func (k *keeper) tell() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// ping makes a claim that means nothing: a store that answers and cannot keep
// anything is no better than none.
func (k *keeper) ping() bool {
	claim := func(ctx context.Context, s store.Store) (bool, error) {
		return s.Claim(ctx, "ping-"+rand.Text(), time.Now().Add(5*time.Second))
	}
	if !k.away() {
		_, err := ask(k.ctx, k, claim)
		return err == nil
	}
	answers := make(chan error, 1)
	k.wg.Go(func() {
		ctx, cancel := context.WithTimeout(k.ctx, abandonAfter)
		defer cancel()
		_, err := claim(ctx, *k.remote.Load())
		answers <- err
	})
	timer := time.NewTimer(storeTimeout)
	defer timer.Stop()
	select {
	case err := <-answers:
		return err == nil
	case <-timer.C: // too slow to be of use, or on its way to a connection
		return false
	}
}

// comeBack hands the journal to the store, and goes on with the store once
// nothing is left.
func (k *keeper) comeBack() {
	var handed, twice int
	for {
		k.mu.Lock()
		k.prune(time.Now())
		if len(k.journal) == 0 {
			k.journal = make(map[claimID]time.Time) // Go's maps do not shrink
			k.journeys.Add(1)
			alone := time.Since(time.Unix(0, k.alone.Swap(0)))
			k.mu.Unlock()
			k.report.Load().logger.Info("the store is back", zap.String("store", k.kind), zap.Duration("alone", alone),
				zap.Int("claims_handed_over", handed), zap.Int("claimed_elsewhere_too", twice))
			k.tell()
			return
		}
		batch := make(map[claimID]time.Time, handOverAt)
		for id, until := range k.journal {
			if batch[id] = until; len(batch) == handOverAt {
				break
			}
		}
		k.mu.Unlock()
		n, ok := k.handOver(batch)
		if !ok {
			return // it is away again: the next good pings try once more
		}
		handed += len(batch)
		twice += n
		k.mu.Lock()
		for id := range batch {
			delete(k.journal, id)
		}
		k.mu.Unlock()
	}
}

// handOver claims at the store what was claimed alone, and returns how many of
// these claims the store had already.
func (k *keeper) handOver(batch map[claimID]time.Time) (twice int, ok bool) {
	type answer struct {
		first bool
		err   error
	}
	ctx, cancel := context.WithTimeout(k.ctx, abandonAfter)
	defer cancel()
	answers := make(chan answer, len(batch))
	for id, until := range batch {
		k.wg.Go(func() {
			first, err := (*k.remote.Load()).Claim(ctx, id.text(), until)
			answers <- answer{first, err}
		})
	}
	ok = true
	for range batch {
		select {
		case a := <-answers:
			if ok = ok && a.err == nil; a.err == nil && !a.first {
				twice++
			}
		case <-ctx.Done():
			return twice, false
		}
	}
	return twice, ok
}
