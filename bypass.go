package captcha

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// state is what the edge knows of a provider's health.
type state string

const (
	unknown    state = "unknown" // not asked yet: neither down nor a reason to let anybody in
	up         state = "up"
	suspect    state = "suspect"    // a probe has failed, not enough of them yet
	down       state = "down"       // confirmed
	recovering state = "recovering" // a probe was good again, not enough of them yet
)

// machine is the state machine of one provider. It knows nothing but the results
// of our own probes, in order.
type machine struct {
	state  state
	since  time.Time
	fails  int // failed probes in a row
	passes int // good probes in a row since down
}

// observe takes one probe's result and returns the state before it.
func (m *machine) observe(ok bool, needFails, needPasses int, now time.Time) (before state) {
	before = m.state
	if ok {
		m.fails = 0
		switch m.state {
		case down, recovering:
			m.passes++
			if m.passes >= needPasses {
				m.become(up, now)
			} else {
				m.become(recovering, now)
			}
		default:
			m.become(up, now)
		}
		return before
	}
	m.passes = 0
	switch m.state {
	case down, recovering:
		m.become(down, now)
	default:
		m.fails++
		if m.fails >= needFails {
			m.become(down, now)
		} else {
			m.become(suspect, now)
		}
	}
	return before
}

func (m *machine) become(s state, now time.Time) {
	if m.state != s {
		m.state, m.since = s, now
	}
	if s == up || s == down {
		m.passes = 0
	}
}

// isDown: a provider that is recovering has not been confirmed up.
func (s state) isDown() bool { return s == down || s == recovering }

// health is the health of one provider identity. It is shared by every handler
// that uses the identity, and survives config reloads.
type health struct {
	id   string // public, a keyed hash
	name string

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	calls  places // for requests, under way; see maxCalls

	mu         sync.Mutex
	machine    machine
	check      check
	asker      asker // of the newest running config; nil until one runs
	report     reporter
	reached    bool
	proven     bool // a probe was good: the account exists
	wrong      bool // our configuration is refused
	throttled  time.Time
	drillUntil time.Time
	outages    []outage
	last       probeResult
	confirming chan struct{} // closed when the confirmation under way ends
	doubted    time.Time     // when a failed verification last started one
	stopPoll   context.CancelFunc
	recovers   bool // a loop waits for the provider's return
	drillTimer *time.Timer

	fleet    *fleet // nil where this node is on its own
	identity string // never shown
	member          // what only a member of a fleet has
}

// asker asks a provider for its health. provider.Prober is the least that it is.
type asker = provider.Prober

// probeResult is the last probe, for the operator.
type probeResult struct {
	At  time.Time
	Err string // empty where it was good
}

// check is a resolved bypass_check.
type check struct {
	mode          string
	every         time.Duration // poll: between probes; request: how long an answer counts
	timeout       time.Duration
	fails, passes int
}

const (
	confirmPause = 500 * time.Millisecond // between the probes of one confirmation
	confirmEvery = 10 * time.Second       // failed verifications start at most one in this time
	recoverFast  = 5 * time.Second        // while down, in the first minute
	recoverSlow  = 15 * time.Second       // after it
	maxThrottle  = time.Minute
	stdThrottle  = 10 * time.Second
)

func newHealth(id, name string) *health {
	h := &health{
		id: id, name: name, machine: machine{state: unknown, since: time.Now()},
		report: reporter{logger: zap.NewNop(), metrics: new(metrics)}, // until a config runs: drills may come before
	}
	h.calls.taken.limit.Store(maxCalls)
	h.woken = make(chan struct{}, 1)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Destruct implements caddy.Destructor: nobody uses the identity any more.
func (h *health) Destruct() error {
	h.mu.Lock() // nothing is started after this
	h.cancel()
	if h.drillTimer != nil {
		h.drillTimer.Stop()
	}
	h.leave()
	h.mu.Unlock()
	h.wg.Wait()
	return nil
}

// start begins to ask as a config that is sure to run says, in a fleet or, with nil,
// for this node alone. What the fleet knows may come at once, so that it joins last.
func (h *health) start(a asker, c check, report reporter, f *fleet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.join(f)
	h.asker, h.report = a, report
	if h.stopPoll != nil && h.check != c {
		h.stopPoll()
		h.stopPoll = nil
	}
	h.check = c
	if c.mode == checkPoll && h.stopPoll == nil && h.ctx.Err() == nil {
		ctx, stop := context.WithCancel(h.ctx)
		h.stopPoll = stop
		h.wg.Go(func() { h.poll(ctx, c.every) })
	}
}

// askBeforeUse returns how long an answer counts in mode request; 0 in others.
func (h *health) askBeforeUse() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.check.mode != checkRequest {
		return 0
	}
	return h.check.every
}

