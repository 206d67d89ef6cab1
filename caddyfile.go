package captcha

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func init() {
	httpcaddyfile.RegisterDirective("captcha", parseDirective)
	// what is registered last comes first: captcha in front of captcha_inject
	httpcaddyfile.RegisterDirectiveOrder("captcha_inject", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterDirectiveOrder("captcha", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterHandlerDirective("captcha_strip", parseStrip)
	httpcaddyfile.RegisterDirectiveOrder("captcha_strip", httpcaddyfile.Before, "tracing")
}

// parseStrip reads the directive that removes forged headers where no captcha
// directive does: from every request of a block, before everything else. Syntax:
//
//	captcha_strip [<matcher>]
func parseStrip(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next() // the directive's name
	if h.NextArg() {
		return nil, h.Errf("captcha_strip takes no argument, got %q", h.Val())
	}
	h.State[strippedKey] = siteOf(h)
	return stripHandler{}, nil
}

// strippedKey marks a block, and those within it, whose requests lose forged
// headers, with the site that it is of.
const strippedKey = "captcha.stripped"

// parseDirective turns one captcha line into its routes: the enforcing one and,
// where that has a matcher, one without that removes forged headers from every
// request of the block, matched or not.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if err := remember(h, handler); err != nil {
		return nil, err
	}
	if handler.Clearance == nil {
		handler.Clearance = new(Clearance)
	}
	if handler.Clearance.Scope == "" {
		matcherJSON, err := json.Marshal(matcher)
		if err != nil {
			return nil, err
		}
		handlerJSON, err := json.Marshal(handler)
		if err != nil {
			return nil, err
		}
		handler.Clearance.Scope = hashScope(matcherJSON, handlerJSON)
	}
	warnMatcher(h, matcher)
	warnNested(h)
	routes := h.NewRoute(matcher, handler)
	if matcher != nil && h.BlockState[strippedKey] != siteOf(h) {
		routes = append(h.NewRoute(nil, stripHandler{}), routes...)
	}
	h.BlockState[strippedKey] = siteOf(h) // also for the blocks within this one
	return routes, nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	captcha [<matcher>] {
//		mode         enforce | signal
//		provider     <name> [{ … }]
//		fallback     <name> [{ … }] | off
//		allow_test_keys
//		verify_timeout <duration>
//		bypass_check poll <interval> | request <ttl> | passive {
//			timeout <duration>
//			fails   <n>
//			passes  <n>
//		}
//		failover {
//			unreachable       <action> [for <duration> then <action>]
//			client_reported   <action> [tolerate <duration>]
//			provider_failover <action>
//			throttled         <action>
//			misconfigured     <action>
//			widget_blocked    <action>
//			grace             <duration>
//		}
//		methods      <method…>
//		token_header <name>
//		token_field  <name…>
//		max_buffer   <size>
//		max_body     <size>
//		max_replay   <size>
//		cors         <origin…>
//		clearance    <duration> {
//			uses   <n>
//			bind   ip | none
//			scope  <name>
//			cookie <prefix>
//		}
//		challenge {
//			template <file>
//			title    <text>
//			contact  <url or mail address>
//		}
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("captcha takes a matcher and a block, got %q; a matcher begins with / or @, or is *", d.Val())
	}
	err := eachOption(d, 0, func(option string) error {
		if err := h.unmarshalOption(d, option); err != nil {
			return err
		}
		return located(d, h.checkWritten())
	})
	if err != nil {
		return err
	}
	return located(d, h.asWritten().validateBuffers())
}

