package captcha

import (
	"slices"
	"time"
)

// outage is a span in which a provider was confirmed down.
type outage struct {
	Start      time.Time
	End        time.Time // zero while it lasts
	Evidence   string
	FailedOver int64
	Drill      bool
	heard      bool // from another node
}

// maxOutages is how many outages are remembered per provider.
const maxOutages = 100

// begin and end keep the records. The lock is held.
func (h *health) begin(o outage) {
	h.outages = append(h.outages, o)
	if len(h.outages) > maxOutages {
		h.outages = h.outages[1:]
	}
	h.report.began(h, o)
}

// end ends the newest outage of its kind that still lasts. That it is over may
// be heard from another node.
func (h *health) end(now time.Time, drill, heard bool) {
	for i := len(h.outages) - 1; i >= 0; i-- {
		if o := &h.outages[i]; o.Drill == drill && o.End.IsZero() {
			o.End, o.heard = now, heard
			h.report.ended(h, *o)
			return
		}
	}
}

// drill makes the provider count as down until a time, as an outage in
// everything but the record, the log and the metrics, which say that it is one.
func (h *health) drill(until, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.setDrill(until, now, false)
	h.drillAt = now
	h.tellDrill(now)
}

// setDrill begins a drill or changes its end. The lock is held.
func (h *health) setDrill(until, now time.Time, heard bool) {
	if !h.drillUntil.After(now) {
		h.begin(outage{Start: now, Evidence: "drill", Drill: true, heard: heard})
	}
	h.drillUntil = until
	if h.drillTimer != nil {
		h.drillTimer.Stop()
	}
	if h.ctx.Err() == nil {
		h.drillTimer = time.AfterFunc(until.Sub(now), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.endDrill(time.Now(), false)
		})
	}
}

// endDrill ends a drill that is over; stopDrill one that is not. endDrill is
// called with the lock held.
func (h *health) endDrill(now time.Time, heard bool) {
	if !h.drillUntil.IsZero() && !h.drillUntil.After(now) {
		h.drillUntil = time.Time{}
		h.end(now, true, heard)
	}
}

func (h *health) stopDrill(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutDrill(now, false)
	h.drillAt = now
	h.tellDrill(now)
}

func (h *health) cutDrill(now time.Time, heard bool) {
	if h.drillUntil.After(now) {
		h.drillUntil = now
	}
	h.endDrill(now, heard)
}

// overview is what is known of a provider at one moment.
type overview struct {
	state     state
	since     time.Time
	reached   bool
	wrong     bool
	throttled time.Time
	drill     bool
	mode      string
	last      probeResult
	outages   []outage // shared with nobody
}

func (h *health) overview(now time.Time) overview {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := overview{
		state: h.machine.state, since: h.machine.since, reached: h.reached, wrong: h.wrong,
		mode: h.check.mode, last: h.last, outages: append([]outage(nil), h.outages...),
	}
	if h.throttled.After(now) {
		s.throttled = h.throttled
	}
	if h.drillUntil.After(now) {
		s.drill = true
		s.state = down
	}
	return s
}

// standing is what a request needs to know of a provider: the situation that it
// is in, and the outage that a fallback's proof may belong to.
type standing struct {
	down      bool
	start     time.Time // of the outage that lasts, or of the last one; zero without one
	end       time.Time // of the last one; zero while one lasts
	lastEnd   time.Time // of the last outage that was no drill
	wrong     bool
	throttled bool
}

func (h *health) standing(now time.Time) standing {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := standing{
		down:      h.machine.state.isDown() || h.drillUntil.After(now),
		wrong:     h.wrong,
		throttled: h.throttled.After(now),
	}
	if n := len(h.outages); n > 0 {
		s.start, s.end = h.outages[n-1].Start, h.outages[n-1].End
	}
	for _, o := range h.outages { // a drill within an outage does not begin it anew
		if o.End.IsZero() {
			s.start, s.end = o.Start, time.Time{}
			break
		}
	}
	for _, o := range slices.Backward(h.outages) {
		if !o.Drill {
			if s.lastEnd = o.End; o.End.IsZero() {
				s.lastEnd = now
			}
			break
		}
	}
	return s
}

// situation is the one that the provider's standing puts every request in.
func (s standing) situation() situation {
	switch {
	case s.down:
		return unreachable
	case s.wrong:
		return misconfigured
	case s.throttled:
		return throttled
	}
	return ""
}

// failedOver counts a request that an outage has diverted.
func (h *health) failedOver() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.outages); n > 0 {
		h.outages[n-1].FailedOver++
	}
}
