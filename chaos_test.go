package captcha

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	chaosFails, chaosPasses = 2, 2

	// the loop that has waited for an earlier return asks once more, where the
	// test did not wait for it; its probe may be half done as something changes
	straggler = 1

	chaosBound = 2 * time.Minute // ends a hang, measures nothing

	// for what answers at once, and for what answers never: a machine that has much
	// to do must not make a good answer a late one
	chaosPatience = 20 * time.Second
	chaosLate     = 3 * time.Second
)

// spare is how many more probes than needed there may have been since: who polls or
// asks before use asks every second, also while the test has no time to look.
func (l *lane) spare(since time.Time) int {
	if l.mode == "passive" {
		return straggler
	}
	return straggler + int(time.Since(since)/time.Second)
}

// outage breaks the provider by breaking it, sees it noticed, bears it, and mends
// it again. Where wait is false, the pauses between the probes of the return are
// skipped.
func (l *lane) outage(name string, shatter, mend func(), seen, wait bool) {
	h := l.health()
	had := len(l.outages())
	h.tenSecondsLater()
	shatter()
	from, since := l.total(), time.Now()
	if !l.until(name+": noticed", l.down) {
		return
	}
	if n := l.count(callProbe, from); seen && (n == 0 || n > chaosFails+l.spare(since)) {
		l.t.Errorf("%s: %s: confirmed down after %d failed probes, want %d", l.name, name, n, chaosFails)
	}
	// who was on the way is decided; from now on nobody asks but the probe
	l.still(func() { from = l.total() })
	l.arrivals(2)
	l.still(func() {
		if n := l.count(callVerify, from) + l.count(callIssue, from); n > 0 {
			l.t.Errorf("%s: %s: %d calls in a known outage", l.name, name, n)
		}
		mend()
		from, since = l.total(), time.Now()
	})
	h = l.health()
	for !wait && l.down() {
		<-h.confirm()
	}
	l.until(name+": over", func() bool { return !l.down() })
	if n := l.count(callProbe, from); n < chaosPasses-straggler || n > chaosPasses+l.spare(since) {
		l.t.Errorf("%s: %s: up after %d good probes, want %d", l.name, name, n, chaosPasses)
	}
	o := l.outages()
	for l.late && len(o) > had+1 && strings.Contains(o[len(o)-1].Evidence, "no answer in time") {
		o = o[:len(o)-1] // the machine of the test was later still
	}
	if len(o) != had+1 || o[had].End.IsZero() || o[had].Evidence == "" || o[had].FailedOver == 0 {
		l.t.Errorf("%s: %s: outages %+v", l.name, name, o)
	}
	l.arrivals(1)
}

// fault goes through one line of the fault table.
func (l *lane) fault(f providertest.Fault) {
	shatter, mend := func() { l.Inject(f) }, func() { l.Inject(providertest.None) }
	if l.expects(f) == provider.Unavailable {
		l.outage(string(f), shatter, mend, f != providertest.Refuse, false)
		return
	}
	h, had := l.health(), len(l.outages())
	h.tenSecondsLater()
	shatter()
	switch l.expects(f) {
	case provider.Misconfigured:
		l.until(string(f)+": misconfigured", func() bool { return h.standing(time.Now()).wrong })
		have := int64(0)
		l.still(func() { have = l.accepted.Load() })
		l.pause(150 * time.Millisecond)
		l.still(func() {
			if n := l.accepted.Load() - have; n > 0 {
				l.t.Errorf("%s: %s: a wrong key let %d posts in", l.name, f, n)
			}
		})
		mend()
		<-h.confirm()
	case provider.Throttled:
		l.until(string(f)+": throttled", func() bool { return h.standing(time.Now()).throttled })
		from := 0
		l.still(func() { from = l.total() })
		l.arrivals(2) // by the fallback
		l.still(func() {
			if n := l.count(callVerify, from); n > 0 {
				l.t.Errorf("%s: %d tokens sent to a provider that wants a pause", l.name, n)
			}
			mend()
		})
		l.until(string(f)+": over", func() bool { return !h.standing(time.Now()).throttled })
	default: // the probe is good: the visitor tries again
		l.pause(300 * time.Millisecond)
		mend()
	}
	if l.down() || len(l.outages()) != had {
		l.t.Errorf("%s: %s is no outage: %+v", l.name, f, l.outages())
	}
	l.arrivals(1)
}

// expects is the class of a fault for the provider's probe; empty where the probe
// does not see it.
func (l *lane) expects(f providertest.Fault) provider.Class {
	if l.kind == "trustcaptcha" {
		switch f {
		case providertest.Status403: // documented as a wrong key
			return provider.Misconfigured
		case providertest.TruncatedJSON, providertest.WrongTypes: // it reads the status 404
			return ""
		}
	}
	return providertest.Classes()[f]
}

