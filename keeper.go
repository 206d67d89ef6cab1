package captcha

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// keeper is the store as handlers use it. Where the configured store is another
// one than this process's memory, the keeper
//
//   - claims in this process's memory first, so that no token that this node has
//     claimed gets in again here, whatever becomes of the store;
//   - waits for the store for a moment only, and after one failure no longer at
//     all: until pings tell that it is back, the node goes on alone, or refuses,
//     as store_failure says;
//   - hands what was claimed alone to the store once it is back.
//
// What is guaranteed while the node is alone: a token that was issued before is
// refused where its issue time is known, because another node may have claimed
// it, so the visitor solves anew; one that was issued since counts once on each
// node that is alone. A claim of which the store's answer did not come is not a
// claim: nobody knows whether another node has made it.
//
// It survives config reloads.
type keeper struct {
	kind    string
	local   store.Store
	deny    atomic.Bool
	remote  atomic.Pointer[store.Store] // nil where the store is this process's memory
	report  atomic.Pointer[keeperReport]
	nodes   *fleet
	changed chan struct{} // is told when the store is back or its memory is new

	// alone is when the store went away, in Unix nanoseconds; 0 while it is there.
	alone    atomic.Int64
	journeys atomic.Uint64 // how often the store came back

	mu      sync.Mutex
	journal map[claimID]time.Time // what was claimed alone, and until when

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
}

// keeperReport is where the keeper tells operators.
type keeperReport struct {
	logger *zap.Logger
	failed func()
}

// claimID stands for a key in the store and in the journal: half of a SHA-256,
// far beyond collisions among millions.
type claimID [16]byte

func idOfClaim(key string) claimID {
	sum := sha256.Sum256([]byte(key))
	return claimID(sum[:])
}

func (id claimID) text() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

const (
	// storeTimeout is how long a request waits for the store.
	storeTimeout = 250 * time.Millisecond
	// abandonAfter is how long a call that nobody waits for may go on, such as
	// one that connects.
	abandonAfter = 5 * time.Second
	pingEvery    = time.Second
	// pingsToReturn is how many good pings in a row bring a store back.
	pingsToReturn = 2
	// maxJournal is how many claims are remembered for the store; beyond it,
	// none is made.
	maxJournal  = 1 << 20
	handOverAt  = 64 // claims at once
	maxReleases = 256
)

// The words of store_failure.
const (
	failureLocal = "local"
	failureDeny  = "deny"
)

var (
	// errStoreAway is returned where store_failure is deny and the store does
	// not answer.
	errStoreAway = errors.New("the store does not answer, and store_failure is deny")
	// errNoAnswer is returned where a claim was sent and no answer came.
	errNoAnswer = errors.New("the store did not answer in time")
)