// poll asks at intervals, with jitter, so that nodes do not ask in step. In a
// fleet one node asks; the others look twice as often whether it still does.
func (h *health) poll(ctx context.Context, interval time.Duration) {
	for {
		every := interval
		switch {
		case h.standing(time.Now()).down: // recovery asks
		case h.lead(ctx, interval):
			h.wait(ctx, h.confirm())
		default:
			every /= 2
		}
		jitter := time.Duration(rand.Int64N(int64(every)/5 + 1)) //nolint:gosec // not a secret
		select {
		case <-ctx.Done():
			return
		case <-time.After(every - every/10 + jitter):
		}
	}
}

// wait waits for a confirmation, at most until ctx is done.
func (h *health) wait(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// met is told that the provider has answered a verification. That it is up says
// only a probe; that it can be reached is told by this too.
func (h *health) met() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reached = true
}

// doubt is told that a verification failed. It starts a confirmation, unless one
// was made moments ago, and returns when it has ended.
func (h *health) doubt() <-chan struct{} {
	h.mu.Lock()
	recent := h.confirming == nil && !h.doubted.IsZero() && time.Since(h.doubted) < confirmEvery
	if !recent {
		h.doubted = time.Now()
	}
	h.mu.Unlock()
	if recent {
		done := make(chan struct{})
		close(done)
		return done
	}
	return h.confirm()
}

// confirm probes until an answer is good or the provider is confirmed down. All
// who ask meanwhile wait for the same confirmation.
func (h *health) confirm() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.confirming != nil {
		return h.confirming
	}
	done := make(chan struct{})
	if h.asker == nil || h.ctx.Err() != nil {
		close(done)
		return done
	}
	h.confirming = done
	c := h.check
	h.wg.Go(func() {
		defer func() {
			h.mu.Lock()
			h.confirming = nil
			h.mu.Unlock()
			close(done)
		}()
		for range c.fails {
			if !h.probeOnce() {
				return
			}
			select {
			case <-h.ctx.Done():
				return
			case <-time.After(confirmPause):
			}
		}
	})
	return done
}

// probeOnce makes one probe and reports whether another one could tell more: the
// provider did not answer, and is not confirmed down yet.
func (h *health) probeOnce() bool {
	h.mu.Lock()
	a, c, logger := h.asker, h.check, h.report.logger
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(h.ctx, c.timeout)
	defer cancel()
	err := h.ask(ctx, a, logger)
	if h.ctx.Err() != nil {
		return false // we are going away: that says nothing of the provider
	}
	return h.learn(err, time.Now()) == suspect && err != nil && classOf(err) == provider.Unavailable
}

// classOf is the class of what prevented an answer.
func classOf(err error) provider.Class {
	if fault, ok := errors.AsType[*provider.Fault](err); ok {
		return fault.Class
	}
	return provider.Unavailable
}

// saidToBeDown is what a probe finds where the status API says that the provider is
// down. GeeTest's says so of an account that it does not know, too, and a typo must
// not count as an outage: until a probe was good, and after one that found our keys
// refused, the provider itself is asked whether it refuses them.
func (h *health) saidToBeDown(ctx context.Context, a asker) error {
	h.mu.Lock()
	trusted := h.proven && !h.wrong
	h.mu.Unlock()
	if !trusted {
		if err := a.Probe(ctx); err != nil && classOf(err) == provider.Misconfigured {
			return err
		}
	}
	return &provider.Fault{Class: provider.Unavailable, Err: errors.New("its status API says that it is down")}
}

// ask asks the status API, where there is one, and the provider itself. A panic
// is an answer that cannot be understood, not the end of the asking.
func (h *health) ask(ctx context.Context, a asker, logger *zap.Logger) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &provider.Fault{Class: provider.Unavailable, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	if hasStatusAPI(a) {
		api := a.(provider.StatusAPI)
		switch isUp, err := api.Status(ctx); {
		case err != nil: // it says nothing: the provider itself decides
			logger.Warn("a provider's status API does not answer", zap.String("provider", h.name), zap.Error(err))
		case !isUp:
			return h.saidToBeDown(ctx, a)
		}
	}
	return a.Probe(ctx)
}
