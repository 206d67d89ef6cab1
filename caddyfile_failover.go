package captcha

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseFallback reads one fallback; the option may be repeated, in order.
func (h *Handler) parseFallback(d *caddyfile.Dispenser) error {
	off := h.FallbacksRaw != nil && len(h.FallbacksRaw) == 0
	if d.NextArg() {
		if d.Val() == "off" {
			if h.FallbacksRaw != nil {
				return d.Err("fallback off stands alone: leave the other fallback out")
			}
			if d.NextArg() {
				return d.Errf("fallback off stands alone, got '%s' too", d.Val())
			}
			h.FallbacksRaw = []json.RawMessage{}
			return nil
		}
		d.Prev()
	}
	if off {
		return d.Err("fallback off stands alone: leave the other fallback out")
	}
	raw, err := parseProvider(d)
	h.FallbacksRaw = append(h.FallbacksRaw, raw)
	return err
}

func parseBypassCheck(d *caddyfile.Dispenser) (*BypassCheck, error) {
	b := new(BypassCheck)
	args := d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Err("bypass_check needs a mode: poll <interval>, request <ttl> or passive")
	}
	b.Mode = args[0]
	var err error
	switch {
	case b.Mode == checkPoll && len(args) == 2:
		b.Interval, err = duration(d, "poll", args[1])
	case b.Mode == checkRequest && len(args) == 2:
		b.TTL, err = duration(d, "request", args[1])
	case b.Mode == checkPoll && len(args) == 1, b.Mode == checkRequest && len(args) == 1, b.Mode == checkPassive && len(args) == 1:
	case placeholders(b.Mode):
		err = tooLate(d, "bypass_check", b.Mode)
	case b.Mode == checkPassive:
		err = d.Errf("bypass_check passive takes no duration, got '%s'; write poll %s to probe in the background", args[1], args[1])
	default:
		err = d.Errf("bypass_check must be poll <interval>, request <ttl> or passive, got '%s'", strings.Join(args, " "))
	}
	if err != nil {
		return nil, err
	}
	return b, eachOption(d, d.Nesting(), func(option string) (err error) {
		switch option {
		case "timeout":
			b.Timeout, err = parseDuration(d)
		case "fails":
			b.Fails, err = parseCount(d)
		case "passes":
			b.Passes, err = parseCount(d)
		default:
			err = d.Errf("unrecognized subdirective '%s': bypass_check has timeout, fails and passes", option)
		}
		return err
	})
}

func parseFailover(d *caddyfile.Dispenser) (*Failover, error) {
	if d.NextArg() {
		return nil, d.Errf("failover takes a block, got '%s'", d.Val())
	}
	f := new(Failover)
	return f, eachOption(d, d.Nesting(), func(option string) error { return f.unmarshalOption(d, option) })
}

func (f *Failover) unmarshalOption(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "unreachable":
		f.Unreachable, err = parseUnreachable(d)
	case "client_reported":
		f.ClientReported, err = parseClientReported(d)
	case "provider_failover":
		f.ProviderFailover, err = parseAction(d, providerFailover)
	case "throttled":
		f.Throttled, err = parseAction(d, throttled)
	case "misconfigured":
		f.Misconfigured, err = parseAction(d, misconfigured)
	case "widget_blocked":
		f.WidgetBlocked, err = parseAction(d, widgetBlocked)
	case "grace":
		f.Grace, err = parseDuration(d)
	default:
		err = d.Errf("unrecognized subdirective '%s': failover has unreachable, client_reported, provider_failover, "+
			"throttled, misconfigured, widget_blocked and grace", option)
	}
	return err
}

// actionOf reads an action and checks that it may follow from the situation.
func actionOf(d *caddyfile.Dispenser, s situation, word string) (action, error) {
	switch a := action(word); a {
	case allow, deny, challenge, fallback:
		if err := s.check(a); err != nil {
			return "", d.WrapErr(err)
		}
		return a, nil
	}
	if placeholders(word) {
		return "", tooLate(d, string(s), word)
	}
	return "", d.Errf("%s: '%s' is not an action; write allow, deny, challenge or fallback", s, word)
}

func parseAction(d *caddyfile.Dispenser, s situation) (*Action, error) {
	_, word, err := parseValue(d, "an action")
	if err != nil {
		return nil, err
	}
	a, err := actionOf(d, s, word)
	return &Action{Action: a}, err
}

func parseUnreachable(d *caddyfile.Dispenser) (*Unreachable, error) {
	args := d.RemainingArgs()
	if len(args) != 1 && (len(args) != 5 || args[1] != "for" || args[3] != "then") {
		return nil, d.Err("unreachable needs an action, or: <action> for <duration> then <action>")
	}
	u := new(Unreachable)
	var err error
	if u.Action, err = actionOf(d, unreachable, args[0]); err != nil || len(args) == 1 {
		return u, err
	}
	if u.For, err = duration(d, "for", args[2]); err != nil {
		return nil, err
	}
	u.Then, err = actionOf(d, unreachable, args[4])
	return u, err
}

func parseClientReported(d *caddyfile.Dispenser) (*ClientReported, error) {
	args := d.RemainingArgs()
	if len(args) != 1 && (len(args) != 3 || args[1] != "tolerate") {
		return nil, d.Err("client_reported needs an action, or: <action> tolerate <duration>")
	}
	c := new(ClientReported)
	var err error
	if c.Action, err = actionOf(d, clientReported, args[0]); err != nil || len(args) == 1 {
		return c, err
	}
	if d, err := caddy.ParseDuration(args[2]); args[2] == "0" || err == nil && d == 0 {
		c.Tolerate = new(caddy.Duration)
		return c, nil
	}
	t, err := duration(d, "tolerate", args[2])
	c.Tolerate = &t
	return c, err
}
