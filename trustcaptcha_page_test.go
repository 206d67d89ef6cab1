package captcha

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// page is one visit to TrustCaptcha's page, Failover Behavior.
type page struct {
	*edge
	g *gateway
	t *testing.T
}

// guard serves a gateway with options of the provider and of the directive.
func guard(t *testing.T, g *gateway, providerOptions, options string) *edge {
	t.Helper()
	e := serve(t, "respond 404")
	e.load(listening, guardSite(g, providerOptions, options))
	return e
}

func guardSite(g *gateway, providerOptions, options string) string {
	more := []string{}
	if providerOptions != "" {
		more = append(more, providerOptions)
	}
	if !strings.Contains(options, "bypass_check") {
		options += "\nbypass_check passive {\n\ttimeout 1s\n\tfails 1\n\tpasses 1\n}"
	}
	return "captcha /login* {\n" + g.block(false, more...) + "\nfallback pow {\n\tdifficulty 1000\n}\n" + options +
		"\n}\ncaptcha_challenge /register\nreverse_proxy {app}"
}

func (p page) send(token string) reply {
	return p.form2("tc-verification-token", token)
}

func (e *edge) form2(field, token string) reply {
	return e.post("/login", formType, form(field, token))
}

// regular is a token that TrustCaptcha would pass.
func (p page) regular() string { return trustToken(p.g.issue(randomUUID()), false) }

// total is scenario 2, and over ends it.
func (p page) total() {
	p.t.Helper()
	p.g.health().tenSecondsLater()
	p.g.Inject(providertest.Refuse)
	p.send(p.regular())
	if !p.g.health().standing(time.Now()).down {
		p.t.Fatal("not noticed")
	}
	p.app.take()
}

func (p page) over() {
	p.t.Helper()
	p.g.Inject(providertest.None)
	<-p.g.health().confirm()
	if p.g.health().standing(time.Now()).down {
		p.t.Fatal("still down")
	}
}

// later moves the records of all outages into the past.
func (h *health) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.outages {
		o := &h.outages[i]
		o.Start = o.Start.Add(-d)
		if !o.End.IsZero() {
			o.End = o.End.Add(-d)
		}
	}
}

func (p page) says(status int, decisionType string) {
	p.g.set(func(c providertest.Call, what int) (int, string) {
		if what != callVerify {
			return 0, ""
		}
		id := strings.Split(c.Path, "/")[3]
		if status == 200 {
			return 200, trustResult(id, decisionType, "ALLOW", decisionType != "DEFAULT")
		}
		return status, "{}"
	})
}

func failover(words string) string { return "failover {\n" + words + "\n}" }

// want checks an answer: forwarded with a status and a reason, or a status of ours
// with a reason and the provider of the new challenge.
func (p page) want(r reply, status int, reason, by string) {
	p.t.Helper()
	if status == 200 {
		s := p.wantForwarded(r)
		if s.Header.Get(headerStatus) != by || s.Header.Get(headerReason) != reason {
			p.t.Errorf("the app was told %q %q, want %q %q", s.Header.Get(headerStatus), s.Header.Get(headerReason), by, reason)
		}
		return
	}
	doc := p.wantProblem(r, status, reason)
	if got := string(doc.Captcha); (by == "") != (got == "") || by != "" && !strings.Contains(got, `"provider":"`+by+`"`) {
		p.t.Errorf("new challenge %q, want one of %q", got, by)
	}
	if retry := r.Header.Get("Retry-After") != ""; status == 503 && retry == (reason == "misconfigured") {
		p.t.Errorf("Retry-After %v with %s", retry, reason)
	}
}

// pageRow is a line of the page, and what it means here.
type pageRow struct {
	line              string
	provider, options string
	do                func(p page)
}

// clientFailover is the option that lets the widget make such tokens.
const clientFailover = "client_failover"

// pageDisruption is its first scenario: an internal disruption.
var pageDisruption = []pageRow{
	{"1: the user passes the form; decisionType FAILOVER", "", "", func(p page) {
		p.says(200, "FAILOVER")
		p.want(p.send(p.regular()), 200, "provider-failover", "failover")
	}},
	{"1: or FAILOVER_TOLERANCE", "", "", func(p page) {
		p.says(200, "FAILOVER_TOLERANCE")
		token := p.regular()
		p.want(p.send(token), 200, "provider-failover", "failover")
		p.want(p.send(token), 403, "token-duplicate", "trustcaptcha")
	}},
	{"1: so you can tell apart a regular pass", "", "", func(p page) {
		p.want(p.send(p.regular()), 200, "", "passed")
	}},
	{"1: high-security integrations: reject", "", failover("provider_failover deny"), func(p page) {
		p.says(200, "FAILOVER")
		p.want(p.send(p.regular()), 503, "provider-failover", "")
	}},
	{"1: or step up", "", failover("provider_failover fallback"), func(p page) {
		p.says(200, "FAILOVER")
		r := p.send(p.regular())
		p.want(r, 403, "provider-failover", "pow")
		p.want(p.form2("altcha", solveIn(p.t, r.problem(p.t).Captcha)), 200, "", "passed")
	}},
	{"1: or ask again", "", failover("provider_failover challenge"), func(p page) {
		p.says(200, "FAILOVER")
		p.want(p.send(p.regular()), 403, "provider-failover", "trustcaptcha")
	}},
}

