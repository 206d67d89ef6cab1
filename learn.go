package captcha

import (
	"errors"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// learn takes the result of a probe.
func (h *health) learn(err error, now time.Time) state {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = probeResult{At: now}
	h.ownAt = now
	if err != nil {
		h.last.Err = err.Error()
		switch classOf(err) {
		case provider.Misconfigured:
			h.setWrong(true)
			h.await() // nobody's token is asked about while it is: only we can notice
			return h.machine.state
		case provider.Throttled:
			h.throttle(err, now)
			h.tell(now)
			return h.machine.state
		}
	}
	if err == nil {
		h.reached, h.proven = true, true
		h.setWrong(false)
	}
	passes := h.check.passes
	if h.alone { // the others have confirmed it
		passes = 1
	}
	before := h.machine.observe(err == nil, h.check.fails, passes, now)
	h.transition(before, now)
	h.share(before, err == nil, now)
	return h.machine.state
}

// throttle remembers for how long the provider does not want to be asked.
func (h *health) throttle(err error, now time.Time) {
	wait := stdThrottle
	var fault *provider.Fault
	if errors.As(err, &fault) && fault.RetryAfter > 0 {
		wait = fault.RetryAfter
	}
	until := now.Add(min(wait, maxThrottle))
	if !h.throttled.After(now) {
		h.report.throttled(h, until)
	}
	h.throttled = until
}

// setWrong notes whether the provider refuses our configuration.
func (h *health) setWrong(wrong bool) {
	if h.wrong != wrong {
		h.wrong = wrong
		h.report.misconfigured(h, wrong, h.last.Err)
	}
}

// transition keeps the record of outages and tells of their start and end.
func (h *health) transition(before state, now time.Time) {
	after := h.machine.state
	switch {
	case !before.isDown() && after.isDown():
		h.begin(outage{Start: now, Evidence: h.last.Err})
		h.await()
	case before.isDown() && !after.isDown():
		h.end(now, false, false)
	}
	h.report.up(h, !after.isDown())
}

// await begins to wait for the provider's return, whatever the mode.
func (h *health) await() {
	if !h.recovers && h.ctx.Err() == nil {
		h.recovers = true
		h.wg.Go(h.awaitReturn)
	}
}

// awaitReturn probes a provider that is down, or that refuses us, until it is up
// and does not. In a fleet one node does that for all.
func (h *health) awaitReturn() {
	start := time.Now()
	for {
		pause := recoverFast
		if time.Since(start) >= time.Minute || !h.standing(time.Now()).down {
			pause = recoverSlow
		}
		select {
		case <-h.ctx.Done():
			return
		case <-h.woken:
		case <-time.After(h.soon(pause)):
		}
		if h.returned() { // so the others say
			return
		}
		if h.mustAskItself() || h.takeTurn(h.ctx, pause) {
			h.probeOnce()
		}
		if h.returned() {
			return
		}
	}
}

// returned reports whether nobody waits any more.
func (h *health) returned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	back := !h.machine.state.isDown() && !h.wrong
	if back {
		h.recovers = false
	}
	return back
}
