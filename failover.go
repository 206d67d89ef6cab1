package captcha

import (
	"net/http"
	"slices"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// situation is a way in which there is no verdict, or a verdict that says more
// about the provider than about the visitor.
type situation string

const (
	unreachable      situation = "unreachable"
	clientReported   situation = "client_reported"
	providerFailover situation = "provider_failover"
	throttled        situation = "throttled"
	misconfigured    situation = "misconfigured"
	widgetBlocked    situation = "widget_blocked"
)

// action is what a directive may say about a situation.
type action string

const (
	allow     action = "allow"
	deny      action = "deny"
	challenge action = "challenge"
	fallback  action = "fallback"
)

// rule is one row of the policy table.
type rule struct {
	standard action   // where no directive says otherwise
	others   []action // what a directive may say instead
	reason   provider.Reason
	status   int  // of a deny
	retry    bool // whether a deny carries Retry-After
}

// policyTable says what may happen in which situation. No standard action opens
// the door but the one where the provider itself passed the visitor.
var policyTable = map[situation]rule{
	unreachable:      {fallback, []action{allow, deny, challenge}, reasonUnreachable, http.StatusServiceUnavailable, true},
	clientReported:   {challenge, []action{allow, deny, fallback}, reasonClientReported, http.StatusForbidden, false},
	providerFailover: {allow, []action{deny, challenge, fallback}, reasonProviderFailover, http.StatusServiceUnavailable, true},
	throttled:        {fallback, []action{deny, challenge}, reasonThrottled, http.StatusServiceUnavailable, true},
	misconfigured:    {deny, []action{fallback}, reasonMisconfigured, http.StatusServiceUnavailable, false},
	widgetBlocked:    {deny, []action{fallback}, reasonTokenMissing, http.StatusForbidden, false},
}

// allows reports whether a directive may say a about s.
func (s situation) allows(a action) bool {
	r := policyTable[s]
	return a == r.standard || slices.Contains(r.others, a)
}

// verb is what the edge does with a request.
type verb string

const (
	verbForward   verb = "forward"
	verbChallenge verb = "challenge"
	verbDeny      verb = "deny"
)

// decision is what the edge does with one request, and why.
type decision struct {
	verb   verb
	reason provider.Reason
	status int  // of our answer; 0 where there is none
	retry  bool // whether our answer carries Retry-After
}

// decide turns what was found out about a request into what is done with it. It
// is pure. The built-in proof of work asks nobody, so of the situations only
// those that a provider of its own repository reports can occur, and with no
// fallback in the chain `fallback` means `deny`.
func decide(m mode, f finding) decision {
	switch {
	case m == modeSignal:
		return decision{verb: verbForward, reason: f.reason}
	case f.status == statusPassed || f.status == statusCleared:
		return decision{verb: verbForward}
	case f.situation != "":
		return decideSituation(f.situation)
	case f.refused != 0:
		return decision{verb: verbDeny, reason: f.reason, status: f.refused, retry: f.refused == http.StatusServiceUnavailable}
	case f.reason == reasonTooLarge:
		return decision{verb: verbChallenge, reason: f.reason, status: http.StatusRequestEntityTooLarge}
	default:
		return decision{verb: verbChallenge, reason: f.reason, status: http.StatusForbidden}
	}
}

func decideSituation(s situation) decision {
	r := policyTable[s]
	switch r.standard {
	case allow:
		return decision{verb: verbForward, reason: r.reason}
	case challenge:
		return decision{verb: verbChallenge, reason: r.reason, status: http.StatusForbidden}
	default:
		return decision{verb: verbDeny, reason: r.reason, status: r.status, retry: r.retry}
	}
}
