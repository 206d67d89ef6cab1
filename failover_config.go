package captcha

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Failover says what happens where there is no verdict, by situation. What is
// left out keeps its default.
type Failover struct {
	// Unreachable is a provider that the edge's own probe has confirmed to be
	// down: allow, deny, challenge or fallback. Default: fallback.
	Unreachable *Unreachable `json:"unreachable,omitempty"`

	// ClientReported is a widget that says it could not reach the provider,
	// while the edge can: allow, deny, challenge or fallback. Default:
	// challenge, and as unreachable in the tail of an outage.
	ClientReported *ClientReported `json:"client_reported,omitempty"`

	// ProviderFailover is a pass that the provider gave because of trouble on
	// its own side: allow, deny, challenge or fallback. Default: allow.
	ProviderFailover *Action `json:"provider_failover,omitempty"`

	// Throttled is a provider whose quota is spent: deny, challenge or
	// fallback. Default: fallback.
	Throttled *Action `json:"throttled,omitempty"`

	// Misconfigured is a provider that refuses our credentials: deny or
	// fallback. Default: deny.
	Misconfigured *Action `json:"misconfigured,omitempty"`

	// WidgetBlocked is a browser that cannot load the widget, while the edge
	// sees the provider up: deny or fallback. Default: deny.
	WidgetBlocked *Action `json:"widget_blocked,omitempty"`

	// Grace is how long a fallback's proof counts after its situation has
	// ended. At most 1h. Default: 5m.
	Grace caddy.Duration `json:"grace,omitempty"`
}

// Action is what to do in a situation.
type Action struct {
	// Action is one of allow, deny, challenge and fallback, as far as the
	// situation's field lists it. Default: the situation's.
	Action action `json:"action,omitempty"`
}

// Unreachable is what to do in an outage.
type Unreachable struct {
	// Action is allow, deny, challenge or fallback. Default: fallback.
	Action action `json:"action,omitempty"`

	// For is how long after the outage was confirmed the action lasts, over config
	// reloads. It needs Then. Default: as long as the outage.
	For caddy.Duration `json:"for,omitempty"`

	// Then is the action after that, one of the same. Required with For, and only
	// with it. Default: none.
	Then action `json:"then,omitempty"`
}

// ClientReported is what to do where a widget reports an outage.
type ClientReported struct {
	// Action is allow, deny, challenge or fallback. Default: challenge.
	Action action `json:"action,omitempty"`

	// Tolerate is how long after the edge's own last outage such a report
	// counts as unreachable: the tail of an outage that was real. At most 24h; 0
	// turns it off. Default: 15m.
	Tolerate *caddy.Duration `json:"tolerate,omitempty"`
}

const (
	defaultTolerate = 15 * time.Minute
	defaultGrace    = 5 * time.Minute
	maxGrace        = time.Hour
	maxTolerate     = 24 * time.Hour
)

// resolve checks the block and fills in the defaults. The receiver may be nil.
func (f *Failover) resolve() (policy, error) {
	p := policy{actions: make(map[situation]action), tolerate: defaultTolerate, grace: defaultGrace}
	if f == nil {
		return p, nil
	}
	set := func(s situation, a action) error {
		if a == "" {
			return nil
		}
		p.actions[s] = a
		return s.check(a)
	}
	var errs []error
	if u := f.Unreachable; u != nil {
		p.until, p.then = time.Duration(u.For), u.Then
		errs = append(errs, set(unreachable, u.Action), u.check())
	}
	if c := f.ClientReported; c != nil {
		errs = append(errs, set(clientReported, c.Action))
		if c.Tolerate != nil {
			p.tolerate = time.Duration(*c.Tolerate)
		}
	}
	for s, a := range map[situation]*Action{
		providerFailover: f.ProviderFailover, throttled: f.Throttled, misconfigured: f.Misconfigured, widgetBlocked: f.WidgetBlocked,
	} {
		if a != nil {
			errs = append(errs, set(s, a.Action))
		}
	}
	if f.Grace != 0 {
		p.grace = time.Duration(f.Grace)
	}
	if p.grace < 0 || p.grace > maxGrace {
		errs = append(errs, fmt.Errorf("failover: grace must be at most 1h, got %s", p.grace))
	}
	if p.tolerate < 0 || p.tolerate > maxTolerate {
		errs = append(errs, fmt.Errorf("failover: tolerate must be at most 24h, got %s", p.tolerate))
	}
	return p, errors.Join(errs...)
}

func (u *Unreachable) check() error {
	switch {
	case (u.For != 0) != (u.Then != ""):
		return errors.New("failover: unreachable needs both for and then; write unreachable allow for 1h then deny")
	case u.For < 0:
		return errors.New("failover: unreachable: the duration must not be negative")
	case u.Then != "":
		return unreachable.check(u.Then)
	}
	return nil
}

// check refuses an action that must not follow from a situation.
func (s situation) check(a action) error {
	if s.allows(a) {
		return nil
	}
	words := make([]string, 0, 4)
	for _, w := range append([]action{policyTable[s].standard}, policyTable[s].others...) {
		words = append(words, string(w))
	}
	slices.Sort(words)
	why := ""
	if a == allow {
		switch s {
		case misconfigured:
			why = ": a wrong key must not open the door"
		case throttled:
			why = ": anybody can spend a quota"
		case widgetBlocked:
			why = ": any browser can claim it"
		}
	}
	return fmt.Errorf("failover: %s %s is not possible%s; use %s", s, a, why, strings.Join(words, ", "))
}
