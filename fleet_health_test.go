package captcha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func (s *sharedStore) Follow(ctx context.Context, joined func(), heard func(string, []byte)) {
	s.mu.Lock()
	s.heard = append(s.heard, heard)
	s.mu.Unlock()
	joined()
	<-ctx.Done()
}

func (s *sharedStore) Post(ctx context.Context, name string, text []byte, _ time.Duration) error {
	if err := s.trouble(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.texts[name] = text
	all := s.heard
	s.mu.Unlock()
	for _, heard := range all {
		heard(name, text)
	}
	return nil
}

func (s *sharedStore) Read(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts[name], nil
}

func (s *sharedStore) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := s.trouble(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[name]
	if l.until.After(time.Now()) && l.holder != holder {
		return false, nil
	}
	s.leases[name] = lease{holder, time.Now().Add(ttl)}
	return ttl > 0, nil
}

func (s *sharedStore) Secret(_ context.Context, offer []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil {
		s.secret = offer
	}
	return s.secret, nil
}

// fleetNode is a node of a fleet that has one provider.
type fleetNode struct {
	*health
	keeper *keeper
	asker  *testAsker
	logs   *observer.ObservedLogs
}

func newFleetNode(s *sharedStore, check *BypassCheck) fleetNode {
	core, logs := observer.New(zap.DebugLevel)
	n := fleetNode{health: newHealth("id", "fake"), asker: new(testAsker), logs: logs}
	n.keeper, _, _ = newNode(s, failureLocal)
	n.identity = "fake\x00{secret}"
	n.keeper.start()
	n.start(n.asker, check.resolve(false), reporter{logger: zap.New(core), metrics: new(metrics)}, n.keeper.fleet())
	synctest.Wait()
	return n
}

func (n fleetNode) stop() {
	_ = n.Destruct()
	_ = n.keeper.Destruct()
}

func (n fleetNode) down() bool { return n.standing(time.Now()).down }

func newNodes(n int, check *BypassCheck) (s *sharedStore, nodes []fleetNode, stop func()) {
	s = newSharedStore()
	for range n {
		nodes = append(nodes, newFleetNode(s, check))
	}
	return s, nodes, func() {
		for _, n := range nodes {
			n.stop()
		}
	}
}

func probes(nodes []fleetNode) (n int32) {
	for _, x := range nodes {
		n += x.asker.calls.Load()
	}
	return n
}

// An outage that one node has confirmed is known by all at once, and one node
// waits for the provider's return on behalf of all.
func TestFleetSharesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, stop := newNodes(5, nil)
		defer stop()
		for _, n := range nodes {
			n.asker.fail(errDown)
		}
		<-nodes[3].doubt()
		synctest.Wait()
		for i, n := range nodes {
			if s := n.standing(time.Now()); !s.down || s.start.IsZero() || n.asker.calls.Load() != 0 && i != 3 {
				t.Errorf("node %d: %+v after %d probes", i, s, n.asker.calls.Load())
			}
		}
		before := probes(nodes)
		time.Sleep(time.Minute)
		if n := probes(nodes) - before; n < 8 || n > 30 {
			t.Errorf("%d probes of 5 nodes in a minute of an outage, want about 12", n)
		}
		for _, n := range nodes {
			n.asker.mend()
		}
		time.Sleep(45 * time.Second)
		for i, n := range nodes {
			s := n.standing(time.Now())
			o := n.overview(time.Now())
			if s.down || s.lastEnd.IsZero() || len(o.outages) != 1 || !o.reached {
				t.Errorf("node %d: %+v, %+v", i, s, o)
			}
		}
	})
}

func TestFleetPollsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, stop := newNodes(4, &BypassCheck{Mode: checkPoll, Interval: caddy.Duration(10 * time.Second)})
		defer stop()
		time.Sleep(time.Minute)
		before := probes(nodes)
		time.Sleep(10 * time.Minute)
		if n := probes(nodes) - before; n < 50 || n > 75 {
			t.Errorf("%d probes of 4 nodes in 10 minutes, want about 60", n)
		}
		leader := -1
		for i, n := range nodes {
			n.mu.Lock()
			if n.speaks.After(time.Now()) {
				leader = i
			}
			n.mu.Unlock()
		}
		if leader < 0 {
			t.Fatal("nobody leads")
		}
		nodes[leader].stop() // as if it had been killed: it gives nothing up
		rest := append(append([]fleetNode(nil), nodes[:leader]...), nodes[leader+1:]...)
		before = probes(rest)
		time.Sleep(20 * time.Second)
		if n := probes(rest) - before; n < 1 || n > 3 {
			t.Errorf("%d probes within two intervals after the leader's death", n)
		}
		for _, n := range rest {
			n.asker.fail(errDown)
		}
		time.Sleep(13 * time.Second)
		for i, n := range rest {
			if !n.down() {
				t.Errorf("node %d does not know that it is down", i)
			}
		}
	})
}

