package captcha

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// guide is one way through GeeTest's guide on failback and bypass mode.
type guide struct {
	page
}

// register asks for a challenge as the guide's page does at /register.
func (v guide) register() (doc struct {
	Success   int
	Challenge string
	GT        string
}) {
	v.t.Helper()
	r := v.do(v.request("GET", "/register", "", ""))
	if err := json.Unmarshal(r.body, &doc); err != nil || r.StatusCode != 200 || doc.GT == "" || len(doc.Challenge) != 32 {
		v.t.Fatalf("%s %s: %v", r.Status, r.body, err)
	}
	return doc
}

// online solves a challenge at GeeTest; validate submits an answer.
func (v guide) online(challenge string) url.Values {
	seccode := randomHex(16) + "|jordan"
	v.g.issue(challenge + "/" + seccode)
	return geetestAnswer(challenge, seccode[:32], seccode)
}

func (v guide) validate(answer url.Values) reply {
	return v.post("/login", formType, answer.Encode()+"&comment=precious")
}

// status makes the status API say something; learn lets the edge hear it.
func (v guide) status(answer string) {
	v.g.set(func(c providertest.Call, _ int) (int, string) {
		if c.Path == "/v1/bypass_status.php" {
			return 200, answer
		}
		return 0, ""
	})
	for range 2 {
		<-v.g.health().confirm()
	}
}

const (
	statusFail    = `{"status":"fail"}`
	statusSuccess = `{"status":"success"}`
)

func (v guide) is(s state) {
	v.t.Helper()
	if got := v.g.health().overview(time.Now()); got.state != s {
		v.t.Errorf("%s (%s), want %s", got.state, got.last.Err, s)
	}
}

// without checks that GeeTest's register and validate are left alone.
func (v guide) without(what string, do func()) {
	v.t.Helper()
	from := v.g.total()
	do()
	if n := v.g.count(callVerify, from) + v.g.count(callIssue, from); n > 0 {
		v.t.Errorf("%s: %d calls of register or validate", what, n)
	}
}

// asks is a bypass_check of a mode that is quick to decide.
func asks(mode string) string {
	return "bypass_check " + mode + " {\n\ttimeout 20s\n\tfails 1\n\tpasses 1\n}\n"
}

// guideRow is a line of the guide, and what it means here.
type guideRow struct {
	line, options string
	edit          func(site string) string
	do            func(v guide)
}

