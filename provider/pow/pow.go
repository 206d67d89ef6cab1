// Package pow is the built-in provider: a proof of work that the visitor's
// browser solves, in version 1 of the ALTCHA protocol, which every ALTCHA
// widget speaks. It needs no account, no network and no storage of its own: a
// challenge carries all that is needed to judge its solution, signed.
package pow

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Limits and defaults of the configuration.
const (
	// DefaultDifficulty is about one second of work on a mid-range phone.
	DefaultDifficulty = 500_000
	// MinDifficulty is the least work that is worth a visitor's click.
	MinDifficulty = 1000
	// MaxDifficulty is minutes of work on a phone.
	MaxDifficulty = 50_000_000

	// DefaultExpires leaves time to fill in a form after the widget solved.
	DefaultExpires = 10 * time.Minute
	// MinExpires is the resolution of the protocol, which counts seconds.
	MinExpires = time.Second
	// MaxExpires bounds how long work can be done in advance.
	MaxExpires = 24 * time.Hour
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// Provider asks the visitor's browser for a proof of work: it tries numbers
// until one, appended to a salt, has the SHA-256 that the challenge names. A
// proof is bound to the host that asked for it and counts for one request
// that asks for at most as much work.
//
// A proof of work is a price, not a test for humanity: it makes each request
// of a bot cost about what it costs a visitor's device once.
type Provider struct {
	// Difficulty is the number of hashes that a solution takes on average.
	// The longest search takes twice as many. At least 1000, at most 50000000.
	// Default: 500000.
	Difficulty int `json:"difficulty,omitempty"`

	// Expires is how long after it was issued a challenge is accepted. A
	// longer time spares visitors who fill in a form slowly a second puzzle,
	// and lets a bot solve further ahead. At least 1s, at most 24h.
	// Default: 10m.
	Expires caddy.Duration `json:"expires,omitempty"`

	env     provider.Env
	foreign *nodeSet
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  provider.Namespace + ".pow",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision fills in the defaults.
func (p *Provider) Provision(caddy.Context) error {
	if p.Difficulty == 0 {
		p.Difficulty = DefaultDifficulty
	}
	if p.Expires == 0 {
		p.Expires = caddy.Duration(DefaultExpires)
	}
	return p.Bind(provider.Env{})
}

// Validate checks the limits.
func (p *Provider) Validate() error {
	if err := checkDifficulty(p.Difficulty); err != nil {
		return err
	}
	return checkExpires(time.Duration(p.Expires))
}

// Bind takes what the host lends. What it leaves out gets a harmless stand-in,
// except for the signer: without one there is neither challenge nor token.
func (p *Provider) Bind(env provider.Env) error {
	p.env = env.WithDefaults()
	if p.foreign == nil {
		p.foreign = &foreignNodes
	}
	return nil
}

// Fields returns the one field of the ALTCHA protocol.
func (*Provider) Fields() []string { return []string{field} }

// Verify passes: there is nothing to ask that Parse has not checked.
func (*Provider) Verify(context.Context, provider.Request, provider.Token) (provider.Verdict, error) {
	return provider.Verdict{Outcome: provider.Pass}, nil
}

func checkDifficulty(n int) error {
	if n < MinDifficulty || n > MaxDifficulty {
		return fmt.Errorf("difficulty %d is out of range: write a number of hashes from %d to %d",
			n, MinDifficulty, MaxDifficulty)
	}
	return nil
}

func checkExpires(d time.Duration) error {
	if d < MinExpires || d > MaxExpires {
		return fmt.Errorf("expires %s is out of range: write a duration from 1s to 24h, such as 10m", d)
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Challenger   = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
