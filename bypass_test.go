package captcha

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestMachineD46(t *testing.T) {
	for _, c := range []struct {
		name          string
		probes        string // + good, - failed
		fails, passes int
		want          state
	}{
		{"nothing known", "", 2, 2, unknown},
		{"good", "+", 2, 2, up},
		{"one failure", "-", 2, 2, suspect},
		{"one failure after good ones", "++-", 2, 2, suspect},
		{"two failures", "--", 2, 2, down},
		{"failures that do not follow each other", "-+-+-", 2, 2, suspect},
		{"first failure is enough", "-", 1, 1, down},
		{"one good one", "--+", 2, 2, recovering},
		{"two good ones", "--++", 2, 2, up},
		{"a relapse begins anew", "--+-+", 2, 2, recovering},
		{"a relapse is down", "--+-", 2, 2, down},
		{"first good one is enough", "--+", 2, 1, up},
		{"up again forgets", "--++-", 2, 2, suspect},
	} {
		m := machine{state: unknown}
		for _, p := range c.probes {
			m.observe(p == '+', c.fails, c.passes, time.Now())
		}
		if m.state != c.want {
			t.Errorf("%s: %s, want %s", c.name, m.state, c.want)
		}
	}
}

// asked is a provider that answers probes as a test says.
type testAsker struct {
	err   atomic.Pointer[error]
	calls atomic.Int32
	panic bool
}

func (a *testAsker) Probe(context.Context) error {
	a.calls.Add(1)
	if a.panic {
		panic("odd answer")
	}
	if err := a.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (a *testAsker) fail(err error) { a.err.Store(&err) }
func (a *testAsker) mend()          { a.err.Store(nil) }

var errDown = &provider.Fault{Class: provider.Unavailable, Err: errors.New("refused")}

func quiet() reporter { return reporter{logger: zap.NewNop(), metrics: new(metrics)} }

// startHealth begins to ask about a provider, in a bubble of synctest.
func startHealth(t *testing.T, check *BypassCheck) (*health, *testAsker) {
	t.Helper()
	h, a := newHealth("id", "fake"), new(testAsker)
	t.Cleanup(func() { _ = h.Destruct() })
	h.start(a, check.resolve(false), quiet(), nil)
	return h, a
}

func TestPassiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := startHealth(t, nil)
		synctest.Wait()
		if a.calls.Load() != 0 {
			t.Error("passive asked by itself")
		}
		a.fail(errDown)
		start := time.Now()
		for range 100 { // failed verifications of any number of clients
			h.doubt()
		}
		<-h.doubt()
		if s := h.standing(time.Now()); !s.down || a.calls.Load() != 2 || time.Since(start) > time.Second {
			t.Fatalf("%+v after %d probes and %s", s, a.calls.Load(), time.Since(start))
		}
		time.Sleep(time.Minute + time.Second)
		if n := a.calls.Load(); n != 2+12 {
			t.Errorf("%d probes in the first minute of an outage, want one in 5s", n-2)
		}
		a.mend()
		time.Sleep(15*time.Second + time.Millisecond)
		if s := h.standing(time.Now()); !s.down {
			t.Error("up after one good probe")
		}
		time.Sleep(15 * time.Second)
		if s := h.standing(time.Now()); s.down || s.lastEnd.IsZero() {
			t.Errorf("not up again: %+v", s)
		}
		if o := h.overview(time.Now()).outages; len(o) != 1 || o[0].Evidence != "unavailable: refused" || o[0].End.IsZero() {
			t.Errorf("outages %+v", o)
		}
	})
}

// Promise 3: odd tokens move nothing while the probe is good.
func TestFailedVerificationsAloneMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := startHealth(t, nil)
		for range 1000 {
			<-h.doubt()
			time.Sleep(50 * time.Millisecond)
		}
		if s := h.standing(time.Now()); s.down || h.overview(time.Now()).state != up {
			t.Errorf("%+v", s)
		}
		if n := a.calls.Load(); n > 6 {
			t.Errorf("%d probes in 50 s: failed verifications start at most one confirmation in 10 s", n)
		}
	})
}

func TestPollingHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := startHealth(t, &BypassCheck{Mode: checkPoll})
		time.Sleep(time.Minute)
		if n := a.calls.Load(); n < 5 || n > 8 {
			t.Errorf("%d probes in a minute, want about 6", n)
		}
		a.fail(errDown)
		time.Sleep(12 * time.Second)
		if !h.standing(time.Now()).down {
			t.Error("not noticed within an interval and a confirmation")
		}
		a.mend()
		time.Sleep(11 * time.Second)
		if h.standing(time.Now()).down {
			t.Error("return not noticed")
		}
		// a reload with another mode ends the poller
		h.start(a, (&BypassCheck{Mode: checkPassive}).resolve(false), quiet(), nil)
		synctest.Wait()
		before := a.calls.Load()
		time.Sleep(time.Hour)
		if n := a.calls.Load(); n != before {
			t.Errorf("%d probes after polling was turned off", n-before)
		}
		a.panic = true
		<-h.confirm()
		if !h.standing(time.Now()).down {
			t.Error("a probe that panics is a failed probe")
		}
	})
}

func TestOperatorErrorIsNoOutageD44(t *testing.T) { // promise 6
	synctest.Test(t, func(t *testing.T) {
		h, a := startHealth(t, nil)
		a.fail(&provider.Fault{Class: provider.Misconfigured, Err: errors.New("bad secret")})
		<-h.confirm()
		if s := h.standing(time.Now()).situation(); s != misconfigured {
			t.Errorf("situation %q", s)
		}
		a.fail(&provider.Fault{Class: provider.Throttled, Err: errors.New("quota"), RetryAfter: 7 * time.Second})
		<-h.confirm()
		a.mend()
		<-h.confirm()
		if s := h.standing(time.Now()).situation(); s != throttled {
			t.Errorf("situation %q", s)
		}
		time.Sleep(7 * time.Second)
		if s := h.standing(time.Now()).situation(); s != "" {
			t.Errorf("situation %q", s)
		}
	})
}

func TestDrill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth("id", "fake")
		defer h.Destruct()
		h.start(new(testAsker), (*BypassCheck)(nil).resolve(false), quiet(), nil)
		h.drill(time.Now().Add(10*time.Minute), time.Now())
		if s := h.standing(time.Now()); !s.down || !s.lastEnd.IsZero() {
			t.Errorf("%+v", s)
		}
		time.Sleep(10*time.Minute + time.Second)
		if s := h.standing(time.Now()); s.down || !s.lastEnd.IsZero() || s.end.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}