// One node's broken egress is its own trouble.
func TestFleetDoesNotFlap(t *testing.T) {
	for name, check := range map[string]*BypassCheck{"passive": nil, "poll": {Mode: checkPoll, Interval: caddy.Duration(10 * time.Second)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, nodes, stop := newNodes(3, check)
				defer stop()
				time.Sleep(time.Minute)
				nodes[0].asker.fail(errDown)
				var wasDown time.Duration
				for end := time.Now().Add(time.Hour); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					if time.Now().Nanosecond() == 0 {
						nodes[0].doubt() // its visitors' tokens meet no verdict
					}
					if nodes[1].down() {
						wasDown += 100 * time.Millisecond
					}
				}
				if !nodes[0].down() || nodes[1].down() || nodes[2].down() {
					t.Errorf("down: %t %t %t", nodes[0].down(), nodes[1].down(), nodes[2].down())
				}
				if n := len(nodes[1].overview(time.Now()).outages); n > 1 || wasDown > 15*time.Second {
					t.Errorf("the others saw %d outages, %s", n, wasDown)
				}
				if nodes[0].logs.FilterMessageSnippet("check its egress").Len() != 1 {
					t.Errorf("%v", nodes[0].logs.All())
				}
				nodes[0].asker.mend()
				time.Sleep(30 * time.Second)
				if nodes[0].down() {
					t.Error("still alone")
				}
			})
		})
	}
}

// A node that comes later learns what is going on; one without the store acts for
// itself.
func TestFleetNewcomersAndLoners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes, stop := newNodes(2, nil)
		defer stop()
		for _, n := range nodes {
			n.asker.fail(errDown)
		}
		<-nodes[0].doubt()
		nodes[0].drill(time.Now().Add(time.Hour), time.Now())
		late := newFleetNode(s, nil)
		defer late.stop()
		synctest.Wait()
		if o := late.overview(time.Now()); !o.drill || len(o.outages) != 2 || late.asker.calls.Load() != 0 {
			t.Errorf("%+v", o)
		}
		nodes[1].stopDrill(time.Now())
		synctest.Wait()
		for _, n := range []fleetNode{nodes[0], nodes[1], late} {
			if n.overview(time.Now()).drill {
				t.Error("the drill did not end everywhere")
			}
		}
		s.fail(errTrouble, false)
		time.Sleep(5 * time.Second)
		for _, n := range nodes {
			n.asker.mend()
		}
		time.Sleep(31 * time.Second)
		if nodes[0].down() || nodes[1].down() {
			t.Error("without the store, a node does not find out by itself")
		}
	})
}

// What the fleet knows comes while a config begins, and is told to whom it concerns.
func TestFleetNewcomersInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes, stop := newNodes(1, nil)
		defer stop()
		nodes[0].asker.fail(errDown)
		<-nodes[0].doubt()
		for range 50 {
			late := newFleetNode(s, nil)
			if told := late.logs.FilterMessageSnippet("another node tells").Len(); !late.down() || told != 1 {
				t.Fatalf("down: %t, told %d times", late.down(), told)
			}
			late.stop()
		}
	})
}

// A drill may come for a provider of a config that does not run yet.
func TestDrillBeforeAConfigRuns(t *testing.T) {
	h := newHealth("id", "fake")
	defer func() { _ = h.Destruct() }()
	now := time.Now()
	h.drill(now.Add(time.Hour), now)
	if !h.standing(now).down {
		t.Error("no drill")
	}
	h.stopDrill(now)
}

