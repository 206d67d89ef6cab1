package captcha

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// outcome is what a captcha handler leaves to those behind it on the same
// request, and to the log. It lives among the request's variables; its type is
// ours, so neither a client nor another handler can put one there. A request that
// has one has no forged headers any more.
type outcome struct {
	settled bool   // an enforcing handler has decided
	cleared string // the scope of a clearance that mode signal has found, and spent

	judged *judged // what mode signal found out from a token
	story  story
}

// judged is what a provider was asked, and what came of it.
type judged struct {
	identity string // of the provider
	finding  finding
	found    found
	testKeys bool // a published test token would have passed
}

// outcomeVar is the name of the variable with the outcome, or, before there is one,
// with the word that forged headers have been removed.
const outcomeVar = "http.handlers.captcha"

// stripped is that word.
type stripped struct{}

// earlier is what an earlier handler has left; nil where there was none. In any
// case the request has no forged headers any more: they are removed once, not
// again by each handler.
func arrive(r *http.Request) *outcome {
	switch v := caddyhttp.GetVar(r.Context(), outcomeVar).(type) {
	case *outcome:
		return v
	case stripped:
		return nil
	}
	stripForged(r)
	caddyhttp.SetVar(r.Context(), outcomeVar, stripped{})
	return nil
}

// leave puts o into r's variables.
func (o *outcome) leave(r *http.Request) { caddyhttp.SetVar(r.Context(), outcomeVar, o) }

// String is what a placeholder for the variable shows: nothing of the token.
func (o *outcome) String() string { return string(o.story.status) }

// hasCleared reports whether a clearance of the scope was found, and spent.
func (o *outcome) hasCleared(scope string) bool { return o != nil && o.cleared == scope }

// hasAsked reports whether the same provider has judged the token already.
func (o *outcome) hasAsked(l *link) bool {
	return o != nil && o.judged != nil && o.judged.identity == l.identity
}

// story is what the placeholders say.
type story struct {
	status   status
	reason   provider.Reason
	score    *float64
	provider string
	verb     verb
}

// tell makes the placeholders of a request say what was found and decided; of two
// handlers, what the later one did.
func (o *outcome) tell(repl *caddy.Replacer, first bool, s story) {
	o.story = s
	if first {
		repl.Map(o.placeholder)
	}
}

const placeholderPrefix = "http.captcha."

// placeholder implements caddy.ReplacerFunc. Most requests are never asked.
func (o *outcome) placeholder(name string) (any, bool) {
	name, ok := strings.CutPrefix(name, placeholderPrefix)
	if !ok {
		return nil, false
	}
	s := &o.story
	switch name {
	case "status":
		return string(s.status), true
	case "provider":
		return s.provider, true
	case "score":
		return score(s.score), true
	case "reason":
		return string(s.reason), true
	case "decision":
		return string(s.verb), true
	}
	return nil, false
}
