package captcha

import (
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// running is the app of the config that runs now; nil where none has one.
var running atomic.Pointer[App]

// began is when this process began to watch providers: what was before, nobody
// here knows.
var began = time.Now()

// situations are those that policy decides, in the order in which they are shown.
var situations = []situation{unreachable, clientReported, providerFailover, throttled, misconfigured, widgetBlocked}

// policyDoc is what the directives that say the same would do now.
type policyDoc struct {
	Directives int         `json:"directives"` // how many say this
	Mode       mode        `json:"mode"`
	Chain      []linkDoc   `json:"chain"`     // the primary provider, and the fallbacks behind it
	Situation  situation   `json:"situation"` // the one every request is in now; empty where there is none
	Actions    []actionDoc `json:"actions"`
}

type linkDoc struct {
	Name string `json:"name"`
	ID   string `json:"id"` // empty where the provider can never be down
}

// actionDoc is what would happen now in one situation.
type actionDoc struct {
	Situation situation `json:"situation"`
	Action    action    `json:"action"`
	Fallback  string    `json:"fallback"` // whose challenge the visitor gets; empty where the action is another one

	// of unreachable: how long its action lasts, what follows, and when; empty and
	// null where it is for ever, and null while there is no outage
	For   string     `json:"for"`
	Then  action     `json:"then"`
	Until *time.Time `json:"until"`
}

// policyDocs tells what the directives of the running config would do now. One
// whose providers can never be down has nothing to tell.
func policyDocs(now time.Time) []policyDoc {
	docs := []policyDoc{}
	a := running.Load()
	if a == nil {
		return docs
	}
	index := make(map[string]int) // of docs, by what they say
	for _, h := range a.handlers {
		if !slices.ContainsFunc(h.chain, func(l *link) bool { return l.health != nil }) {
			continue
		}
		d := h.policyDoc(now)
		text, err := json.Marshal(d)
		if err != nil {
			continue // it is made of words and times
		}
		i, known := index[string(text)]
		if !known {
			i = len(docs)
			index[string(text)], docs = i, append(docs, d)
		}
		docs[i].Directives++
	}
	slices.SortStableFunc(docs, func(a, b policyDoc) int { return strings.Compare(a.chainText(), b.chainText()) })
	return docs
}

// chainText names the providers of a chain, strongest first.
func (d policyDoc) chainText() string {
	names := make([]string, len(d.Chain))
	for i, l := range d.Chain {
		names[i] = l.Name
	}
	return strings.Join(names, " → ")
}

// policyDoc asks the policy itself, with what is known of the providers now.
func (h *Handler) policyDoc(now time.Time) policyDoc {
	at, next := h.chain[0].standing(now), h.nextFallback(now)
	d := policyDoc{Mode: h.Mode, Situation: at.situation()}
	for _, l := range h.chain {
		one := linkDoc{Name: l.name}
		if l.health != nil {
			one.ID = l.health.id
		}
		d.Chain = append(d.Chain, one)
	}
	for _, s := range situations {
		decided := decideSituation(finding{situation: s}, h.policy.action(s, at, now), next != nil)
		row := actionDoc{Situation: s, Action: decided.action}
		if decided.fallback {
			row.Fallback = next.name
		}
		if s == unreachable && h.policy.until > 0 {
			row.For, row.Then = h.policy.until.String(), h.policy.then
			if at.down {
				row.Until = timeOrNull(at.start.Add(h.policy.until))
			}
		}
		d.Actions = append(d.Actions, row)
	}
	return d
}
