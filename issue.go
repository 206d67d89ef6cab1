package captcha

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func init() {
	caddy.RegisterModule(Issuer{})
	httpcaddyfile.RegisterHandlerDirective("captcha_challenge", parseIssuer)
	httpcaddyfile.RegisterDirectiveOrder("captcha_challenge", httpcaddyfile.After, "encode")
}

// Issuer answers GET with a provider's raw challenge document, for pages that
// carry their own widget: ALTCHA's challenge JSON, or GeeTest v3's register
// JSON, bypass mode included. Where the provider has no document it answers 404.
type Issuer struct {
	// ProviderRaw configures whose challenge is issued. Default: pow; in a
	// Caddyfile, the provider of the captcha directive above it.
	ProviderRaw json.RawMessage `json:"provider,omitempty" caddy:"namespace=http.captcha.providers inline_key=name"`

	// BypassCheck says how the provider's health is learned. Default: as a
	// captcha handler of this config says of the same provider.
	BypassCheck *BypassCheck `json:"bypass_check,omitempty"`

	// AllowTestKeys accepts the provider's published test keys. Default: false.
	AllowTestKeys bool `json:"allow_test_keys,omitempty"`

	app    *App
	link   *link
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Issuer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha_challenge", New: func() caddy.Module { return new(Issuer) }}
}

// Provision loads the provider. It touches neither network nor storage.
func (i *Issuer) Provision(ctx caddy.Context) error {
	i.logger = ctx.Logger()
	app, err := ctx.App("captcha")
	if err != nil {
		return err
	}
	i.app = app.(*App)
	if i.ProviderRaw == nil {
		i.ProviderRaw = json.RawMessage(`{"name":"` + defaultProvider + `"}`)
	}
	mod, err := ctx.LoadModule(i, "ProviderRaw")
	if err != nil {
		return fmt.Errorf("loading the provider: %w", err)
	}
	if i.link, err = i.app.link(mod, i.AllowTestKeys, i.logger); err != nil {
		return err
	}
	i.link.check = i.BypassCheck
	return i.app.watch(i.link)
}

// Validate checks the final values.
func (i *Issuer) Validate() error {
	if err := i.BypassCheck.validate(); err != nil {
		return err
	}
	return i.app.validateChecks()
}

// Cleanup lets go of what the handler shares with others.
func (i *Issuer) Cleanup() error {
	if i.link != nil {
		i.app.unwatch(i.link)
	}
	return nil
}

// ServeHTTP answers GET and HEAD.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return next.ServeHTTP(w, r)
	}
	issuer, ok := i.link.provider.(provider.Challenger)
	if !ok {
		return caddyhttp.Error(http.StatusNotFound, fmt.Errorf("provider %s has no challenge document", i.link.name))
	}
	doc, err := i.document(r.Context(), issuer, provider.Request{Host: hostOf(r), ClientIP: clientIP(r), Received: time.Now()})
	if err != nil {
		i.logger.Warn("no challenge can be made", zap.String("provider", i.link.name), zap.Error(err))
		w.Header().Set("Retry-After", retryAfter)
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(doc)
	}
	return nil
}

// document asks for the challenge document. A provider that cannot be asked is
// probed; where that confirms an outage, the document says so.
func (i *Issuer) document(ctx context.Context, issuer provider.Challenger, req provider.Request) (json.RawMessage, error) {
	i.app.fresh(ctx, i.link, confirmTime)
	req.Down = i.link.standing(time.Now()).down
	doc, err := i.link.issue(ctx, issuer, req)
	if err == nil || req.Down {
		return doc, err
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	if req.Down = i.link.doubt(ctx).down; !req.Down {
		return nil, err
	}
	return i.link.issue(ctx, issuer, req)
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	captcha_challenge [<matcher>] {
//		provider     <name> [{ … }]
//		bypass_check …
//	}
func (i *Issuer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("captcha_challenge takes a matcher and a block, got %q", d.Val())
	}
	return eachOption(d, 0, func(option string) (err error) {
		switch option {
		case "provider":
			i.ProviderRaw, err = parseProvider(d)
		case "bypass_check":
			i.BypassCheck, err = parseBypassCheck(d)
		default:
			err = d.Errf("unrecognized subdirective '%s': captcha_challenge has provider and bypass_check", option)
		}
		return err
	})
}

func parseIssuer(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(Issuer)
	if err := i.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if i.ProviderRaw == nil {
		above := writtenAbove(h)
		if len(above) == 0 {
			return nil, h.Err("captcha_challenge has no provider: write one in its block, or move it below the captcha directive whose provider it is to take")
		}
		last := above[len(above)-1].handler
		i.ProviderRaw, i.AllowTestKeys = last.ProviderRaw, last.AllowTestKeys
	}
	return i, nil
}

var (
	_ caddy.Provisioner           = (*Issuer)(nil)
	_ caddy.Validator             = (*Issuer)(nil)
	_ caddy.CleanerUpper          = (*Issuer)(nil)
	_ caddyhttp.MiddlewareHandler = (*Issuer)(nil)
	_ caddyfile.Unmarshaler       = (*Issuer)(nil)
)
