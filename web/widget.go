package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Names of the form fields that a page sends besides the token's.
const (
	// SealField is what the page carries. It directly follows the token's last
	// field, or BlockedField, or is alone: a page that starts over sends no token.
	SealField = "captcha-seal"

	// BlockedField is "1" where the provider's widget cannot be loaded and the page
	// asks for the challenge of another provider, see [Page.BlockedFallback].
	BlockedField = "captcha-blocked"
)

// Widget is a provider's widget.
type Widget struct {
	// SiteKey is the public key of the site; empty where the provider has none.
	SiteKey string
	// Script is the URL of the provider's script; empty where Glue loads it.
	Script string
	// Module says that Script is an ECMAScript module.
	Module bool
	// Markup is trusted HTML, placed into the form in which the widget appears and
	// into which it puts its fields.
	Markup string
	// Glue is trusted JavaScript: the body of a function (captcha) => { … } that
	// runs once Script has loaded. captcha.challenge is the page's Challenge or
	// null, captcha.siteKey the site key, captcha.lang the page's language,
	// captcha.set({field: value, …}) hands over a token, captcha.fail() says that
	// the widget cannot work.
	Glue string
	// CSP lists the sources that the widget needs, by directive.
	CSP map[string][]string
}

// directives are those of a page's policy that list sources, in their order.
var directives = []string{
	"script-src", "script-src-elem", "script-src-attr", "worker-src", "child-src", "frame-src", "connect-src",
	"style-src", "style-src-elem", "style-src-attr", "img-src", "font-src", "media-src", "manifest-src",
}

// allow adds the widget's sources to the page's own, which has a nonce.
func (w *Widget) allow(sources map[string][]string, nonce string) {
	for directive, listed := range w.CSP {
		list := slices.Clone(sources[directive])
		if strings.HasSuffix(directive, "-src-elem") {
			list = append(list, nonce) // it takes the place of script-src or style-src
		}
		for _, source := range listed {
			if !slices.Contains(list, source) && !(is(source, "'none'") && len(list) > 0) {
				list = append(list, source)
			}
		}
		if strings.HasPrefix(directive, "style-src") && slices.ContainsFunc(list, unsafeInline) {
			// next to a nonce it would not count
			list = slices.DeleteFunc(list, func(source string) bool { return source == nonce })
		}
		if len(list) > 1 {
			list = slices.DeleteFunc(list, func(source string) bool { return is(source, "'none'") })
		}
		sources[directive] = list
	}
	if len(sources["worker-src"])+len(sources["child-src"]) == 0 {
		sources["worker-src"] = []string{"'none'"} // not those of script-src
	}
}

func unsafeInline(source string) bool { return is(source, "'unsafe-inline'") }

func is(source, keyword string) bool { return strings.EqualFold(source, keyword) }

// host is where the widget comes from, empty where nothing says so.
func (w *Widget) host() string {
	for _, source := range append([]string{w.Script}, w.CSP["script-src"]...) {
		if u, err := url.Parse(source); err == nil && u.Host != "" && !strings.Contains(u.Host, "*") {
			return u.Host
		}
	}
	return ""
}

// endsScript is what must not stand in a script element.
var endsScript = regexp.MustCompile(`(?i)</script|<!--`)

// endsForm is what must not stand in the widget's form.
var endsForm = regexp.MustCompile(`(?i)</?form\b`)

// validateWidget finds what would make a page with a widget that does not work,
// or a policy that is not the one that the widget lists.
func (p Page) validateWidget() error {
	w := p.Widget
	u, err := url.Parse(w.Script)
	switch {
	case err != nil:
		return fmt.Errorf("the widget's script: %w", err)
	case w.Script != "" && (u.Host == "" || u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("the widget's script %q is no http or https URL", w.Script)
	case w.Script == "" && w.Glue == "":
		return errors.New("widget with neither script nor glue")
	case endsScript.MatchString(w.Glue):
		return errors.New("the widget's glue would end the script that it stands in")
	case endsForm.MatchString(w.Markup):
		return errors.New("the widget's markup has a form of its own")
	case len(p.Challenge) > 0 && !json.Valid(p.Challenge):
		return errors.New("the widget's challenge is no JSON")
	case len(p.Fields) == 0:
		return errors.New("widget without the names of the token's fields")
	}
	for i, name := range p.Fields {
		if name == "" || name == SealField || name == BlockedField || slices.Contains(p.Fields[:i], name) {
			return fmt.Errorf("the widget's token has a field %q, which is empty, another's, or there twice", name)
		}
	}
	for directive, list := range w.CSP {
		if !slices.Contains(directives, directive) {
			return fmt.Errorf("the widget's policy has the directive %q, which a page does not take from it", directive)
		}
		for _, source := range list {
			if source == "" || strings.ContainsFunc(source, notInSource) {
				return fmt.Errorf("the widget's policy has the source %q for %s", source, directive)
			}
		}
	}
	return nil
}

// notInSource reports what ends a source or a policy, or cannot be in a header.
func notInSource(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == ',' }
