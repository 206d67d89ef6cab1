// Package web makes what a visitor sees: the challenge page with its script and
// its languages. A page is self-contained: it fetches nothing but its own URL.
package web

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Kind is what a page does once its puzzle is solved.
type Kind int

// The kinds of pages.
const (
	// Submit sends the carried form by itself: its post was same-origin.
	Submit Kind = iota
	// Confirm sends the carried form after a click on a button that names where it
	// came from: its post was same-site.
	Confirm
	// Redeem gets a one-time clearance and offers the way back to the form.
	Redeem
	// Stop has nothing to solve. It says why.
	Stop
)

// String is the name by which the page's script and templates know the kind.
func (k Kind) String() string {
	switch k {
	case Submit:
		return "submit"
	case Confirm:
		return "confirm"
	case Redeem:
		return "redeem"
	case Stop:
		return "stop"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// reasonMissing is the reason of a visitor's first challenge. The pages that
// solve do not show it: nothing has gone wrong.
const reasonMissing = "token-missing"

// Page is what one page is about.
type Page struct {
	Kind Kind

	// AcceptLanguage is the request's header. The page falls back to English.
	AcceptLanguage string

	// Reason is the reason of the problem, as in problem+json.
	Reason string

	// Elsewhere is for Redeem: the form came from another site, or from nowhere
	// known. Otherwise it is too large to be carried.
	Elsewhere bool

	// InsecureElsewhere is for Stop: a form from another site cannot be accepted on
	// plain http.
	InsecureElsewhere bool

	// Cleared is for Stop: there is nothing to solve any more, and the form, which is
	// not carried, is to be sent again within two minutes.
	Cleared bool

	// From is for Confirm: scheme://host[:port] of the site the form came from.
	From string

	// Host is the site's host name as the request has it. The script replaces it
	// with the one in the address bar, where a proxy in front changed it.
	Host string

	// Title is the site's name, shown above its host name.
	Title string

	// Contact is where a stuck visitor finds help, see [ValidateContact].
	Contact string

	// Reference is an id for support.
	Reference string

	// Field is the name of the token's form field, where there is no Widget.
	Field string

	// Challenge is an ALTCHA v1 challenge. For a Widget it is whatever JSON the
	// provider issues, or empty.
	Challenge json.RawMessage

	// Widget is the provider's widget that the page shows. Without one, the page
	// solves the challenge itself.
	Widget *Widget

	// Fields are the names of the fields that are the Widget's token together, in
	// the order in which the page sends them.
	Fields []string

	// BlockedFallback is for a Widget: where it cannot be loaded, the page says so
	// and then asks for the challenge of another provider. It posts [BlockedField]
	// and the seal, and no token.
	BlockedFallback bool

	// Seal is what the page carries, in base64url.
	Seal string
}

// Rendered is a page ready to be sent.
type Rendered struct {
	HTML     []byte
	CSP      string // the Content-Security-Policy header's value
	Language string // the Content-Language header's value
}

// Render makes a page. Its nonce is fresh, so a result is for one response only.
func (t *Template) Render(p Page) (Rendered, error) { return t.RenderInto(nil, p) }

// RenderInto is Render, which writes the page into room where that is large enough.
func (t *Template) RenderInto(room []byte, p Page) (Rendered, error) {
	v, err := newView(p)
	if err != nil {
		return Rendered{}, err
	}
	if t.direct || !isPlain(p.Reference) || !isPlain(p.Seal) {
		return t.render(v)
	}
	return t.fill(room, v)
}

// render runs the template.
func (t *Template) render(v *view) (Rendered, error) {
	if err := v.validateShape(); err != nil {
		return Rendered{}, err
	}
	var html bytes.Buffer
	html.Grow(16<<10 + len(v.Seal))
	if err := t.page.Execute(&html, v); err != nil {
		return Rendered{}, fmt.Errorf("rendering the %s page: %w", v.Kind, err)
	}
	return Rendered{HTML: html.Bytes(), CSP: t.csp(v.Page, v.Nonce), Language: v.Lang}, nil
}

// csp is the policy of a page. Everything it does not name is forbidden, but where
// its form may be sent: Chromium applies form-action to the redirects after a
// form's post as well (seen in 156: "form-action 'self'" and a 302, 303 or 307 to
// another origin leave the visitor on this page, after the app has taken the form).
// Sign-in and payment answer with such redirects, custom schemes included, so no
// list of sources would do. Nothing else is weaker for it: the page's only form has
// no action, all values are escaped, a <base> is forbidden, and so is every script
// but ours and that of the provider's widget, which could do as it likes anyway.
func (t *Template) csp(p Page, nonce string) string {
	own := "'nonce-" + nonce + "'"
	sources := map[string][]string{"style-src": {own}, "img-src": t.images}
	if p.Kind != Stop {
		sources["script-src"], sources["connect-src"] = []string{own}, []string{"'self'"}
		if p.Widget == nil {
			sources["worker-src"] = []string{"blob:"}
		} else {
			p.Widget.allow(sources, own)
		}
	}
	var b strings.Builder
	b.WriteString("default-src 'none'; ")
	for _, directive := range directives {
		if list := sources[directive]; len(list) > 0 {
			b.WriteString(directive + " " + strings.Join(list, " ") + "; ")
		}
	}
	b.WriteString("frame-ancestors 'none'; base-uri 'none'")
	return b.String()
}

// newNonce returns 128 random bits. The URL alphabet needs no escaping in HTML.
func newNonce() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// validate finds what would make a page that does not work.
func (p Page) validate() error {
	switch {
	case p.Kind < Submit || p.Kind > Stop:
		return fmt.Errorf("unknown page kind %s", p.Kind)
	case p.Kind == Stop:
		return nil
	case p.Field == "" && p.Widget == nil:
		return errors.New("page without the name of the token's field")
	case p.Seal == "":
		return errors.New("page without a seal")
	case p.Kind == Confirm && p.From == "":
		return errors.New("confirmation page that does not say where the form came from")
	}
	return nil
}

// validateShape finds the same in what all pages of a shape share.
func (p Page) validateShape() error {
	if p.Contact != "" {
		if err := ValidateContact(p.Contact); err != nil {
			return err
		}
	}
	if p.Widget != nil && p.Kind != Stop {
		return p.validateWidget()
	}
	return nil
}

// challenge is what the solver needs of an ALTCHA v1 challenge. Marshalled, it is
// the document that the script gets, whatever else the original held.
type challenge struct {
	Algorithm string `json:"algorithm"`
	Challenge string `json:"challenge"`
	MaxNumber int64  `json:"maxnumber"`
	Salt      string `json:"salt"`
	Signature string `json:"signature"`
}

// parseChallenge reads a challenge, and how long it lives from now on; 0 means
// that it names no end.
func parseChallenge(raw json.RawMessage, now time.Time) (c challenge, lifetime time.Duration, err error) {
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, 0, fmt.Errorf("the page's challenge: %w", err)
	}
	if c.Algorithm != "SHA-256" || len(c.Challenge) != 64 || c.MaxNumber < 0 || c.MaxNumber >= 1<<31 || c.Salt == "" {
		return c, 0, errors.New("the page's challenge is not an ALTCHA challenge with SHA-256")
	}
	_, query, _ := strings.Cut(c.Salt, "?")
	params, _ := url.ParseQuery(query)
	if unix, err := strconv.ParseInt(params.Get("expires"), 10, 64); err == nil {
		lifetime = max(time.Unix(unix, 0).Sub(now), time.Second)
	}
	return c, lifetime, nil
}
