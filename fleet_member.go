package captcha

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

// member is what the health of a provider needs in a fleet.
//
// Only a probe publishes a state: that of the node which asks on behalf of all,
// whatever it found; and that of any node which found the provider down. One
// node polls, for as long as it lives. While the provider is down the nodes take
// turns, and the first turn comes within a second: a node whose own egress is
// broken makes the others fail over until one of them has probed, some seconds,
// and is on its own from then on: while it fails where the fleet succeeds, it
// neither asks for others nor publishes.
type member struct {
	speaks  time.Time     // until then this node's probes are on behalf of all
	ownAt   time.Time     // our last probe
	own     bool          // our last probe failed: that it is down is not only hearsay
	alone   bool          // the fleet says that it is up, our own probes that it is down
	silent  time.Time     // until then we publish no outage
	quick   bool          // the next look at its return comes soon
	woken   chan struct{} // the next look comes now
	drillAt time.Time     // when an operator last told this node of a drill
}

const (
	// silence is how long a node that was alone publishes no outage.
	silence = time.Minute
	// quickly is when others check what one node says.
	quickly = time.Second
	// staleAfter is when a word that a provider is down is too old: whoever
	// leads repeats it.
	staleAfter = 2 * time.Minute
)

// join makes the health one of a fleet's, or, with nil, of this node alone. The lock
// is held.
func (h *health) join(f *fleet) {
	if h.fleet != f {
		h.leave()
	}
	h.fleet = f
	if f != nil {
		f.enter(h)
	}
}

// leave ends that. The lock is held.
func (h *health) leave() {
	if h.fleet != nil {
		h.fleet.leave(h)
		h.fleet = nil
	}
}

// lead reports whether this node polls, and stays the one for a little longer
// than until it polls again.
func (h *health) lead(ctx context.Context, interval time.Duration) bool {
	return h.speakFor(ctx, leadNames, "", interval+interval/5)
}

// takeTurn reports whether this node is the one that looks for the provider's
// return in the time between two looks.
func (h *health) takeTurn(ctx context.Context, pause time.Duration) bool {
	return h.speakFor(ctx, turnNames, rand.Text(), pause*9/10) // the next turn is anybody's
}

func (h *health) speakFor(ctx context.Context, kind, suffix string, ttl time.Duration) bool {
	h.mu.Lock()
	f, now := h.fleet, time.Now()
	alone := h.alone
	h.mu.Unlock()
	if f == nil {
		return true
	}
	if alone || !f.lease(ctx, kind, h, suffix, ttl) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.speaks = now.Add(ttl)
	return true
}

// mustAskItself reports whether nobody's word replaces a probe of this node's own.
func (h *health) mustAskItself() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fleet == nil || h.alone || h.wrong
}

// soon is how long to wait before the next look, where the looks are pause apart.
// In a fleet, whoever has failed lets the others have the next turn.
func (h *health) soon(pause time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.quick:
		h.quick = false
		return time.Duration(mathrand.Int64N(int64(quickly))) //nolint:gosec // not a secret
	case h.fleet == nil || h.alone:
		return pause
	case h.own:
		return pause + pause/5
	default:
		return pause / 3
	}
}

// share tells the fleet what a probe of this node has found. The lock is held.
func (h *health) share(before state, ok bool, now time.Time) {
	after := h.machine.state
	h.own = !ok && after.isDown()
	if h.alone {
		if !after.isDown() {
			h.alone, h.silent = false, now.Add(silence)
		}
		return
	}
	found := !before.isDown() && after.isDown() && !h.silent.After(now)
	if h.speaks.After(now) || found {
		h.tell(now)
	}
}

// tell publishes what this node knows. The lock is held.
func (h *health) tell(now time.Time) {
	if h.fleet == nil || h.alone || h.silent.After(now) && h.machine.state.isDown() {
		return
	}
	doc := healthText{
		Version: textVersion, Node: h.fleet.node, At: now.UnixMilli(), State: h.machine.state, Since: h.machine.since.UnixMilli(),
		Reached: h.reached, Passes: h.machine.passes, Probe: tidy(h.last.Err),
	}
	if h.throttled.After(now) {
		doc.Throttled = h.throttled.UnixMilli()
	}
	for _, o := range h.outages {
		if o.Drill {
			continue
		}
		text := outageText{Start: o.Start.UnixMilli(), Evidence: tidy(o.Evidence)}
		if !o.End.IsZero() {
			text.End = o.End.UnixMilli()
		}
		doc.Outages = append(doc.Outages, text)
	}
	doc.Outages = doc.Outages[max(0, len(doc.Outages)-maxTold):]
	h.fleet.post(healthNames, h, doc, healthTTL)
}

