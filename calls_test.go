package captcha

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// waitUntil waits for something that is sure to come.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// heldCalls are verifications that get no answer until answer is closed.
type heldCalls struct {
	answer    chan struct{}
	mu        sync.Mutex
	now, most int
}

func (h *heldCalls) hold(_ providertest.Call, what int) (int, string) {
	if what != callVerify {
		return 0, ""
	}
	h.add(1)
	defer h.add(-1)
	<-h.answer
	return 0, ""
}

func (h *heldCalls) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += n
	h.most = max(h.most, h.now)
}

// count returns how many are held, and how many were at once.
func (h *heldCalls) count() (now, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now, h.most
}

// Promise 3: tokens that look like tokens, more at once than there is room for,
// while the provider takes its time with them. The probe still gets through, those
// without room are asked to try again, and nobody is let in.
func TestAFloodOfTokensDoesNotKeepTheProbeOutD43D100(t *testing.T) {
	g := newGateway(t, "turnstile")
	held := &heldCalls{answer: make(chan struct{})}
	g.set(held.hold)
	e := serve(t, "captcha /login* {\n"+g.block(false)+`
		fallback off
		verify_timeout 1m
		bypass_check poll 1s {
			timeout 5s
			fails 1
		}
		failover {
			unreachable allow
		}
	}
	reverse_proxy {app}`)
	const posts = maxCalls + 100
	replies := make(chan reply, posts)
	for i := range posts {
		req := e.request("POST", "/login", formType, fmt.Sprintf("cf-turnstile-response=0.flood%020d", i))
		go func() { replies <- e.do(req) }()
	}
	full := time.Now()
	waitUntil(t, "the provider has as many calls as it gets", func() bool {
		full = time.Now()
		now, _ := held.count()
		return now >= maxCalls
	})
	h := g.health()
	var o overview
	waitUntil(t, "three probes since", func() bool {
		o = h.overview(time.Now())
		return o.last.At.After(full.Add(3 * time.Second))
	})
	if o.state != up || o.last.Err != "" || len(o.outages) > 0 {
		t.Errorf("the provider counts as %s after a probe with %q, %d outages", o.state, o.last.Err, len(o.outages))
	}
	close(held.answer)
	for range posts {
		if r := <-replies; r.StatusCode != 403 {
			t.Fatalf("a token that nobody was given: %s %s", r.Status, r.body)
		}
	}
	if _, most := held.count(); most != maxCalls {
		t.Errorf("%d calls at once, want %d", most, maxCalls)
	}
	if r := e.app.take(); len(r) > 0 {
		t.Errorf("%d requests reached the app", len(r))
	}
}

