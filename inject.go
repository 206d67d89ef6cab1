package captcha

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/csp"
	"github.com/caddy-captcha/caddy-captcha/internal/htmlinject"
	"github.com/caddy-captcha/caddy-captcha/internal/placeholder"
)

func init() {
	caddy.RegisterModule(Injector{})
}

// Injector puts the CAPTCHA into the pages of the app while they pass by: a
// script, and hidden fields into the forms that are sent to the captcha handler.
// The proof is then ready when a visitor submits, and the challenge page is not
// seen. What it puts in is the same for every visitor. Everything else of a page
// stays as it is; without JavaScript the challenge page does the work.
//
// It touches what a browser navigates to, by GET or with a form, and gets as
// text/html: a form that the app shows again has a new token ready. A page that
// is encoded, marked no-transform, in a charset in which ASCII is not ASCII, or
// whose Content-Security-Policy no source could make bear the script, passes
// unchanged. One that is rewritten loses its ETag and Last-Modified.
//
// It stands behind the captcha handlers: of the script's questions for a challenge
// it answers those that none of them has, so that the app does not get them. Where
// its route does not match everything, a captcha_strip handler with a guard does
// that for the rest, as a Caddyfile has it.
type Injector struct {
	// ProviderRaw configures the provider of the captcha handler that protects
	// what the forms are sent to. Default: pow; in a Caddyfile, that of the captcha
	// directive above it.
	ProviderRaw json.RawMessage `json:"provider,omitempty" caddy:"namespace=http.captcha.providers inline_key=name"`

	// FallbacksRaw configures that handler's fallbacks. Default: as there.
	FallbacksRaw []json.RawMessage `json:"fallbacks,omitzero" caddy:"namespace=http.captcha.providers inline_key=name"`

	// AllowTestKeys accepts the providers' published test keys. Default: false.
	AllowTestKeys bool `json:"allow_test_keys,omitempty"`

	// TokenHeader is the request header in which that handler takes a token from
	// a script. Default: Captcha-Token.
	TokenHeader string `json:"token_header,omitempty"`

	// Forms are selectors: #id, .class, [name="…"], [action="…"], [id="…"], and
	// several of them together, such as form#login.large. Default: every form
	// whose method is post.
	Forms []string `json:"forms,omitempty"`

	// Action are path patterns, as in Caddy's path matcher. A form is left alone
	// where it is sent to another path. Default: every path of the same origin.
	Action []string `json:"action,omitempty"`

	selectors []htmlinject.Selector
	actions   caddyhttp.MatchPath
	script    []byte // the whole element
	inputs    []byte
	need      csp.Need
	logger    *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Injector) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha_inject", New: func() caddy.Module { return new(Injector) }}
}

// Provision loads the providers, for what they put into a page.
func (i *Injector) Provision(ctx caddy.Context) error {
	i.logger = ctx.Logger()
	chain, err := i.loadChain(ctx)
	if err != nil {
		return err
	}
	header := i.TokenHeader
	if header == "" {
		header = defaultTokenHeader
	}
	forms, actions := slices.Clone(i.Forms), slices.Clone(i.Action)
	if err := placeholder.Resolve("token_header", &header); err != nil {
		return err
	}
	for n := range forms {
		if err := placeholder.Resolve("forms", &forms[n]); err != nil {
			return err
		}
		s, err := htmlinject.ParseSelector(forms[n])
		if err != nil {
			return fmt.Errorf("forms: %w", err)
		}
		i.selectors = append(i.selectors, s)
	}
	for n := range actions {
		if err := placeholder.Resolve("action", &actions[n]); err != nil {
			return err
		}
	}
	if err := validateActions(actions); err != nil {
		return err
	}
	if len(actions) > 0 {
		i.actions = actions
		if err := i.actions.Provision(ctx); err != nil {
			return fmt.Errorf("action: %w", err)
		}
	}
	return i.compose(chain, http.CanonicalHeaderKey(header), forms, actions)
}

func validateActions(actions []string) error {
	for _, a := range actions {
		if !strings.HasPrefix(a, "/") && !strings.HasPrefix(a, "*") {
			return fmt.Errorf("action: %q is not a path pattern; it begins with / or *, such as /login*", a)
		}
	}
	return nil
}

// loadChain loads the primary provider and its fallbacks. None of them is watched:
// only the captcha handler asks them.
func (i *Injector) loadChain(ctx caddy.Context) ([]*link, error) {
	app, err := ctx.App("captcha")
	if err != nil {
		return nil, err
	}
	h := Handler{app: app.(*App), logger: i.logger, ProviderRaw: i.ProviderRaw, FallbacksRaw: i.FallbacksRaw, AllowTestKeys: i.AllowTestKeys}
	mods, err := h.loadProviders(ctx)
	if err != nil {
		return nil, err
	}
	var chain []*link
	for _, mod := range mods {
		l, err := h.app.link(mod, i.AllowTestKeys, i.logger)
		if err != nil {
			return nil, err
		}
		chain = append(chain, l)
	}
	return chain, nil
}