func faults(list ...providertest.Fault) func(*lane) {
	return func(l *lane) {
		for _, f := range list {
			l.fault(f)
		}
	}
}

// TestChaos: every fault of the table at three real providers, whose health is
// learned in three ways, one after another, and at the same time others that flap,
// lie, are slow, half dead, or dead from the start; with steady posts of honest
// visitors and of attackers.
func TestChaos(t *testing.T) {
	var lanes []*lane
	add := func(kind, name, mode, policy string, play func(*lane)) *lane {
		l := &lane{gateway: newGateway(t, kind), t: t, name: kind + "-" + name, mode: mode, policy: policy, play: play, stop: make(chan struct{})}
		lanes = append(lanes, l)
		return l
	}
	covered := make(map[providertest.Fault]bool)
	table := func(list ...providertest.Fault) func(*lane) {
		for _, f := range list {
			covered[f] = true
		}
		return faults(list...)
	}
	for _, kind := range []string{"turnstile", "trustcaptcha", "geetest"} {
		add(kind, "passive", "passive", "fallback",
			table(providertest.Refuse, providertest.Reset, providertest.Status500, providertest.HTML, providertest.TruncatedJSON))
		add(kind, "request", "request 1s", "fallback",
			table(providertest.BadCertificate, providertest.Status502, providertest.Status403, providertest.WrongTypes, providertest.GzipBomb)).https = true
		add(kind, "poll", "poll 1s", "fallback",
			table(providertest.Status503, providertest.Empty200, providertest.Huge, providertest.Redirect))
		add(kind, "hang", "passive", "fallback", table(providertest.Hang)).late = true
		drip := add(kind, "drip", "request 1s", "fallback", table(providertest.SlowDrip))
		drip.https, drip.late = true, true
		add(kind, "quota", "poll 1s", "fallback", table(providertest.Status429))
	}
	for _, f := range providertest.Faults() {
		if !covered[f] {
			t.Errorf("nobody tries the fault %q", f)
		}
	}
	add("turnstile", "open", "request 1s", "allow", faults(providertest.Status500, providertest.Refuse))
	add("turnstile", "flapping", "poll 1s", "fallback", (*lane).flap)
	add("trustcaptcha", "half", "poll 1s", "fallback", (*lane).half)
	add("turnstile", "slow", "poll 1s", "fallback", (*lane).slow)
	add("geetest", "liar", "request 1s", "fallback", (*lane).lie)
	dead := add("trustcaptcha", "dead", "poll 1s", "fallback", (*lane).revive)
	dead.Inject(providertest.Refuse)

	site := "captcha /pow* {\n\tprovider pow {\n\t\tdifficulty 1000\n\t}\n}\n"
	for _, l := range lanes {
		site += l.site()
	}
	e := serve(t, site+"reverse_proxy {app}")
	e.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 100
	var plays sync.WaitGroup
	for _, l := range lanes {
		l.e = e
		l.wg.Go(l.visitors)
		l.wg.Go(func() { l.attackers(lanes) })
		plays.Go(func() { l.play(l) })
	}
	plays.Wait()
	for _, l := range lanes {
		close(l.stop)
		l.wg.Wait()
	}
	checkArrivals(t, e, lanes)
}

// checkArrivals: each honest post has reached the app once, whole, with what the
// policy demands, and nothing else has.
func checkArrivals(t *testing.T, e *edge, lanes []*lane) {
	t.Helper()
	byName := make(map[string]*lane)
	for _, l := range lanes {
		byName[l.name] = l
	}
	times := make(map[string]int)
	for _, s := range e.app.take() {
		form, err := url.ParseQuery(string(s.Body))
		id := form.Get("id")
		l := byName[strings.TrimPrefix(s.URI, "/")]
		if err != nil || l == nil || form.Get("comment") != "precious" {
			t.Errorf("the app saw %s %q", s.URI, s.Body)
			continue
		}
		status, by := s.Header.Get(headerStatus), s.Header.Get(headerProvider)
		switch {
		case l.policy == "allow" && status == "failover" && s.Header.Get(headerReason) == string(reasonUnreachable):
			if strings.HasPrefix(id, "evil") {
				continue // that is what allow says
			}
		case strings.HasPrefix(id, "evil"):
			t.Errorf("%s reached the app: %v", id, s.Header)
		case status != "passed" || by != l.kind && by != "pow":
			t.Errorf("%s reached the app with %s of %s", id, status, by)
		}
		times[id]++
	}
	honest, attacks := int64(0), int64(0)
	for _, l := range lanes {
		for n := int64(1); n <= l.sent.Load(); n++ {
			if id := fmt.Sprintf("honest-%s-%d", l.name, n); times[id] != 1 {
				t.Errorf("%s reached the app %d times", id, times[id])
			}
		}
		honest, attacks = honest+l.sent.Load(), attacks+l.attacks.Load()
		if l.sent.Load() == 0 || l.attacks.Load() == 0 {
			t.Errorf("%s: %d honest posts, %d attacks", l.name, l.sent.Load(), l.attacks.Load())
		}
		if len(l.Elsewhere()) > 0 {
			t.Errorf("%s: a redirect was followed", l.name)
		}
	}
	t.Logf("%d honest posts arrived once each, %d attacks did not", honest, attacks)
}