// tellDrill publishes what an operator has told this node of a drill. That one
// has ended is kept for as long as it could have lasted. The lock is held.
func (h *health) tellDrill(now time.Time) {
	if h.fleet == nil {
		return
	}
	doc := drillText{Version: textVersion, Node: h.fleet.node, At: h.drillAt.UnixMilli()}
	ttl := maxDrill
	if h.drillUntil.After(now) {
		doc.Until, ttl = h.drillUntil.UnixMilli(), h.drillUntil.Sub(now)
	}
	h.fleet.post(drillNames, h, doc, ttl)
}

// repeatDrill publishes it again where the board, whose text is given, has not
// heard of it.
func (h *health) repeatDrill(text []byte, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	doc, known := parseDrillText(text, now)
	if now.Sub(h.drillAt) < maxDrill && (!known || doc.At < h.drillAt.UnixMilli()) {
		h.tellDrill(now)
	}
}

// adopt takes the word of another node's probe.
func (h *health) adopt(doc healthText, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := time.UnixMilli(doc.At)
	if h.fleet == nil || at.Before(h.ownAt.Truncate(time.Millisecond)) {
		return // our own word is newer
	}
	isDown := doc.State.isDown() && now.Sub(at) < staleAfter
	before := h.machine.state
	h.reached = h.reached || doc.Reached
	h.adoptThrottle(time.UnixMilli(doc.Throttled), now)
	if doc.State == unknown {
		return // it does not say how the provider is
	}
	if !isDown && before.isDown() && h.own {
		if !h.alone {
			h.alone = true
			h.report.lone(h)
			h.wake()
		}
		return
	}
	h.alone = h.alone && !isDown
	h.merge(doc.Outages)
	h.last = probeResult{At: at, Err: doc.Probe}
	h.machine = machine{state: doc.State, since: notAfter(now, time.UnixMilli(doc.Since)), passes: doc.Passes}
	if doc.State.isDown() && !isDown {
		h.machine.state = unknown // too old to count
	}
	switch {
	case isDown && !before.isDown():
		h.begin(outage{Start: doc.openSince(now), Evidence: h.last.Err, heard: true})
		h.quick = true
		h.await()
	case !isDown && before.isDown():
		h.end(now, false, true)
		h.wake() // nobody needs to wait for its return any more
	}
	h.report.up(h, !isDown)
}

func (h *health) adoptThrottle(until, now time.Time) {
	if until.After(now) && !until.After(now.Add(maxThrottle)) && until.After(h.throttled) {
		h.throttled = until
	}
}

func (h *health) adoptDrill(doc drillText, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if doc.At < h.drillAt.UnixMilli() {
		return // our operator's word is newer
	}
	if until := time.UnixMilli(doc.Until); doc.Until != 0 && until.After(now) {
		h.setDrill(until, now, true)
		return
	}
	h.cutDrill(now, true)
}

// wake makes the loop that waits for the provider's return look now.
func (h *health) wake() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

// merge adds the records of outages that were over before this node knew of
// them. The lock is held.
func (h *health) merge(told []outageText) {
	for _, t := range told {
		o := outage{Start: time.UnixMilli(t.Start), End: time.UnixMilli(t.End), Evidence: t.Evidence}
		known := slices.ContainsFunc(h.outages, func(own outage) bool {
			return !own.Drill && !own.Start.After(o.End) && (own.End.IsZero() || !o.Start.After(own.End))
		})
		if t.End != 0 && !known {
			h.outages = append(h.outages, o)
		}
	}
	slices.SortStableFunc(h.outages, func(a, b outage) int { return a.Start.Compare(b.Start) })
	h.outages = h.outages[max(0, len(h.outages)-maxOutages):]
}

// notAfter is a time of another node's clock, which may be ahead.
func notAfter(now, t time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