// ServeHTTP rewrites the page that next answers with. A question of the script that
// has come past the captcha handlers is not for next either.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if asksForPuzzle(w, r) {
		return answerStray(w)
	}
	kind := asksForPage(r)
	if kind == noPage {
		return next.ServeHTTP(w, r)
	}
	if kind == surelyPage {
		defer hideHeaders(r)()
	}
	iw := &injectWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		injector:              i, request: r, head: r.Method == http.MethodHead,
	}
	err := next.ServeHTTP(iw, r)
	if ended := iw.finish(err); err == nil {
		return ended
	}
	return err // itself: Caddy does not look into others
}

// pageKind says whether a request can be answered with a page.
type pageKind uint8

const (
	noPage pageKind = iota
	maybePage
	surelyPage
)

// pageDestinations are where a browser shows an answer as a document.
var pageDestinations = []string{"document", "iframe", "frame", "embed", "object"}

// asksForPage reports whether r asks for a page. Browsers say so on https; without
// that it is what takes text/html. Who takes anything, such as a script or a
// tool, may get a page too, if it asks for nothing that a rewritten page cannot give.
func asksForPage(r *http.Request) pageKind {
	gets := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !gets && r.Method != http.MethodPost || r.Header["Upgrade"] != nil {
		return noPage
	}
	if dest := r.Header["Sec-Fetch-Dest"]; dest != nil {
		if len(dest) == 1 && slices.Contains(pageDestinations, dest[0]) {
			return surelyPage
		}
		return noPage
	}
	if r.Header["X-Requested-With"] != nil {
		return noPage
	}
	accept := strings.ToLower(strings.Join(r.Header["Accept"], ","))
	if strings.Contains(accept, "text/html") {
		return surelyPage
	}
	if !gets || accept != "" && !strings.Contains(accept, "*/*") {
		return noPage
	}
	for _, name := range conditional {
		if r.Header[name] != nil {
			return noPage
		}
	}
	return maybePage
}

// conditional are request headers that ask for less than the whole page.
var conditional = []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Range", "If-Range"}

// hideHeaders takes out the headers with which the app would not answer with a
// page that can be rewritten, and returns what brings them back: error routes and
// the log see them. What an unsafe request is conditional on is never hidden: the
// app may have to refuse it.
func hideHeaders(r *http.Request) (restore func()) {
	h, names := r.Header, []string{"Accept-Encoding"}
	if slices.Contains(safeMethods, r.Method) {
		names = append(names, conditional...)
	}
	var hidden http.Header
	for _, name := range names {
		if values, ok := h[name]; ok {
			if hidden == nil {
				hidden = make(http.Header)
			}
			hidden[name] = values
			delete(h, name)
		}
	}
	return func() {
		for name, values := range hidden {
			if _, ok := h[name]; !ok {
				h[name] = values
			}
		}
	}
}

// wanted reports whether a form of the page that r asked for is sent to us.
func (i *Injector) wanted(r *http.Request, page *url.URL, f htmlinject.Form) bool {
	method := strings.ToLower(f.Method)
	if len(i.selectors) == 0 {
		if method != "post" {
			return false
		}
	} else if method == "dialog" || !slices.ContainsFunc(i.selectors, func(s htmlinject.Selector) bool { return s.Match(f) }) {
		return false
	}
	target, ok := f.Target(page)
	if !ok || !sameHostPort(target.String(), r.Host) {
		return false
	}
	return i.matchesAction(r, target)
}

// matchesAction reports whether a form's target is one of the action patterns.
func (i *Injector) matchesAction(r *http.Request, target *url.URL) bool {
	if len(i.actions) == 0 {
		return true
	}
	to := *r // the matcher reads nothing else of it but its replacer
	to.Method, to.URL = http.MethodPost, target
	match, err := i.actions.MatchWithError(&to)
	return err == nil && match
}

// pageURL is the address of the page that r asked for, as the browser shows it.
func pageURL(r *http.Request) *url.URL {
	_, shown := original(r)
	u := *shown
	u.Scheme, u.Host, u.User = "http", r.Host, nil
	if https(r) {
		u.Scheme = "https"
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return &u
}

var (
	_ caddy.Provisioner           = (*Injector)(nil)
	_ caddyhttp.MiddlewareHandler = (*Injector)(nil)
)