func broken(providertest.Call, int) (int, string) { return 503, `{"status":"error"}` }

// flap dies and comes back all the time: twice too briefly to count, then for
// longer, and back too briefly to count.
func (l *lane) flap() {
	for range 2 {
		l.set(broken) // one probe
		from := l.total()
		l.until("a failed probe", func() bool { return l.count(callProbe, from) > 0 })
		l.set(nil)
		l.arrivals(1)
	}
	if len(l.outages()) > 0 && l.count(callProbe, 0) < 2 {
		l.t.Errorf("%s: one failed probe made an outage", l.name)
	}
	had := len(l.outages())
	for l.set(broken); !l.down(); l.pause(5 * time.Millisecond) {
	}
	h := l.health()
	l.set(nil)
	<-h.confirm() // one good probe
	l.set(broken)
	<-h.confirm()
	if !l.down() || h.overview(time.Now()).state != down {
		l.t.Errorf("%s: one good probe ended an outage: %s", l.name, h.overview(time.Now()).state)
	}
	l.set(nil)
	for range chaosPasses {
		<-h.confirm()
	}
	if o := l.outages(); l.down() || len(o) > had+1 {
		l.t.Errorf("%s: %+v", l.name, o)
	}
	l.arrivals(1)
}

// half of all answers to verifications are a 503, then half of all answers: the
// first is no outage, whatever comes of the second.
func (l *lane) half() {
	var n atomic.Int64
	l.set(func(_ providertest.Call, what int) (int, string) {
		if what == callVerify && n.Add(1)%2 == 0 {
			return 503, ""
		}
		return 0, ""
	})
	l.arrivals(5)
	if o := l.outages(); len(o) > 0 {
		l.t.Errorf("%s: broken verifications alone made an outage: %+v", l.name, o)
	}
	l.set(func(c providertest.Call, _ int) (int, string) {
		if n.Add(1)%2 == 0 {
			return 503, ""
		}
		return 0, ""
	})
	l.arrivals(10)
	l.set(nil)
	for h := l.health(); l.down(); <-h.confirm() {
	}
	l.arrivals(1)
}

// slow answers come late, and in time: no outage.
func (l *lane) slow() {
	l.set(func(providertest.Call, int) (int, string) {
		time.Sleep(100 * time.Millisecond)
		return 0, ""
	})
	from := l.total()
	l.until("slow probes", func() bool { return l.count(callProbe, from) > 2 })
	l.arrivals(5)
	l.set(nil)
	for _, o := range l.outages() {
		if !strings.Contains(o.Evidence, "no answer in time") { // the machine of the test may be slower still
			l.t.Errorf("%s: %+v", l.name, o)
		}
	}
	for h := l.health(); l.down(); <-h.confirm() {
	}
}

// lie: GeeTest's status API says fail, then success while validate is dead, then
// nothing at all.
func (l *lane) lie() {
	says := func(answer string, validate bool) func() {
		return func() {
			l.set(func(c providertest.Call, _ int) (int, string) {
				switch {
				case c.Path == "/v1/bypass_status.php":
					return 200, answer
				case !validate:
					return 502, ""
				}
				return 0, ""
			})
		}
	}
	mend := func() { l.set(nil) }
	l.outage("it says fail", says(`{"status":"fail"}`, true), mend, true, false)
	l.outage("it says success over a dead validate", says(`{"status":"success"}`, false), mend, true, false)
	had := len(l.outages())
	says("<html>not found", true)()
	from := l.total()
	l.until("probes", func() bool { return l.count(callProbe, from) > chaosFails })
	l.arrivals(2)
	if len(l.outages()) != had {
		l.t.Errorf("%s: a status API that does not answer made an outage", l.name)
	}
	mend()
}

// revive: down at start, never reached, and back by itself.
func (l *lane) revive() {
	l.outage("down at start", func() {}, func() { l.Inject(providertest.None) }, false, true)
	if o := l.health().overview(time.Now()); !o.reached || o.state != up {
		l.t.Errorf("%s: %+v", l.name, o)
	}
}