// What an operator says of a drill while the store is away is told once it is
// back, and an older word does not take it back.
func TestDrillsOutliveTheStoresAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes, stop := newNodes(3, nil)
		defer stop()
		drills := func(want bool, when string) {
			t.Helper()
			for i, n := range nodes {
				if n.overview(time.Now()).drill != want {
					t.Errorf("%s: node %d drills: %t", when, i, !want)
				}
			}
		}
		away := func(during func()) {
			s.fail(errTrouble, false)
			time.Sleep(5 * time.Second)
			during()
			time.Sleep(2 * time.Minute)
			s.fail(nil, false)
			time.Sleep(10 * time.Second)
		}
		nodes[0].drill(time.Now().Add(time.Hour), time.Now())
		time.Sleep(time.Second)
		drills(true, "begun")
		away(func() { nodes[1].stopDrill(time.Now()) })
		drills(false, "ended without the store")
		away(func() { nodes[2].drill(time.Now().Add(time.Hour), time.Now()) })
		drills(true, "begun without the store")
		away(func() { clear(s.texts) })
		late := newFleetNode(s, nil)
		defer late.stop()
		if !late.overview(time.Now()).drill {
			t.Error("a store that was emptied has ended the drill for who comes later")
		}
		time.Sleep(time.Hour)
		drills(false, "over")
	})
}

func TestFleetSharesThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, stop := newNodes(2, nil)
		defer stop()
		<-nodes[0].confirm()
		nodes[0].asker.fail(&provider.Fault{Class: provider.Throttled, Err: errors.New("quota"), RetryAfter: 7 * time.Second})
		<-nodes[0].confirm()
		synctest.Wait()
		if s := nodes[1].standing(time.Now()).situation(); s != throttled {
			t.Errorf("situation %q", s)
		}
		time.Sleep(8 * time.Second)
		if s := nodes[1].standing(time.Now()).situation(); s != "" {
			t.Errorf("situation %q", s)
		}
	})
}

// What is on the board names no secret, and what is not exactly ours says nothing.
func TestFleetTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes, stop := newNodes(2, nil)
		defer stop()
		nodes[0].asker.fail(&provider.Fault{Class: provider.Unavailable, Err: errors.New("odd\x1b[31m " + strings.Repeat("ä", 300))})
		<-nodes[0].doubt()
		synctest.Wait()
		if !nodes[1].down() {
			t.Fatal("not told")
		}
		var name, text string
		for n, v := range s.texts {
			name, text = n, string(v)
		}
		if strings.Contains(name+text, "secret") || strings.Contains(name, "fake") || strings.Contains(text, `\u001b`) {
			t.Errorf("%s %s", name, text)
		}
		now := time.Now()
		if _, ok := parseHealthText([]byte(text), now); !ok {
			t.Fatalf("not what we write: %s", text)
		}
		for _, odd := range []string{
			"", "null", "{}", "[]", text + "x", text + text, strings.Replace(text, `"v":1`, `"v":2`, 1), strings.Replace(text, `"v":1`, `"v":1,"w":1`, 1),
			strings.Replace(text, `"down"`, `"open"`, 1), strings.Replace(text, `"node":"`, `"node":" `, 1), strings.Replace(text, `"probe":"`, `"probe":"\u001b`, 1),
			strings.Replace(text, `"probe":"`, `"probe":"`+strings.Repeat("x", 300), 1), strings.Replace(text, `"end":0`, `"end":1`, 1),
			strings.Replace(text, `"at":`, `"at":9`, 1), strings.Replace(text, `"since":`, `"since":-`, 1), strings.Replace(text, `"start":`, `"start":9`, 1),
			strings.Replace(text, `"outages":[`, `"outages":[`+strings.Repeat(`{"start":1,"end":2,"evidence":""},`, maxTold), 1),
		} {
			if odd == text {
				t.Fatal("nothing was replaced")
			}
			if _, ok := parseHealthText([]byte(odd), now); ok {
				t.Errorf("accepted %.300s", odd)
			}
			nodes[1].fleet.hear(name, []byte(odd))
		}
		for _, odd := range []string{"", "{}", `{"v":1,"node":"x","at":1,"until":-1}`, fmt.Sprintf(`{"v":1,"node":"x","at":1,"until":%d}`, now.Add(25*time.Hour).UnixMilli())} {
			if _, ok := parseDrillText([]byte(odd), now); ok {
				t.Errorf("accepted %s", odd)
			}
		}
		nodes[1].fleet.hear("health/unknown", []byte(text))
		if len(nodes[1].overview(now).outages) != 1 {
			t.Error("something odd was believed")
		}
	})
}