// located adds the line to an error.
func located(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

// repeatable are the options that may be written more than once.
var repeatable = []string{"fallback"}

// eachOption calls read for every option of a block, with the dispenser at its
// name. An option that is written twice is an error.
func eachOption(d *caddyfile.Dispenser, nesting int, read func(option string) error) error {
	seen := make(map[string]bool)
	for d.NextBlock(nesting) {
		option := d.Val()
		if seen[option] && !slices.Contains(repeatable, option) {
			return d.Errf("%s is already specified: write it once", option)
		}
		seen[option] = true
		if err := read(option); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "mode":
		var word string
		word, err = parseKeyword(d, string(modeEnforce), string(modeSignal))
		h.Mode = mode(word)
	case "provider":
		h.ProviderRaw, err = parseProvider(d)
	case "fallback":
		err = h.parseFallback(d)
	case "allow_test_keys":
		h.AllowTestKeys, err = parseFlag(d)
	case "verify_timeout":
		h.VerifyTimeout, err = parseDuration(d)
	case "bypass_check":
		h.BypassCheck, err = parseBypassCheck(d)
	case "failover":
		h.Failover, err = parseFailover(d)
	case "methods":
		h.Methods, err = parseMethods(d)
	case "token_header":
		h.TokenHeader, err = parseText(d, "the name of a header")
	case "token_field":
		h.TokenField, err = parseTexts(d, "the name of a form field")
	case "max_buffer":
		h.MaxBuffer, err = parseSize(d)
	case "max_body":
		h.MaxBody, err = parseSize(d)
	case "max_replay":
		h.MaxReplay, err = parseSize(d)
	case "cors":
		h.CORS, err = parseTexts(d, "an origin, such as https://app.example.com")
	case "clearance":
		h.Clearance, err = parseClearance(d)
	case "challenge":
		h.Challenge, err = parseChallenge(d)
	default:
		err = d.Errf("unrecognized subdirective '%s': captcha has mode, provider, fallback, methods, token_header, token_field, "+
			"max_buffer, max_body, max_replay, allow_test_keys, clearance, cors, verify_timeout, bypass_check, failover and challenge", option)
	}
	return err
}

func parseProvider(d *caddyfile.Dispenser) (json.RawMessage, error) {
	option := d.Val() // provider or fallback
	if !d.NextArg() {
		return nil, d.Errf("%s needs a name; write %s pow", option, option)
	}
	name := d.Val()
	id := provider.Namespace + "." + name
	if _, err := caddy.GetModule(id); err != nil {
		return nil, d.Errf("there is no provider '%s'; this build has %s", name, strings.Join(providerNames(), ", "))
	}
	unm, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return nil, err
	}
	if _, ok := unm.(provider.Provider); !ok {
		return nil, d.Errf("module %s (%T) is not a provider", id, unm)
	}
	return caddyconfig.JSONModuleObject(unm, "name", name, nil), nil
}

func providerNames() []string {
	var names []string
	for _, m := range caddy.GetModules(provider.Namespace) {
		names = append(names, m.ID.Name())
	}
	return names
}

func parseMethods(d *caddyfile.Dispenser) ([]string, error) {
	methods, err := parseTexts(d, "a method, such as POST")
	for i, m := range methods {
		if placeholders(m) {
			return nil, tooLate(d, "methods", m)
		}
		methods[i] = strings.ToUpper(m)
		if slices.Contains(safeMethods, methods[i]) {
			return nil, d.Errf("methods: %s is a safe method and is never protected; leave it out", methods[i])
		}
	}
	return methods, err
}

func parseClearance(d *caddyfile.Dispenser) (*Clearance, error) {
	if !d.NextArg() {
		return nil, d.Err("clearance needs a duration; write clearance 1h")
	}
	c := new(Clearance)
	var err error
	if c.Duration, err = duration(d, "clearance", d.Val()); err != nil {
		return nil, err
	}
	if d.NextArg() {
		return nil, d.Errf("clearance takes one duration, got %q too; write its options in a block", d.Val())
	}
	return c, eachOption(d, d.Nesting(), func(option string) (err error) {
		switch option {
		case "uses":
			c.Uses, err = parseCount(d)
		case "bind":
			c.Bind, err = parseKeyword(d, bindIP, bindNone)
		case "scope":
			c.Scope, err = parseText(d, "a name")
		case "cookie":
			c.Cookie, err = parseText(d, "the beginning of a cookie's name")
		default:
			err = d.Errf("unrecognized subdirective '%s': clearance has uses, bind, scope and cookie", option)
		}
		return err
	})
}

func parseChallenge(d *caddyfile.Dispenser) (*Challenge, error) {
	if d.NextArg() {
		return nil, d.Errf("challenge takes a block, got %q; write challenge { title %s }", d.Val(), d.Val())
	}
	c := new(Challenge)
	return c, eachOption(d, d.Nesting(), func(option string) (err error) {
		switch option {
		case "template":
			c.Template, err = parseText(d, "a file")
		case "title":
			c.Title, err = parseText(d, "a text")
		case "contact":
			c.Contact, err = parseText(d, "a URL or a mail address")
		default:
			err = d.Errf("unrecognized subdirective '%s': challenge has template, title and contact", option)
		}
		return err
	})
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