// pageOutage is its second: a total outage, where our server cannot reach them (2.3 A).
var pageOutage = []pageRow{
	{"2: your backend cannot reach our API: by default the built-in proof of work", "", "", func(p page) {
		<-p.g.health().confirm() // it was reached before
		p.total()
		token := p.regular()
		r := p.send(token)
		p.want(r, 403, "provider-unreachable", "pow")
		p.want(p.form2("altcha", solveIn(p.t, r.problem(p.t).Captcha)), 200, "", "passed")
		hear(p.t, "captcha.outage_started")
		p.logged(p.t, "the provider is down", "trustcaptcha", "evidence")
		if s, _ := statusOf(p.t, "trustcaptcha"); s.FailedOver != 2 || s.State != down || !s.Reached {
			p.t.Errorf("%+v", s)
		}
		p.over()
		hear(p.t, "captcha.outage_ended")
		p.want(p.send(token), 200, "", "passed") // it was not spent
	}},
	{"2.3 A: allow it, but log the incident", "", failover("unreachable allow"), func(p page) {
		p.total()
		p.want(p.send(p.regular()), 200, "provider-unreachable", "failover")
		p.want(p.post("/login", formType, "no=widget"), 200, "provider-unreachable", "failover")
		p.logged(p.t, `"failover"`, "unreachable", "allow", "trustcaptcha")
		if s, _ := statusOf(p.t, "trustcaptcha"); s.FailedOver != 3 {
			p.t.Errorf("%+v", s)
		}
	}},
	{"2.3 A: fail closed", "", failover("unreachable deny"), func(p page) {
		p.total()
		p.want(p.send(p.regular()), 503, "provider-unreachable", "")
	}},
	{"2.3 A: a gateway that answers 503 is as dead", "", "", func(p page) {
		p.g.Inject(providertest.Status503)
		p.want(p.send(p.regular()), 403, "provider-unreachable", "pow")
	}},
	{"2.3 A: anything to verify in advance? the egress firewall", "", "", func(p page) {
		p.total()
		hear(p.t, "captcha.never_reached")
		hear(p.t, "captcha.outage_started")
		p.logged(p.t, "check the egress firewall", "trustcaptcha")
		if s, _ := statusOf(p.t, "trustcaptcha"); s.Reached {
			p.t.Errorf("%+v", s)
		}
	}},
	{"checklist: doesn't silently become the new normal", "", failover("unreachable allow for 1h then deny"), func(p page) {
		p.total()
		p.want(p.send(p.regular()), 200, "provider-unreachable", "failover")
		p.g.health().later(time.Hour)
		p.want(p.send(p.regular()), 503, "provider-unreachable", "")
	}},
}

// pageClientFailover is the client-failover token (2.2 and 2.3 B).
var pageClientFailover = []pageRow{
	{"2.2: none are on by default", "", "", func(p page) {
		p.want(p.send(trustToken(randomUUID(), true)), 403, "token-invalid", "trustcaptcha")
		if n := p.g.total(); n > 0 {
			p.t.Errorf("%d calls", n)
		}
	}},
	{"2.2: the request reaches our gateway with ?clientFailover=true; no outage on record: 412", clientFailover, "", func(p page) {
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "trustcaptcha")
		if c := p.g.Calls(); len(c) != 1 || c[0].Query.Encode() != "clientFailover=true" {
			p.t.Errorf("%+v", c)
		}
	}},
	{"2.2: a recent outage on record of theirs: 200", clientFailover, "", func(p page) {
		p.says(200, "FAILOVER_TOLERANCE")
		token := trustToken(randomUUID(), true)
		p.want(p.send(token), 200, "provider-failover", "failover")
		p.want(p.send(token), 403, "token-duplicate", "trustcaptcha")
	}},
	{"2.3 B: reject", clientFailover, failover("client_reported deny"), func(p page) {
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "")
	}},
	{"2.3 B: step up", clientFailover, failover("client_reported fallback"), func(p page) {
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "pow")
	}},
	{"2.3 B: a claim costs its token", clientFailover, failover("client_reported allow"), func(p page) {
		token := trustToken(randomUUID(), true)
		p.want(p.send(token), 200, "client-reported-outage", "failover")
		p.want(p.send(token), 403, "token-duplicate", "trustcaptcha")
	}},
	{"2.3 B: in the outage itself nobody is asked", clientFailover, "", func(p page) {
		p.total()
		from := p.g.total()
		p.want(p.send(trustToken(randomUUID(), true)), 403, "provider-unreachable", "pow")
		if n := p.g.total() - from; n > 0 {
			p.t.Errorf("%d calls", n)
		}
	}},
	{"2.3 B: the tail end of an outage that we saw ourselves", clientFailover, "", func(p page) {
		p.total()
		p.over()
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "pow")
	}},
	{"2.3 B: ... and with unreachable allow", clientFailover, failover("unreachable allow"), func(p page) {
		p.total()
		p.over()
		p.want(p.send(trustToken(randomUUID(), true)), 200, "client-reported-outage", "failover")
		p.want(p.post("/login", formType, "no=token"), 403, "token-missing", "trustcaptcha")
	}},
	{"2.3 B: only for the same time window", clientFailover, failover("unreachable allow"), func(p page) {
		p.total()
		p.over()
		p.g.health().later(15 * time.Minute)
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "trustcaptcha")
	}},
	{"2.3 B: tolerate 0 turns it off", clientFailover, failover("unreachable allow\nclient_reported challenge tolerate 0"), func(p page) {
		p.total()
		p.over()
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "trustcaptcha")
	}},
	{"2.3 B: a drill is no outage that a client could have seen", clientFailover, failover("unreachable allow"), func(p page) {
		h := p.g.health()
		h.drill(time.Now().Add(time.Minute), time.Now())
		h.stopDrill(time.Now())
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "trustcaptcha")
	}},
}

