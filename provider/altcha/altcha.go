// Package altcha accepts solved challenges of an ALTCHA server elsewhere, of
// ALTCHA Sentinel, or of a widget in the operator's own pages, signed with a key
// that is shared with us. Verifying one asks nobody.
//
// Three kinds of payload come in the form field altcha: a proof of work of the
// protocol v1 or v2, and Sentinel's server signature. The wire facts are from
// the libraries altcha-lib 2.8.0 (JavaScript), altcha-lib-go v1.0.0 and v2.0.0,
// and from payloads of the widgets 1.5.1, 2.3.0 and 3.2.2. Where the libraries
// are lenient this package is not: every payload has to expire, the key prefix
// of v2 is checked, SHA-1 is refused, and a payload has one spelling.
package altcha

import (
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

const (
	// minKey is the shortest key that signs challenges of ours: one of full
	// strength costs nobody anything.
	minKey = 32
	// minForeignKey is the shortest key of another server: some are set up
	// already, and 16 random bytes are not guessed. Whoever has one solved
	// challenge can try keys offline, as fast as a computer hashes.
	minForeignKey = 16
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// Provider accepts solved ALTCHA challenges. All text values may hold
// placeholders such as {file./run/secrets/altcha}.
type Provider struct {
	// HMACKey is the key with which the ALTCHA server signs its challenges,
	// or Sentinel its verifications: at least 32 bytes, or 16 where a
	// challenge_url is set, because then the key is somebody else's choice.
	// Required.
	HMACKey string `json:"hmac_key,omitempty"`

	// ChallengeURL is where the ALTCHA server gives out challenges. Without a
	// script_url it is asked by this server, on the visitor's behalf, and has
	// to answer with protocol v1; with one, the widget asks it. Default:
	// challenges are made here, with the same key, in protocol v1.
	ChallengeURL string `json:"challenge_url,omitempty"`

	// ScriptURL is the bundle of the ALTCHA widget, an ECMAScript module, to
	// solve challenges with. It is needed for protocol v2 and Sentinel.
	// Default: challenges are solved by the challenge page itself.
	ScriptURL string `json:"script_url,omitempty"`

	outbound.Transport

	key                     []byte
	challengeURL, scriptURL string

	client *outbound.Client
	env    provider.Env
	warned sync.Once
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  provider.Namespace + ".altcha",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision resolves placeholders and prepares the calls. It calls nobody.
func (p *Provider) Provision(caddy.Context) error {
	var key string
	if err := outbound.ResolveAll(
		outbound.Setting{Option: "hmac_key", Written: p.HMACKey, To: &key},
		outbound.Setting{Option: "challenge_url", Written: p.ChallengeURL, To: &p.challengeURL},
		outbound.Setting{Option: "script_url", Written: p.ScriptURL, To: &p.scriptURL},
	); err != nil {
		return fmt.Errorf("altcha: %w", err)
	}
	p.key = []byte(key)
	client, err := p.Transport.NewClient()
	if err != nil {
		return fmt.Errorf("altcha: %w", err)
	}
	p.client = client
	return p.Bind(provider.Env{})
}

// Validate checks the configuration.
func (p *Provider) Validate() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("altcha: %w", err)
	}
	return nil
}

func (p *Provider) check() error {
	switch n := len(p.key); {
	case n == 0:
		return errors.New("hmac_key is missing: write the key of the ALTCHA server, or make one with 'openssl rand -hex 32'")
	case n < minForeignKey:
		return fmt.Errorf("hmac_key has %d bytes, which can be guessed: use at least %d", n, minKey)
	case n < minKey && p.challengeURL == "":
		return fmt.Errorf("hmac_key has %d bytes: use at least %d, as made by 'openssl rand -hex 32'; shorter ones are for a challenge_url", n, minKey)
	}
	if p.challengeURL != "" {
		if err := outbound.CheckURL("challenge_url", p.challengeURL, false); err != nil {
			return err
		}
	}
	if p.scriptURL != "" {
		return outbound.CheckURL("script_url", p.scriptURL, false)
	}
	return nil
}

// Bind takes what the host lends.
func (p *Provider) Bind(env provider.Env) error {
	p.env = env.WithDefaults()
	if n := len(p.key); n >= minForeignKey && n < minKey {
		p.env.Logger.Warn("the hmac_key is short; use one of 32 bytes or more", zap.Int("bytes", n))
	}
	return nil
}

// Cleanup ends idle connections.
func (p *Provider) Cleanup() error {
	p.client.Close()
	return nil
}

// Fields returns the one field of the ALTCHA protocols.
func (*Provider) Fields() []string { return []string{field} }

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddy.CleanerUpper    = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Challenger   = (*Provider)(nil)
	_ provider.Prober       = (*Provider)(nil)
	_ provider.Presenter    = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
