package captcha

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/internal/htmlinject"
)

func init() {
	httpcaddyfile.RegisterDirective("captcha_inject", parseInject)
}

// written is a captcha directive as the others of its site see it.
type written struct {
	site    any
	handler *Handler
	scope   string // as it is written
	block   uintptr
	nested  bool
}

const (
	// writtenKey is where the captcha directives are noted, as []written.
	writtenKey = "captcha.written"
	// guardedKey is where the captcha_inject directive of a site is noted whose
	// guard answers for the most: as guarded.
	guardedKey = "captcha.guarded"
)

type guarded struct {
	site  any
	block uintptr
}

// writtenAbove returns the captcha directives above one of the same site.
func writtenAbove(h httpcaddyfile.Helper) []written {
	all, _ := h.State[writtenKey].([]written)
	site := siteOf(h)
	return slices.DeleteFunc(slices.Clone(all), func(w written) bool { return w.site != site })
}

// remember notes a captcha directive for the captcha_inject directives below it.
func remember(h httpcaddyfile.Helper, handler *Handler) error {
	w := written{site: siteOf(h), handler: handler, block: blockOf(h), nested: nested(h)}
	if handler.Clearance != nil {
		w.scope = handler.Clearance.Scope
	}
	if g, ok := h.State[guardedKey].(guarded); ok && g.site == w.site && w.nested && g.block != w.block {
		return h.Err("this captcha stands in a block below captcha_inject, which would answer in its place; write captcha_inject in that block")
	}
	before, _ := h.State[writtenKey].([]written)
	h.State[writtenKey] = append(before, w)
	return nil
}

// parseInject turns a captcha_inject line into its routes: the one that rewrites
// pages, and one for all requests that keeps the questions of the script in them
// from the app. Syntax:
//
//	captcha_inject [<matcher>] {
//		forms  <selector…>
//		action <path pattern…>
//		scope  <name>
//	}
func parseInject(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	var methods caddyhttp.MatchMethod
	if raw := matcher["method"]; raw != nil {
		if err := json.Unmarshal(raw, &methods); err != nil {
			return nil, err
		}
		if !slices.Contains(methods, "GET") {
			h.Next() // to the name again, for its line
			return nil, h.Errf("captcha_inject rewrites pages, and browsers get pages by GET, which this matcher does not match; leave the method out of it")
		}
	}
	i, scope := new(Injector), ""
	if err := i.unmarshal(h.Dispenser, &scope); err != nil {
		return nil, err
	}
	above := writtenAbove(h)
	if err := i.takeProvider(h, above, scope); err != nil {
		return nil, err
	}
	if nested(h) && len(i.Action) == 0 {
		warn(h, "captcha_inject within a block keeps the questions of its script from the app in that block only: a form that is sent "+
			"elsewhere would ask the app itself, by an empty POST; write action with the paths in this block, or captcha_inject in the site block")
	}
	for _, w := range above {
		if w.nested && w.block != blockOf(h) {
			return nil, h.Err("the captcha above stands in a block of its own, where captcha_inject would answer in its place; " +
				"write captcha_inject below it in that block, or captcha with a matcher in the block of captcha_inject")
		}
	}
	if g, ok := h.State[guardedKey].(guarded); !ok || g.site != siteOf(h) || !nested(h) {
		h.State[guardedKey] = guarded{siteOf(h), blockOf(h)}
	}
	return append(h.NewRoute(matcher, i), h.NewRoute(nil, stripHandler{Guard: guardAnswer})...), nil
}

// takeProvider takes the provider of the captcha directive above: of the one with
// the scope, where one is given.
func (i *Injector) takeProvider(h httpcaddyfile.Helper, above []written, scope string) error {
	var from *Handler
	for _, w := range above {
		switch {
		case scope != "" && w.scope != scope:
		case from == nil:
			from = w.handler
		case !sameProof(from, w.handler) && scope == "":
			return h.Errf("there are several captcha directives above, which do not take the same tokens; " +
				"give the one that this is for a name with clearance … { scope NAME }, and write scope NAME here")
		case !sameProof(from, w.handler):
			return h.Errf("several captcha directives with different providers have the scope %s; write the same provider in both, or name them differently", scope)
		}
	}
	switch {
	case from == nil && scope != "":
		return h.Errf("no captcha directive above has the scope %s; write clearance … { scope %s } in the one that this is for", scope, scope)
	case from == nil:
		return h.Err("captcha_inject puts the CAPTCHA of a captcha directive into your pages, and there is none above it; write captcha, such as captcha /login*, in a line above")
	}
	i.ProviderRaw, i.FallbacksRaw, i.AllowTestKeys, i.TokenHeader = from.ProviderRaw, from.FallbacksRaw, from.AllowTestKeys, from.TokenHeader
	return nil
}

// sameProof reports whether what is put into a page for one works for the other.
func sameProof(a, b *Handler) bool {
	same := func(x, y json.RawMessage) bool { return bytes.Equal(x, y) || solvedByUs(x) && solvedByUs(y) }
	return same(a.ProviderRaw, b.ProviderRaw) && (a.FallbacksRaw == nil) == (b.FallbacksRaw == nil) &&
		slices.EqualFunc(a.FallbacksRaw, b.FallbacksRaw, same) && a.TokenHeader == b.TokenHeader && a.AllowTestKeys == b.AllowTestKeys
}

// solvedByUs reports whether a provider is pow: the script asks the form's own
// action for its puzzle, so a difficulty does not tell two of them apart.
func solvedByUs(raw json.RawMessage) bool {
	var p struct {
		Name string `json:"name"`
	}
	return raw == nil || json.Unmarshal(raw, &p) == nil && p.Name == defaultProvider
}

func (i *Injector) unmarshal(d *caddyfile.Dispenser, scope *string) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("captcha_inject takes a matcher and a block, got %q; a matcher begins with / or @, or is *", d.Val())
	}
	return eachOption(d, 0, func(option string) (err error) {
		switch option {
		case "forms":
			i.Forms, err = parseTexts(d, "a selector, such as form.login, #login in quotes (or it would begin a comment), or `[name=\"login\"]` in backticks")
			for _, text := range i.Forms {
				if _, wrong := htmlinject.ParseSelector(text); wrong != nil && !placeholders(text) {
					return d.Errf("forms: %v", wrong)
				}
			}
		case "action":
			i.Action, err = parseTexts(d, "a path pattern, such as /login*")
			err = cmp.Or(err, located(d, validateActions(literals(i.Action))))
		case "scope":
			*scope, err = parseText(d, "the name that a captcha directive has in clearance … { scope NAME }")
		default:
			err = d.Errf("unrecognized subdirective '%s': captcha_inject has forms, action and scope", option)
		}
		return err
	})
}

// placeholders reports whether a text has some, which resolve at load.
func placeholders(text string) bool {
	return strings.Contains(text, "{")
}
