package captcha

import (
	"cmp"
	"net/http"
	"slices"
	"time"

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

// policy is a resolved failover block.
type policy struct {
	actions  map[situation]action
	until    time.Duration // unreachable: how long its action lasts; 0 is for ever
	then     action        // what follows
	tolerate time.Duration
	grace    time.Duration
}

// action is what to do in situation s while the provider stands as it does. It is
// pure.
func (p policy) action(s situation, at standing, now time.Time) action {
	if s == clientReported && p.tolerate > 0 && !at.lastEnd.IsZero() && now.Sub(at.lastEnd) < p.tolerate {
		s = unreachable // the tail of an outage that we saw ourselves
	}
	a := cmp.Or(p.actions[s], policyTable[s].standard)
	if s == unreachable && p.overdue(at, now) {
		a = p.then
	}
	return a
}

// stepsDown reports whether situation s may ever lead to a fallback here. What
// another directive's policy has given out for it, in front of the same provider,
// counts there only. It is pure.
func (p policy) stepsDown(s situation) bool {
	switch {
	case cmp.Or(p.actions[s], policyTable[s].standard) == fallback:
		return true
	case s == unreachable:
		return p.until > 0 && p.then == fallback
	case s == clientReported: // see action: the tail of an outage
		return p.tolerate > 0 && p.stepsDown(unreachable)
	}
	return false
}

// overdue reports whether an outage has lasted for longer than its first action.
func (p policy) overdue(at standing, now time.Time) bool {
	return p.until > 0 && at.down && now.Sub(at.start) >= p.until
}

// entitled reports whether a fallback's proof counts: for this provider, in this
// situation, issued in it, and while it lasts or for the grace after it. A
// provider that does not sign its challenges has neither role nor issue time;
// there the time of the request is all that can be judged. It is pure.
func (p policy) entitled(role role, issued time.Time, at standing, now time.Time) bool {
	switch role.situation {
	case unreachable:
		// what a provider signs counts milliseconds
		if at.start.IsZero() || (!issued.IsZero() && issued.Before(at.start.Truncate(time.Millisecond))) {
			return false
		}
		return at.down || (!at.end.IsZero() && now.Sub(at.end) <= p.grace)
	case throttled, misconfigured:
		if at.situation() == role.situation {
			return true
		}
	}
	return !issued.IsZero() && now.Sub(issued) <= p.grace
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
	// fallback says that the challenge is that of the next provider in the chain
	// that can serve.
	fallback bool
	// failover is the situation that policy decided; empty where it had no say.
	failover situation
	action   action
}

// decide turns what was found out about a request into what is done with it. It
// is pure: the chain is known by whether there is a fallback left.
func decide(m mode, f finding, p policy, at standing, hasFallback bool, now time.Time) decision {
	switch {
	case m == modeSignal:
		return decision{verb: verbForward, reason: f.reason}
	case f.status == statusPassed || f.status == statusCleared:
		return decision{verb: verbForward}
	case f.refused != 0:
		return decision{verb: verbDeny, reason: f.reason, status: f.refused, retry: f.refused == http.StatusServiceUnavailable}
	case f.situation != "":
		return decideSituation(f, p.action(f.situation, at, now), hasFallback)
	case f.reason == reasonTooLarge:
		return decision{verb: verbChallenge, reason: f.reason, status: http.StatusRequestEntityTooLarge}
	default:
		return decision{verb: verbChallenge, reason: f.reason, status: http.StatusForbidden}
	}
}

func decideSituation(f finding, a action, hasFallback bool) decision {
	r := policyTable[f.situation]
	d := decision{reason: f.reason, status: http.StatusForbidden, failover: f.situation, action: a}
	if f.reason == reasonTooLarge {
		d.status = http.StatusRequestEntityTooLarge
	}
	switch {
	case a == allow:
		d.verb, d.status, d.reason = verbForward, 0, r.reason
	case a == challenge:
		d.verb = verbChallenge
	case a == fallback && hasFallback:
		d.verb, d.fallback = verbChallenge, true
	default: // deny, and a fallback that is asked for where none is left
		d.verb, d.status, d.retry, d.action = verbDeny, r.status, r.retry, deny
		d.reason = r.reason
	}
	return d
}
