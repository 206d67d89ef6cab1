package captcha

import (
	"slices"
	"testing"
	"time"
)

var allActions = []action{allow, deny, challenge, fallback}

// The whole space of situations, actions and chains: nothing opens the door but
// an allow that the table permits.
func TestDecisionsOfEverySituation(t *testing.T) {
	now := time.Now()
	for s, r := range policyTable {
		for _, a := range allActions {
			for _, hasFallback := range []bool{true, false} {
				p := policy{actions: map[situation]action{s: a}, grace: defaultGrace}
				d := decide(modeEnforce, in(s), p, standing{}, hasFallback, now)
				permitted := s.check(a) == nil
				if permitted != (a == r.standard || slices.Contains(r.others, a)) {
					t.Errorf("%s %s: permitted %v", s, a, permitted)
				}
				if !permitted {
					continue // refused at load
				}
				want := map[action]verb{allow: verbForward, deny: verbDeny, challenge: verbChallenge, fallback: verbChallenge}[a]
				if a == fallback && !hasFallback {
					want = verbDeny
				}
				if d.verb != want || d.failover != s || want == verbDeny && (d.status != r.status || d.retry != r.retry || d.fallback) {
					t.Errorf("%s %s, fallback left %v: %+v", s, a, hasFallback, d)
				}
			}
		}
		if r.standard == allow && s != providerFailover {
			t.Errorf("%s is open by default", s)
		}
	}
	for _, s := range []situation{misconfigured, throttled, widgetBlocked} {
		if s.check(allow) == nil {
			t.Errorf("%s allow is accepted", s)
		}
	}
}

func TestPolicyOverTimeD48(t *testing.T) {
	now := time.Now()
	p, err := (&Failover{Unreachable: &Unreachable{Action: allow, For: 3600e9, Then: deny}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    situation
		at   standing
		want action
	}{
		{"outage begins", unreachable, standing{down: true, start: now}, allow},
		{"just before", unreachable, standing{down: true, start: now.Add(-time.Hour + time.Second)}, allow},
		{"after an hour", unreachable, standing{down: true, start: now.Add(-time.Hour)}, deny},
		{"client's word alone", clientReported, standing{}, challenge},
		{"in the tail of our own outage", clientReported, standing{lastEnd: now.Add(-14 * time.Minute)}, allow},
		{"after it", clientReported, standing{lastEnd: now.Add(-15 * time.Minute)}, challenge},
		{"quota", throttled, standing{}, fallback},
		{"wrong key", misconfigured, standing{}, deny},
		{"passed by the provider", providerFailover, standing{}, allow},
		{"blocked widget", widgetBlocked, standing{}, deny},
	} {
		if got := p.action(c.s, c.at, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Promise 4: a weaker proof counts only while the stronger is confirmed down, and
// for a short grace after it if its challenge was issued in the outage.
func TestFallbackProofs(t *testing.T) {
	now := time.Now()
	start := now.Add(-time.Hour)
	p := policy{grace: 5 * time.Minute}
	for _, c := range []struct {
		name   string
		s      situation
		issued time.Time
		at     standing
		want   bool
	}{
		{"in the outage", unreachable, now.Add(-time.Minute), standing{down: true, start: start}, true},
		{"from before the outage", unreachable, start.Add(-time.Second), standing{down: true, start: start}, false},
		{"within the grace", unreachable, now.Add(-6 * time.Minute), standing{start: start, end: now.Add(-4 * time.Minute)}, true},
		{"after the grace", unreachable, now.Add(-6 * time.Minute), standing{start: start, end: now.Add(-6 * time.Minute)}, false},
		{"never an outage", unreachable, now, standing{}, false},
		{"from an earlier outage", unreachable, now.Add(-2 * time.Hour), standing{start: start, end: now.Add(-time.Minute)}, false},
		{"quota, shared", throttled, now.Add(-30 * time.Minute), standing{throttled: true}, true},
		{"quota, of one request", throttled, now.Add(-4 * time.Minute), standing{}, true},
		{"quota, long ago", throttled, now.Add(-6 * time.Minute), standing{}, false},
		{"reported by the client", clientReported, now.Add(-4 * time.Minute), standing{}, true},
		{"reported long ago", clientReported, now.Add(-6 * time.Minute), standing{}, false},
	} {
		if got := p.entitled(role{situation: c.s}, c.issued, c.at, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What never steps down has no use for a fallback's proof.
func TestWhatStepsDownD126(t *testing.T) {
	to := func(s situation, a action) policy { return policy{actions: map[situation]action{s: a}} }
	for _, c := range []struct {
		name string
		p    policy
		s    situation
		want bool
	}{
		{"by default", policy{}, unreachable, true},
		{"never by default", policy{}, widgetBlocked, false},
		{"as written", to(widgetBlocked, fallback), widgetBlocked, true},
		{"denied", to(unreachable, deny), unreachable, false},
		{"at first", policy{until: time.Hour, then: deny}, unreachable, true},
		{"in the end", policy{actions: map[situation]action{unreachable: deny}, until: time.Hour, then: fallback}, unreachable, true},
		{"reported, tolerated", policy{tolerate: time.Minute}, clientReported, true},
		{"reported, not tolerated", policy{}, clientReported, false},
		{"reported, tolerated, denied", policy{actions: map[situation]action{unreachable: deny}, tolerate: time.Minute}, clientReported, false},
	} {
		if got := c.p.stepsDown(c.s); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