// One visitor's junk tokens, more than there is room for at a provider that takes its
// time: whoever comes from elsewhere gets a verdict meanwhile.
func TestOneNetworkLeavesCallsD128(t *testing.T) {
	g := newGateway(t, "turnstile")
	held := &heldCalls{answer: make(chan struct{})}
	g.set(func(c providertest.Call, what int) (int, string) {
		if !strings.Contains(string(c.Body), "flood") {
			return 0, ""
		}
		return held.hold(c, what)
	})
	site := "captcha /login* {\n" + g.block(false) + "\nverify_timeout 1m\n}\nreverse_proxy {app}"
	e := serve(t, site)
	e.load("servers {\ntrusted_proxies static 127.0.0.1\n}", site)
	const posts = maxCalls + 100
	statuses := make(chan int, posts)
	for i := range posts {
		req := e.request("POST", "/login", formType, fmt.Sprintf("cf-turnstile-response=0.flood%020d", i),
			"X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i%256))
		go func() { statuses <- e.do(req).StatusCode }()
	}
	calls := &g.health().calls
	waitUntil(t, "all of them call or wait", func() bool { now, waiting := calls.count(); return now+waiting == posts })
	waitUntil(t, "the provider has the calls", func() bool { now, _ := held.count(); return now >= maxCalls/2 })
	token := "cf-turnstile-response=" + g.issue("0.visitor"+strings.Repeat("a", 20))
	e.wantForwarded(e.post("/login", formType, token, "X-Forwarded-For", "198.51.100.1"))
	close(held.answer)
	for range posts {
		if status := <-statuses; status != 403 {
			t.Fatalf("a token that nobody was given: %d", status)
		}
	}
	if _, most := held.count(); most != maxCalls/2 {
		t.Errorf("%d calls of one network at once, want %d", most, maxCalls/2)
	}
	if now, waiting := calls.count(); now+waiting > 0 {
		t.Errorf("%d calls and %d that wait are left", now, waiting)
	}
}

// count returns how many calls have a place, and how many wait for one.
func (p *places) count() (now, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.queues {
		waiting += q.calls.Len()
	}
	return int(p.taken.used.Load()), waiting
}

// waiters are calls that wait for one of few places.
type waiters struct {
	p    places
	lock sync.Mutex
	got  []string // who has got a place
}

func newWaiters(limit int64) *waiters {
	w := new(waiters)
	w.p.taken.limit.Store(limit)
	return w
}

// come lets a call come, and reports whether it has got a place at once.
func (w *waiters) come(ctx context.Context, name string, by share) bool {
	ended := make(chan error, 1)
	go func() {
		err := w.p.take(ctx, by)
		if err == nil {
			w.lock.Lock()
			w.got = append(w.got, name)
			w.lock.Unlock()
		}
		ended <- err
	}()
	synctest.Wait()
	select {
	case err := <-ended:
		return err == nil
	default:
		return false
	}
}

// after returns who has got a place by what is done.
func (w *waiters) after(do func()) string {
	w.lock.Lock()
	w.got = nil
	w.lock.Unlock()
	do()
	synctest.Wait()
	w.lock.Lock()
	defer w.lock.Unlock()
	slices.Sort(w.got)
	return strings.Join(w.got, " ")
}

// Half of the places for one network, a third each for two; all of them for those
// that are nobody's; and the first call of a network wherever there is a place.
func TestShareOfCallsD128(t *testing.T) {
	for _, c := range []struct {
		name   string
		coming []share // one after another
		calls  map[share]int64
	}{
		{"one", []share{1, 1, 1, 1, 1, 1, 1, 1}, map[share]int64{1: 6}},
		{"two", []share{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2}, map[share]int64{1: 4, 2: 4}},
		{"two, one after the other", []share{1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2}, map[share]int64{1: 6, 2: 3}},
		{"nobody's", []share{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, map[share]int64{0: 12}},
		{"beside nobody's", []share{0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, map[share]int64{0: 6, 1: 3}},
		{"first ones", []share{1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8}, map[share]int64{1: 6, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				w := newWaiters(12)
				for _, by := range c.coming {
					w.come(ctx, "", by)
				}
				for by := range w.p.taken.shares {
					if n := w.p.taken.shares[by].Load(); n != c.calls[share(by)] {
						t.Errorf("network %d has %d of 12 places, want %d", by, n, c.calls[share(by)])
					}
				}
				cancel()
				synctest.Wait()
				if now, waiting := w.p.count(); waiting > 0 || len(w.p.queues) > 0 {
					t.Errorf("%d calls, %d still wait", now, waiting)
				}
			})
		})
	}
}

// A place that becomes free is the next network's, and within one that of the call
// that came first. A call that gives up leaves nothing behind.
func TestCallsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := newWaiters(4)
		for _, by := range []share{1, 1, nobodys, nobodys} {
			if !w.come(ctx, "", by) {
				t.Fatalf("no place for one of %d", by)
			}
		}
		leaving, leave := context.WithCancel(ctx)
		w.come(ctx, "a1", 1)
		w.come(leaving, "b1", 2)
		w.come(ctx, "b2", 2)
		w.come(ctx, "n1", nobodys)
		w.come(ctx, "n2", nobodys)
		w.come(ctx, "c1", 3)
		give := func(by share) func() { return func() { w.p.give(by) } }
		for _, step := range []struct {
			what string
			do   func()
			want string
		}{
			{"a place, and the first in the queue has its share", give(nobodys), "b1"},
			{"the next network's", give(nobodys), "n1"},
			{"a network passes its own on to the next", give(1), "c1"},
			{"its last call ends: its next one is a first one", give(1), "a1"},
			{"who has waited since its last turn", give(1), "n2"},
			{"who has its share waits on", give(nobodys), ""},
			{"time is up", func() { time.Sleep(time.Minute) }, ""},
		} {
			if got := w.after(step.do); got != step.want {
				t.Errorf("%s: %q, want %q", step.what, got, step.want)
			}
		}
		leave()
		if now, waiting := w.p.count(); now != 3 || waiting != 0 || len(w.p.queues) > 0 {
			t.Errorf("%d calls, %d that wait", now, waiting)
		}
	})
}

// A call that ends can make way for two: that of another network, and its own next
// one, which is a first one then.
func TestEndOfACallMakesWayForTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiters(4)
		for _, by := range []share{1, 2} {
			if !w.come(t.Context(), "", by) {
				t.Fatalf("no place for the first of %d", by)
			}
		}
		if w.come(t.Context(), "b", 2) || w.come(t.Context(), "a", 1) {
			t.Fatal("a second one leaves less than it has")
		}
		if got := w.after(func() { w.p.give(1) }); got != "a b" {
			t.Errorf("it made way for %q", got)
		}
	})
}

// A turn that comes as the call gives up is the next one's.
func TestTurnThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiters(1)
		w.come(t.Context(), "", nobodys)
		q, turn := &queue{of: 1}, make(chan struct{})
		call := q.calls.PushBack(turn)
		w.p.queues = append(w.p.queues, q)
		w.p.give(nobodys)
		w.come(t.Context(), "next", 2)
		if got := w.after(func() { w.p.abandon(q, call, turn) }); got != "next" {
			t.Errorf("the place went to %q", got)
		}
		if n := w.p.taken.shares[1].Load(); n != 0 {
			t.Errorf("who gave up holds %d places", n)
		}
	})
}

// A place that is free costs nothing but its counting.
func TestFreePlaceCostsNothing(t *testing.T) {
	l := &link{health: newHealth("", "")}
	ip := netip.MustParseAddr("2001:db8::1")
	n := testing.AllocsPerRun(100, func() {
		by, err := l.enter(t.Context(), ip)
		if err != nil {
			t.Fatal(err)
		}
		l.leave(by)
	})
	if n > 0 {
		t.Errorf("%g allocations", n)
	}
}
