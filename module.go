// Package captcha is a Caddy handler that puts a CAPTCHA in front of any form of
// an existing site: it takes the token out of a protected request, verifies it,
// and forwards the request, or answers with a challenge that brings the
// request back, complete.
package captcha

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/formtoken"
	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/provider"
	_ "github.com/caddy-captcha/caddy-captcha/provider/altcha"
	_ "github.com/caddy-captcha/caddy-captcha/provider/geetest"
	_ "github.com/caddy-captcha/caddy-captcha/provider/pow"
	_ "github.com/caddy-captcha/caddy-captcha/provider/siteverify"
	_ "github.com/caddy-captcha/caddy-captcha/provider/trustcaptcha"
	_ "github.com/caddy-captcha/caddy-captcha/store/memory"
	"github.com/caddy-captcha/caddy-captcha/web"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(stripHandler{})
}

// Handler protects the requests that reach it: those with an unsafe method need
// a CAPTCHA token, or a clearance from an earlier one. Without either, a
// navigating browser gets a challenge page that carries the request through,
// sealed, and every other client an application/problem+json document with the
// challenge in it; both with status 403.
//
// Requests that are forwarded carry these headers to the app. Inbound ones of
// such a name are removed:
//
// Header | Description
// -------|------------
// `X-Captcha-Status` | `passed`, `cleared` or `failover`; in mode signal also `failed` or `missing`
// `X-Captcha-Provider` | the provider that judged the token
// `X-Captcha-Score` | the provider's score, where it has one
// `X-Captcha-Reason` | why a token did not pass
//
// The same is in placeholders, for the log:
//
// Placeholder | Description
// ------------|------------
// `{http.captcha.status}` | as above
// `{http.captcha.provider}` | as above
// `{http.captcha.score}` | as above
// `{http.captcha.reason}` | as above
// `{http.captcha.decision}` | `forward`, `challenge` or `deny`
type Handler struct {
	// Mode is `enforce`, or `signal`, which never blocks a request and only
	// tells the app what was found. Default: enforce.
	Mode mode `json:"mode,omitempty"`

	// ProviderRaw configures who judges tokens. Default: pow, the built-in
	// proof of work.
	ProviderRaw json.RawMessage `json:"provider,omitempty" caddy:"namespace=http.captcha.providers inline_key=name"`

	// FallbacksRaw configures the providers that a visitor meets, in this order,
	// where the failover policy says fallback. Default: pow; none where the
	// primary provider is pow. An empty list is none.
	FallbacksRaw []json.RawMessage `json:"fallbacks,omitzero" caddy:"namespace=http.captcha.providers inline_key=name"`

	// AllowTestKeys accepts the providers' published test keys, ids and tokens,
	// which anybody can pass. Default: false; such a key is an error.
	AllowTestKeys bool `json:"allow_test_keys,omitempty"`

	// VerifyTimeout is the whole time for one token, a retry and the probe's
	// word included. At most 1m. Default: 5s.
	VerifyTimeout caddy.Duration `json:"verify_timeout,omitempty"`

	// BypassCheck says how the primary provider's health is learned. Default:
	// poll every 10s where the provider has a status API, else passive; or what
	// another handler of this config says of the same provider.
	BypassCheck *BypassCheck `json:"bypass_check,omitempty"`

	// Failover says what happens where there is no verdict. Default: as its fields
	// say.
	Failover *Failover `json:"failover,omitempty"`

	// Methods are the methods that are protected. GET, HEAD, OPTIONS and TRACE
	// cannot be. Default: every other method.
	Methods []string `json:"methods,omitempty"`

	// TokenHeader is the request header in which a script may send the token.
	// Default: Captcha-Token.
	TokenHeader string `json:"token_header,omitempty"`

	// TokenField are names of form fields, or dotted paths in a JSON body, in
	// which the token is looked for beside the provider's own name. Only for
	// providers whose token is one field. Default: none.
	TokenField []string `json:"token_field,omitempty"`

	// MaxBuffer is how many bytes of a body are held in memory while the token
	// is looked for. A body that ends within it is examined whole. At least
	// 1 KiB. Default: 64 KiB.
	MaxBuffer int64 `json:"max_buffer,omitempty"`

	// MaxBody is how far into a body the token is looked for, in bytes; beyond
	// MaxBuffer a temporary file holds what was read. A request without a
	// token before that is answered with 413. It does not limit what comes
	// after the token. At least MaxBuffer. Default: 10 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// MaxReplay is the largest body in bytes that a challenge page carries. A
	// visitor with a larger one gets a one-time clearance and submits again. At
	// most 64 MiB. Default: 1 MiB.
	MaxReplay int64 `json:"max_replay,omitempty"`

	// Clearance spares a visitor who has passed the next CAPTCHA for a while.
	// Default: none, one token for each request.
	Clearance *Clearance `json:"clearance,omitempty"`

	// CORS are the origins (scheme://host[:port]) whose scripts may read our
	// answers. Default: none.
	CORS []string `json:"cors,omitempty"`

	// Challenge is what a visitor sees. Default: the built-in page.
	Challenge *Challenge `json:"challenge,omitempty"`

	app      *App
	chain    []*link // the primary provider first
	policy   policy
	template *web.Template
	passes   *keyring.Signer
	roles    *keyring.Signer
	sealer   *keyring.Sealer
	logger   *zap.Logger
	// sampled, because clients decide how often they write: decisions that policy
	// made, codes that a provider's protocol does not have, and requests that met
	// a fault
	failovers, strange, trouble *zap.Logger
	overdue                     *atomic.Int64 // start of the outage whose second action was announced

	// values whose placeholders are resolved
	tokenHeader    string
	tokenFields    []string
	wanted         [formtoken.JSON + 1]*formtoken.Fields
	pageStarts     [][]byte // how the body of a page of ours can begin
	origins        []string
	scope, cookie  string
	title, contact string
}

