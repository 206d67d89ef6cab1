package captcha

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// BypassCheck says how a provider's health is learned. Whatever the mode, only
// the edge's own probe, which carries nothing that a client chose, can make a
// provider count as down.
type BypassCheck struct {
	// Mode is `poll`, in the background; `request`, before use; or `passive`,
	// only after a failed verification. Default: poll where the provider has a
	// status API, else passive.
	Mode string `json:"mode,omitempty"`

	// Interval is the time between the probes of mode poll. At least 1s.
	// Default: 10s.
	Interval caddy.Duration `json:"interval,omitempty"`

	// TTL is how long an answer counts in mode request. At least 1s. Default:
	// 5s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// Timeout is how long one probe may take, at most 30s. Default: 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Fails is how many failed probes in a row make a provider count as down.
	// Default: 2.
	Fails int `json:"fails,omitempty"`

	// Passes is how many good probes in a row make it count as up again.
	// Default: 2.
	Passes int `json:"passes,omitempty"`
}

const (
	checkPoll    = "poll"
	checkRequest = "request"
	checkPassive = "passive"

	defaultInterval = 10 * time.Second
	defaultTTL      = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultFails    = 2
	defaultPasses   = 2
	maxProbes       = 100
)

// resolve fills in the defaults. The receiver may be nil.
func (b *BypassCheck) resolve(hasStatusAPI bool) check {
	c := check{mode: checkPassive, timeout: defaultTimeout, fails: defaultFails, passes: defaultPasses}
	if hasStatusAPI {
		c.mode = checkPoll
	}
	if b == nil {
		b = new(BypassCheck)
	}
	if b.Mode != "" {
		c.mode = b.Mode
	}
	switch c.mode {
	case checkPoll:
		c.every = orDefault(b.Interval, defaultInterval)
	case checkRequest:
		c.every = orDefault(b.TTL, defaultTTL)
	}
	c.timeout = orDefault(b.Timeout, defaultTimeout)
	if b.Fails != 0 {
		c.fails = b.Fails
	}
	if b.Passes != 0 {
		c.passes = b.Passes
	}
	return c
}

func orDefault(d caddy.Duration, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return time.Duration(d)
}

// validate checks the written values. The receiver may be nil.
func (b *BypassCheck) validate() error {
	if b == nil {
		return nil
	}
	switch {
	case b.Mode != "" && b.Mode != checkPoll && b.Mode != checkRequest && b.Mode != checkPassive:
		return fmt.Errorf("bypass_check: the mode must be poll, request or passive, got %q", b.Mode)
	case b.Interval != 0 && b.Mode != checkPoll:
		return fmt.Errorf("bypass_check: the interval is for the mode poll, got %q", b.Mode)
	case b.TTL != 0 && b.Mode != checkRequest:
		return fmt.Errorf("bypass_check: the ttl is for the mode request, got %q", b.Mode)
	case b.Interval != 0 && time.Duration(b.Interval) < time.Second:
		return fmt.Errorf("bypass_check: poll at most once a second, got %s", time.Duration(b.Interval))
	case b.TTL != 0 && time.Duration(b.TTL) < time.Second:
		return fmt.Errorf("bypass_check: an answer must count for at least 1s, got %s", time.Duration(b.TTL))
	case b.Timeout < 0 || time.Duration(b.Timeout) > 30*time.Second:
		return fmt.Errorf("bypass_check: timeout must be at most 30s, got %s", time.Duration(b.Timeout))
	case b.Fails < 0 || b.Fails > maxProbes || b.Passes < 0 || b.Passes > maxProbes:
		return fmt.Errorf("bypass_check: fails and passes must be from 1 to %d", maxProbes)
	}
	return nil
}

// healths are alive as long as a config uses them, over reloads.
var healths = caddy.NewUsagePool()

// link prepares a loaded provider for a chain.
func (a *App) link(mod any, testKeys bool, logger *zap.Logger) (*link, error) {
	p, ok := mod.(provider.Provider)
	if !ok {
		return nil, fmt.Errorf("%T is not a provider", mod)
	}
	name := moduleName(mod)
	if b, ok := p.(provider.Binder); ok {
		if err := b.Bind(a.env(name, testKeys, logger)); err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
	}
	return newLink(p, name)
}

// watch gives a link the health of its identity, which other handlers and the
// config that runs now may share.
func (a *App) watch(l *link) error {
	if _, ok := l.provider.(provider.Prober); !ok {
		return nil
	}
	pooled, _, err := healths.LoadOrNew(l.identity, func() (caddy.Destructor, error) {
		h := newHealth(publicID(l.identity), l.name)
		h.identity = l.identity
		return h, nil
	})
	if err != nil {
		return err
	}
	l.health, l.watched = pooled.(*health), true
	a.links = append(a.links, l)
	return nil
}

// unwatch lets go of a link's health.
func (*App) unwatch(l *link) {
	if l.watched { // the health itself stays for requests in flight
		l.watched = false
		_, _ = healths.Delete(l.identity)
	}
}

// validateChecks refuses two written bypass_check of one identity that differ.
func (a *App) validateChecks() error {
	written := make(map[string]check)
	for _, l := range a.links {
		if l.check == nil {
			continue
		}
		c := l.check.resolve(hasStatusAPI(l.provider))
		if other, ok := written[l.identity]; ok && other != c {
			return fmt.Errorf("provider %s has two different bypass_check; write one of them only", l.name)
		}
		written[l.identity] = c
	}
	return nil
}

// startChecks begins to learn the health of every provider of this config. An
// unwritten bypass_check takes that of the same identity.
func (a *App) startChecks() {
	written := make(map[string]*BypassCheck)
	for _, l := range a.links {
		if l.check != nil {
			written[l.identity] = l.check
		}
	}
	for _, l := range a.links {
		h := l.health
		if h == nil {
			continue
		}
		if m, ok := l.provider.(interface{ Metered() bool }); ok && m.Metered() && written[l.identity] != nil && written[l.identity].Mode == checkPoll {
			a.logger.Warn("every poll spends the provider's quota; use bypass_check passive", zap.String("provider", l.name))
		}
		h.start(l.provider.(provider.Prober), written[l.identity].resolve(hasStatusAPI(l.provider)), a.reporter, a.store.fleet())
	}
}

// hasStatusAPI reports whether a provider can be asked what it says of itself. One
// that can only with some configurations says so.
func hasStatusAPI(p any) bool {
	if _, ok := p.(provider.StatusAPI); !ok {
		return false
	}
	if some, ok := p.(interface{ HasStatusAPI() bool }); ok {
		return some.HasStatusAPI()
	}
	return true
}

// idKey makes the public ids of identities: an identity contains secrets, and no
// digest of a secret is shown.
var idKey = func() (key [32]byte) {
	_, _ = rand.Read(key[:])
	return key
}()

func publicID(identity string) string {
	mac := hmac.New(sha256.New, idKey[:])
	mac.Write([]byte(identity))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// fresh asks a provider in mode request for its health, unless it was asked
// moments ago. A missing answer is asked for again, never assumed.
func (a *App) fresh(ctx context.Context, l *link, timeout time.Duration) {
	if l.health == nil {
		return
	}
	ttl := l.health.askBeforeUse()
	if ttl == 0 || l.standing(time.Now()).down || a.shared.asked.recently(l.identity) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l.health.wait(ctx, l.health.confirm())
	a.shared.asked.note(l.identity, ttl)
}