// guideModes are what the guide says of normal, bypass and failback mode.
var guideModes = []guideRow{
	{"method 1: check and update the status periodically", asks("poll 1s"), nil, func(v guide) {
		from := v.g.total() // nobody posts anything
		waitUntil(v.t, "two polls", func() bool { return v.g.count(callProbe, from) >= 2 })
		v.is(up)
		v.bypass()
	}},
	{"method 2: an instant request before register and validate", asks("request 1s"), nil, func(v guide) {
		if n := v.g.total(); n > 0 {
			v.t.Errorf("%d calls before anybody came", n)
		}
		answer := v.online(v.register().Challenge)
		if c := v.g.Calls(); v.g.sort(c[0]) != callProbe || v.g.count(callProbe, 0) != 1 {
			v.t.Errorf("before register: %+v", c)
		}
		v.handler().app.shared.asked.cache.Clear() // an answer counts for 1s
		v.g.set(func(c providertest.Call, _ int) (int, string) {
			if c.Path == "/v1/bypass_status.php" {
				return 200, statusFail
			}
			return 0, ""
		})
		v.without("the status is asked first", func() { v.want(v.validate(answer), 403, "provider-unreachable", "pow") })
		if n := v.g.count(callProbe, 0); n != 2 {
			v.t.Errorf("the status was asked %d times", n)
		}
		v.status(statusSuccess)
		v.want(v.validate(answer), 200, "", "passed")
		v.bypass()
	}},
	{"the status is not assumed: nothing is known at the start", asks("passive"), nil, func(v guide) {
		v.is(unknown)
		v.want(v.validate(v.online(v.register().Challenge)), 200, "", "passed")
		v.bypass()
	}},
	{"register in normal mode, down before validate", asks("passive"), nil, func(v guide) {
		answer := v.online(v.register().Challenge)
		v.status(statusFail)
		v.without("validate", func() { v.want(v.validate(answer), 403, "provider-unreachable", "pow") })
		v.status(statusSuccess) // it was not spent
		v.want(v.validate(answer), 200, "", "passed")
		v.want(v.validate(answer), 403, "token-duplicate", "geetest")
	}},
	{"register in bypass mode, up before validate: no proof, and in the tail as unreachable", asks("passive"), nil, func(v guide) {
		v.status(statusFail)
		doc := v.register()
		v.status(statusSuccess)
		v.without("validate", func() { v.want(v.validate(offlineAnswer(doc.Challenge)), 403, "client-reported-outage", "pow") })
	}},
	{"the same long after an outage: solve a real one", asks("passive"), nil, func(v guide) {
		v.status(statusFail)
		doc := v.register()
		v.status(statusSuccess)
		v.g.health().later(16 * time.Minute)
		v.want(v.validate(offlineAnswer(doc.Challenge)), 403, "client-reported-outage", "geetest")
	}},
	{"the widget goes offline by itself in normal mode: low trust", asks("passive"), nil, func(v guide) {
		v.want(v.validate(offlineAnswer(randomHex(16))), 403, "client-reported-outage", "geetest")
		if n := v.g.count(callVerify, 0); n > 0 {
			v.t.Errorf("%d calls of validate", n)
		}
		v.is(unknown) // and moves nothing
	}},
	{"failValidate: only where the operator says allow", asks("passive") + failover("unreachable allow"), nil, func(v guide) {
		v.status(statusFail)
		v.without("bypass mode", func() {
			v.want(v.validate(offlineAnswer(v.register().Challenge)), 200, "provider-unreachable", "failover")
		})
		v.status(statusSuccess)
		v.want(v.validate(offlineAnswer(randomHex(16))), 200, "client-reported-outage", "failover") // the tail
		v.g.health().later(time.Hour)
		v.want(v.validate(offlineAnswer(randomHex(16))), 403, "client-reported-outage", "geetest")
	}},
	{"failback mode: the status set by hand", asks("passive"), nil, func(v guide) {
		if code, body := call(v.t, "POST", "/captcha/drill/geetest", `{"for":"10m"}`); code != 204 {
			v.t.Fatalf("%d %s", code, body)
		}
		v.without("failback", func() {
			if doc := v.register(); doc.Success != 0 {
				v.t.Errorf("%+v", doc)
			}
			v.want(v.validate(v.online(randomHex(16))), 403, "provider-unreachable", "pow")
		})
		call(v.t, "DELETE", "/captcha/drill/geetest", "")
		v.want(v.validate(v.online(v.register().Challenge)), 200, "", "passed")
	}},
	{"failback mode: intermittently available, which the guide says it misses", "bypass_check passive {\n\ttimeout 20s\n}\n", nil, func(v guide) {
		answer := v.online(v.register().Challenge)
		v.g.Inject(providertest.Status502)
		v.want(v.validate(answer), 403, "provider-unreachable", "pow")
		v.is(down)
	}},
}