// pageChecklist is its operational checklist.
var pageChecklist = []pageRow{
	{"checklist: log every failover exception", clientFailover, "", func(p page) {
		p.want(p.send(trustToken(randomUUID(), true)), 403, "client-reported-outage", "trustcaptcha")
		p.logged(p.t, `"failover"`, "client_reported", "challenge", "trustcaptcha")
		p.total()
		p.send(p.regular())
		p.logged(p.t, `"failover"`, `"unreachable"`, "fallback", "trustcaptcha")
	}},
	{"checklist: self-host the widget", "script_url https://own.example/trustcaptcha.js", "", func(p page) {
		r := p.browse("same-origin", "/login", formType, "comment=precious")
		if r.StatusCode != 403 || !strings.Contains(string(r.body), "https://own.example/trustcaptcha.js") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "https://own.example") ||
			strings.Contains(string(r.body), "cdn.trustcomponent.com") {
			p.t.Errorf("%s %v %.500s", r.Status, r.Header, r.body)
		}
	}},
	{"checklist: client-reported failover is off by default", "", "", func(p page) {
		if r := p.browse("same-origin", "/login", formType, "a=b"); strings.Contains(string(r.body), "failover-enabled") {
			p.t.Errorf("%s", r.body)
		}
	}},
	{"checklist: ... and turned on deliberately", clientFailover, "", func(p page) {
		if r := p.browse("same-origin", "/login", formType, "a=b"); !strings.Contains(string(r.body), "failover-enabled") {
			p.t.Errorf("%s", r.body)
		}
	}},
	{"checklist: the full status-code table", "", failover("unreachable allow"), func(p page) {
		for _, c := range []struct {
			status int
			reason string
		}{
			{404, "token-invalid"}, {410, "token-expired"}, {412, "token-invalid"}, {423, "token-invalid"}, {429, "token-duplicate"},
			{403, "try-again"}, {401, "try-again"}, {500, "try-again"}, {503, "try-again"}, {204, "try-again"}, {302, "try-again"},
		} {
			p.says(c.status, "")
			p.want(p.send(p.regular()), 403, c.reason, "trustcaptcha")
		}
		if s, _ := statusOf(p.t, "trustcaptcha"); s.State != up || len(s.Outages) > 0 || s.Misconfigured {
			p.t.Errorf("%+v", s)
		}
	}},
	{"checklist: an api_key that the probe finds wrong too", "", failover("unreachable allow"), func(p page) {
		p.g.set(func(providertest.Call, int) (int, string) { return 403, "{}" })
		p.want(p.send(p.regular()), 503, "misconfigured", "")
		hear(p.t, "captcha.misconfigured")
	}},
}

// TestTrustCaptchaPage goes through TrustCaptcha's page Failover Behavior (seed
// 003) with the real server: each row is one of its lines.
func TestTrustCaptchaPage(t *testing.T) {
	for _, row := range slices.Concat(pageDisruption, pageOutage, pageClientFailover, pageChecklist) {
		t.Run(row.line, func(t *testing.T) {
			events.Lock()
			events.names = nil
			events.Unlock()
			g := newGateway(t, "trustcaptcha")
			row.do(page{guard(t, g, row.provider, row.options), g, t})
		})
	}
}