func newKeeper(kind string, local store.Store) *keeper {
	k := &keeper{kind: kind, local: local, changed: make(chan struct{}, 1), journal: make(map[claimID]time.Time)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.nodes = newFleet(k)
	return k
}

// use makes a config's instance of the store the one that is asked. The running
// config's replaces an earlier one.
func (k *keeper) use(remote store.Store, deny bool, report keeperReport) {
	before := k.remote.Swap(&remote)
	k.deny.Store(deny)
	k.report.Store(&report)
	if before != nil && *before != remote {
		select {
		case k.nodes.moved <- struct{}{}:
		default:
		}
	}
}

// fleet is with whom the health of providers is shared; nil where the store has
// no board.
func (k *keeper) fleet() *fleet {
	if k.nodes.board() == nil {
		return nil
	}
	return k.nodes
}

// start begins to look after the store.
func (k *keeper) start() {
	if k.shared() {
		k.once.Do(func() {
			k.wg.Go(k.look)
			k.wg.Go(func() { k.nodes.run(k.ctx) })
		})
	}
}

// Destruct implements caddy.Destructor. Requests in flight may still use k.
func (k *keeper) Destruct() error {
	k.cancel()
	k.wg.Wait()
	return nil
}

// shared reports whether the store is another one than this process's memory.
func (k *keeper) shared() bool { return k.remote.Load() != nil }

// away reports whether the store does not answer.
func (k *keeper) away() bool { return k.alone.Load() != 0 }

// Since is when the memory begins that claims are made in.
func (k *keeper) Since() time.Time {
	if !k.shared() {
		return k.local.Since()
	}
	if at := k.alone.Load(); at != 0 && !k.deny.Load() {
		return time.Unix(0, at)
	}
	return (*k.remote.Load()).Since()
}

// forgotten reports whether a token that was issued at a time may be one of those
// that a memory which began later has forgotten. A zero time says nothing.
func forgotten(issued, since time.Time) bool { return !issued.IsZero() && issued.Before(since) }

// Claim spends a key until the given time, as the store does.
func (k *keeper) Claim(ctx context.Context, key string, until time.Time) (bool, error) {
	first, _, err := k.spend(ctx, key, until)
	return first, err
}

// spend is Claim, and tells when the memory begins in which the claim was made,
// with what it has brought to light. The store may be back a moment later: what
// was claimed alone is judged as that. It is zero where nothing is shared.
func (k *keeper) spend(ctx context.Context, key string, until time.Time) (first bool, since time.Time, err error) {
	if !k.shared() {
		first, err = k.local.Claim(ctx, key, until)
		return first, since, err
	}
	if k.deny.Load() && k.away() {
		return false, since, errStoreAway
	}
	if first, err = k.local.Claim(ctx, key, until); !first || err != nil {
		return false, since, err
	}
	id := idOfClaim(key)
	if alone, err := k.note(id, until); alone != 0 || err != nil {
		return err == nil, time.Unix(0, alone), err
	}
	first, err = ask(ctx, k, func(ctx context.Context, s store.Store) (bool, error) { return s.Claim(ctx, id.text(), until) })
	return first, k.Since(), err
}

// note writes a claim into the journal, where the node is alone, and returns since
// when it is; 0 where it is not.
func (k *keeper) note(id claimID, until time.Time) (alone int64, err error) {
	if !k.away() {
		return 0, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if alone = k.alone.Load(); alone == 0 { // it has come back this moment
		return 0, nil
	}
	if len(k.journal) >= maxJournal {
		k.prune(time.Now())
	}
	if len(k.journal) >= maxJournal {
		return 0, store.ErrFull
	}
	k.journal[id] = until
	return alone, nil
}

// prune forgets what is over. The lock is held.
func (k *keeper) prune(now time.Time) {
	for id, until := range k.journal {
		if !until.After(now) {
			delete(k.journal, id)
		}
	}
}

// Release lets go of a claim. The request does not wait for the store: where that
// is not told, the token stays spent.
func (k *keeper) Release(ctx context.Context, key string) error {
	err := k.local.Release(ctx, key)
	if !k.shared() {
		return err
	}
	id := idOfClaim(key)
	k.mu.Lock()
	_, noted := k.journal[id]
	delete(k.journal, id)
	k.mu.Unlock()
	if noted || k.away() {
		return err
	}
	select {
	case releases <- struct{}{}:
		go func() {
			defer func() { <-releases }()
			_, _ = ask(ctx, k, func(ctx context.Context, s store.Store) (bool, error) { return true, s.Release(ctx, id.text()) })
		}()
	default: // it stays spent
	}
	return err
}

// releases bounds how many are under way.
var releases = make(chan struct{}, maxReleases)

// Count adds one to a key's counter. This node's own count is the least that it
// can be.
func (k *keeper) Count(ctx context.Context, key string, until time.Time) (int64, error) {
	if k.shared() && k.deny.Load() && k.away() {
		return 0, errStoreAway
	}
	own, err := k.local.Count(ctx, key, until)
	if !k.shared() || err != nil || k.away() {
		return own, err
	}
	id := idOfClaim(key)
	n, err := ask(ctx, k, func(ctx context.Context, s store.Store) (int64, error) { return s.Count(ctx, id.text(), until) })
	return max(n, own), err
}

// ask calls the store. It waits for storeTimeout, whatever the store does with
// its context, and takes a failure as a sign that the store is away.
func ask[T any](ctx context.Context, k *keeper, call func(context.Context, store.Store) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if k.away() {
		return none, errNoAnswer
	}
	journey := k.journeys.Load()
	answers := make(chan answer, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonAfter)
		defer cancel()
		v, err := call(ctx, *k.remote.Load())
		answers <- answer{v, err}
	}()
	timer := time.NewTimer(storeTimeout)
	defer timer.Stop()
	var err error
	select {
	case a := <-answers:
		if a.err == nil || errors.Is(a.err, store.ErrFull) {
			return a.value, a.err
		}
		err = a.err
	case <-timer.C:
		err = errNoAnswer
	}
	k.lose(journey, err)
	if k.deny.Load() {
		return none, errStoreAway
	}
	return none, errNoAnswer
}