// guideTests are what its chapter on testing says.
var guideTests = []guideRow{
	{"test 1: an invalid id is a typo, not an outage", asks("passive") + failover("unreachable allow"),
		func(site string) string { return strings.ReplaceAll(site, gateID, "1234567890") },
		guide.typo},
	{"test 1, where the status API says fail of an id that it does not know", asks("passive") + failover("unreachable allow"),
		func(site string) string { return strings.ReplaceAll(site, gateID, "1234567890") },
		func(v guide) {
			v.status(statusFail)
			v.typo()
			v.status(statusSuccess)
			v.status(statusFail)
			v.typo()
		}},
	{"test 2: a wrong bypass URL is no outage", asks("passive") + failover("unreachable allow"), nil, func(v guide) {
		v.status("<!doctype html><title>Google</title>")
		v.is(up)
		v.want(v.validate(v.online(v.register().Challenge)), 200, "", "passed")
		v.logged(v.t, "status API does not answer")
		v.want(v.post("/login", formType, "a=1"), 403, "token-missing", "geetest")
	}},
	{"test 3: the bypass host alone is unreachable", asks("passive") + failover("unreachable allow"),
		func(site string) string {
			before, after, _ := strings.Cut(site, "bypass_url ")
			_, after, _ = strings.Cut(after, "\n")
			return before + "bypass_url http://127.0.0.1:1/v1/bypass_status.php\n" + after
		},
		func(v guide) {
			<-v.g.health().confirm()
			v.is(up)
			v.want(v.validate(v.online(v.register().Challenge)), 200, "", "passed")
			v.want(v.post("/login", formType, "a=1"), 403, "token-missing", "geetest")
		}},
	{"test 3: all of GeeTest is unreachable", asks("passive"), nil, func(v guide) {
		answer := v.online(v.register().Challenge)
		v.g.Inject(providertest.Refuse)
		v.want(v.validate(answer), 403, "provider-unreachable", "pow")
		v.is(down)
		if doc := v.register(); doc.Success != 0 {
			v.t.Errorf("%+v", doc)
		}
	}},
	{"test 3: unreachable before anybody came: register notices", asks("passive"), nil, func(v guide) {
		v.g.Inject(providertest.Refuse)
		if doc := v.register(); doc.Success != 0 {
			v.t.Errorf("%+v", doc)
		}
		v.is(down)
	}},
	{"contact GeeTest: the fail status is sent", asks("passive"), nil, guide.bypass},
}

// TestGeeTestGuide goes through GeeTest's guide with the real server: both ways to
// set the bypass status, what to do after that, failback mode, and how to test.
func TestGeeTestGuide(t *testing.T) {
	for _, row := range slices.Concat(guideModes, guideTests) {
		t.Run(row.line, func(t *testing.T) {
			g := newGateway(t, "geetest")
			site := guardSite(g, "", row.options)
			if row.edit != nil {
				site = row.edit(site)
			}
			v := guide{page{serve(t, site), g, t}}
			row.do(v)
		})
	}
}

// bypass is what to do after the status is fail: nobody communicates with GeeTest,
// the page is told, and an offline answer is no proof.
func (v guide) bypass() {
	v.t.Helper()
	v.status(statusFail)
	v.is(down)
	v.without("bypass mode", func() {
		doc := v.register()
		if doc.Success != 0 {
			v.t.Errorf("register in bypass mode: %+v", doc)
		}
		v.want(v.validate(offlineAnswer(doc.Challenge)), 403, "provider-unreachable", "pow")
		r := v.validate(v.online(randomHex(16)))
		v.want(r, 403, "provider-unreachable", "pow")
		v.want(v.form2("altcha", solveIn(v.t, r.problem(v.t).Captcha)), 200, "", "passed")
	})
	v.status(statusSuccess)
	v.is(up)
	doc := v.register()
	if doc.Success != 1 {
		v.t.Errorf("register in normal mode: %+v", doc)
	}
	v.want(v.validate(v.online(doc.Challenge)), 200, "", "passed")
}

// typo: register answers "0" for an id that does not exist. That must deny, loudly,
// and neither open the door nor count as an outage.
func (v guide) typo() {
	v.t.Helper()
	<-v.g.health().confirm()
	if s := v.g.health().standing(time.Now()); !s.wrong || s.down {
		v.t.Errorf("%+v", s)
	}
	v.want(v.validate(v.online(randomHex(16))), 503, "misconfigured", "")
	v.want(v.validate(offlineAnswer(randomHex(16))), 503, "misconfigured", "")
	v.want(v.post("/login", formType, "a=1"), 503, "misconfigured", "")
	v.logged(v.t, "refuses our configuration", "geetest")
	if s, _ := statusOf(v.t, "geetest"); !s.Misconfigured || len(s.Outages) > 0 {
		v.t.Errorf("%+v", s)
	}
}