// Clearance configures the passes that spare a visitor the next CAPTCHA.
type Clearance struct {
	// Duration is how long a pass is valid, at most 30 days. Default: 0, no
	// passes: one token, one request.
	Duration caddy.Duration `json:"duration,omitempty"`

	// Uses is how many requests a pass opens. Default: 0, unlimited within its
	// duration.
	Uses int `json:"uses,omitempty"`

	// Bind is `ip`, which ties a pass to the visitor's network (/24 or /64), or
	// `none`. Default: none.
	Bind string `json:"bind,omitempty"`

	// Scope names the handlers that share passes. Letters, digits, - and _.
	// Default: a hash of this handler's configuration; in a Caddyfile, of the
	// directive with its matcher.
	Scope string `json:"scope,omitempty"`

	// Cookie is the prefix of the cookies' names. Default: __Host-captcha, on
	// plain http captcha.
	Cookie string `json:"cookie,omitempty"`
}

// Challenge configures the challenge page.
type Challenge struct {
	// Template is the path of an html/template file for the page. Default: the
	// built-in page. What it may use is documented at web.Parse.
	Template string `json:"template,omitempty"`

	// Title is the site's name, shown above its host name. Default: none.
	Title string `json:"title,omitempty"`

	// Contact is an http or https URL or a mail address that is shown where a
	// visitor is stuck. Default: none.
	Contact string `json:"contact,omitempty"`
}

// mode says whether findings are enforced.
type mode string

const (
	modeEnforce mode = "enforce"
	modeSignal  mode = "signal"
)

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha", New: func() caddy.Module { return new(Handler) }}
}

// ServeHTTP protects what comes after it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	now := time.Now()
	o := arrive(r)
	if o != nil && o.settled {
		return next.ServeHTTP(w, r)
	}
	switch {
	case asksForPuzzle(w, r):
		return h.answerPuzzle(w, r, now)
	case redeems(r):
		return h.redeem(w, r, now)
	case !h.protects(r):
		return next.ServeHTTP(h.preflight(w, r), r)
	}
	var fd found
	judged := false
	defer func() { fd.end(r, judged, err) }()
	f, fd, fault := h.judge(w, r, o, now)
	judged = true
	if fault != nil {
		return h.fault(w, r, fault, now)
	}
	d := h.decide(f)
	if d.verb == verbForward && fd.page != nil && !fd.page.returns() {
		return h.sendBack(w, r, f, fd.page, d, now)
	}
	if d.verb == verbForward && d.failover != "" {
		f.status, f.reason = statusFailover, d.reason
	}
	h.settle(r.Context(), f, d)
	o = h.observe(r, o, f, d)
	if d.verb != verbForward {
		return h.newAnswer(w, r, d, now).write(fd)
	}
	if fd.page != nil {
		fd.page.restore(r)
	}
	return h.forward(w, r, next, o, f, fd, now)
}

// forward gives the request on, and tells the app what was found.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, o *outcome, f finding, fd found, now time.Time) error {
	setHeaders(r, string(f.status), h.judgedBy(f).name, score(f.score), string(f.reason))
	if f.status == statusPassed && f.by != nil && f.by.identity == h.chain[0].identity && h.Clearance.Duration > 0 {
		h.grantClearance(w, r, now)
	}
	*o = outcome{settled: h.Mode == modeEnforce, story: o.story}
	switch {
	case o.settled:
	case f.status == statusCleared:
		o.cleared = h.scope
	default:
		o.judged = &judged{h.chain[0].identity, f, found{fields: fd.fields, header: fd.header, seal: fd.seal}, h.AllowTestKeys}
	}
	o.leave(r)
	return next.ServeHTTP(w, r)
}

// fault answers a request whose body could not be read. It is answered here,
// not returned: error routes could give it to the app, which nobody has decided.
func (h *Handler) fault(w http.ResponseWriter, r *http.Request, err error, now time.Time) error {
	d := decision{verb: verbDeny, reason: reasonBadRequest, status: http.StatusBadRequest}
	var own caddyhttp.HandlerError
	if errors.As(err, &own) && own.StatusCode >= 400 {
		d.status = own.StatusCode
	}
	switch {
	case d.status == http.StatusRequestEntityTooLarge:
		d.reason = reasonTooLarge
	case tooSlow(err):
		d.status = http.StatusRequestTimeout
	}
	h.logger.Debug("the request body could not be read", zap.Error(err))
	return h.newAnswer(w, r, d, now).write(found{})
}

// request is what the provider may know of r.
func (h *Handler) request(r *http.Request, now time.Time) provider.Request {
	return provider.Request{Host: hostOf(r), ClientIP: clientIP(r), Received: now}
}
