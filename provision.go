package captcha

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/internal/placeholder"
	"github.com/caddy-captcha/caddy-captcha/web"
)

const (
	defaultProvider      = "pow"
	defaultTokenHeader   = "Captcha-Token" //nolint:gosec // a header's name
	defaultMaxBuffer     = 64 << 10
	defaultMaxBody       = 10 << 20
	defaultMaxReplay     = 1 << 20
	minMaxBuffer         = 1 << 10
	defaultVerifyTimeout = 5 * time.Second
	maxMaxReplay         = 64 << 20
	defaultCookie        = "__Host-captcha"
	bindIP               = "ip"
	bindNone             = "none"
)

// Provision sets up the handler. It touches neither network nor storage.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.failovers, h.overdue = sampled(h.logger.Named("failover"), time.Second, 10, 100), new(atomic.Int64)
	h.strange = sampled(h.logger, time.Minute, 5, 1000)
	h.trouble = sampled(h.logger, time.Second, 10, 1000)
	config, err := json.Marshal(h) // before defaults: what makes this handler itself
	if err != nil {
		return err
	}
	app, err := ctx.App("captcha")
	if err != nil {
		return err
	}
	h.app = app.(*App)
	h.setDefaults()
	if err := h.resolve(config); err != nil {
		return err
	}
	h.passes = h.app.shared.keys.Signer("clearance")
	h.roles = h.app.shared.keys.Signer("role")
	h.sealer = h.app.shared.keys.Sealer("seal")
	if err := h.loadChain(ctx); err != nil {
		return err
	}
	h.want()
	if h.policy, err = h.Failover.resolve(); err != nil {
		return err
	}
	h.app.handlers = append(h.app.handlers, h)
	h.template = web.Default()
	if h.Challenge.Template != "" {
		h.template, err = h.loadTemplate()
	}
	return err
}

func (h *Handler) setDefaults() {
	if h.Mode == "" {
		h.Mode = modeEnforce
	}
	if h.VerifyTimeout == 0 {
		h.VerifyTimeout = caddy.Duration(defaultVerifyTimeout)
	}
	if h.TokenHeader == "" {
		h.TokenHeader = defaultTokenHeader
	}
	if h.MaxBuffer == 0 {
		h.MaxBuffer = defaultMaxBuffer
	}
	if h.MaxBody == 0 {
		h.MaxBody = max(defaultMaxBody, h.MaxBuffer)
	}
	if h.MaxReplay == 0 {
		h.MaxReplay = defaultMaxReplay
	}
	if h.Clearance == nil {
		h.Clearance = new(Clearance)
	}
	if h.Clearance.Bind == "" {
		h.Clearance.Bind = bindNone
	}
	if h.Clearance.Cookie == "" {
		h.Clearance.Cookie = defaultCookie
	}
	if h.Challenge == nil {
		h.Challenge = new(Challenge)
	}
}

// resolve fills in placeholders. The configured values stay as they are, so
// that no secret is written back into the configuration.
func (h *Handler) resolve(config []byte) error {
	h.scope = h.Clearance.Scope
	if h.scope == "" {
		h.scope = hashScope(config)
	}
	h.tokenHeader, h.cookie = h.TokenHeader, h.Clearance.Cookie
	h.title, h.contact = h.Challenge.Title, h.Challenge.Contact
	h.tokenFields, h.origins = slices.Clone(h.TokenField), slices.Clone(h.CORS)
	texts := map[string]*string{
		"token_header": &h.tokenHeader, "clearance scope": &h.scope, "clearance cookie": &h.cookie,
		"challenge title": &h.title, "challenge contact": &h.contact,
	}
	for name, text := range texts {
		if err := placeholder.Resolve(name, text); err != nil {
			return err
		}
	}
	for i := range h.tokenFields {
		if err := placeholder.Resolve("token_field", &h.tokenFields[i]); err != nil {
			return err
		}
	}
	for i := range h.origins {
		if err := placeholder.Resolve("cors", &h.origins[i]); err != nil {
			return err
		}
	}
	h.tokenHeader = http.CanonicalHeaderKey(h.tokenHeader)
	return nil
}

// hashScope names a scope after what makes a directive itself.
func hashScope(parts ...[]byte) string {
	hash := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(hash, "%d\n", len(p))
		hash.Write(p)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// loadProviders loads the modules of the primary provider and its fallbacks.
func (h *Handler) loadProviders(ctx caddy.Context) ([]any, error) {
	if h.ProviderRaw == nil {
		h.ProviderRaw = json.RawMessage(`{"name":"` + defaultProvider + `"}`)
	}
	mod, err := ctx.LoadModule(h, "ProviderRaw")
	if err != nil {
		return nil, fmt.Errorf("loading the provider: %w", err)
	}
	if h.FallbacksRaw == nil && moduleName(mod) != defaultProvider {
		h.FallbacksRaw = []json.RawMessage{json.RawMessage(`{"name":"` + defaultProvider + `"}`)}
	}
	if len(h.FallbacksRaw) == 0 {
		return []any{mod}, nil
	}
	more, err := ctx.LoadModule(h, "FallbacksRaw")
	if err != nil {
		return nil, fmt.Errorf("loading a fallback: %w", err)
	}
	return append([]any{mod}, more.([]any)...), nil
}

// loadChain loads the primary provider and its fallbacks.
func (h *Handler) loadChain(ctx caddy.Context) error {
	mods, err := h.loadProviders(ctx)
	if err != nil {
		return err
	}
	for i, mod := range mods {
		l, err := h.app.link(mod, h.AllowTestKeys, h.logger)
		if err != nil {
			return err
		}
		if i == 0 {
			l.check = h.BypassCheck
		}
		h.chain = append(h.chain, l)
		if err := h.app.watch(l); err != nil {
			return err
		}
	}
	return nil
}

func moduleName(mod any) string { return mod.(caddy.Module).CaddyModule().ID.Name() }

// Cleanup lets go of what the handler shares with others.
func (h *Handler) Cleanup() error {
	for _, l := range h.chain {
		h.app.unwatch(l)
	}
	return nil
}

func (h *Handler) loadTemplate() (*web.Template, error) {
	name := h.Challenge.Template
	if err := placeholder.Resolve("challenge template", &name); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(name) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, fmt.Errorf("challenge template: %w", err)
	}
	return web.Parse(name, string(text))
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = stripHandler{}
)
