// Package trustcaptcha asks TrustCaptcha (https://www.trustcomponent.com) about
// its tokens.
//
// The protocol is that of TrustCaptcha's results API v2, as its libraries for
// Java and Rust 3.0.0 speak it, its Failover Behavior page describes it, and
// its widget 3.0.2 was observed. Older libraries differ: they take the host that
// is asked, with the secret, from the client's token. Here nothing of a token
// but a UUID is ever sent anywhere.
package trustcaptcha

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

const (
	// defaultAPIURL is where TrustCaptcha answers.
	defaultAPIURL = "https://api.trustcomponent.com"

	// defaultScriptURL is the widget on TrustCaptcha's CDN. The scheme of the
	// address is that of TrustCaptcha's own integrations for version 2.1, the
	// bundle's name that of the npm package 3.0.2.
	defaultScriptURL = "https://cdn.trustcomponent.com/trustcaptcha/3.0.x/trustcaptcha.esm.min.js"

	// defaultMaxScore is the limit that TrustCaptcha's documentation uses.
	defaultMaxScore = 0.5
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// Provider verifies visitors with TrustCaptcha. All text values may hold
// placeholders such as {env.TRUSTCAPTCHA_API_KEY}.
type Provider struct {
	// SiteKey is the public key of the CAPTCHA, a UUID. Required.
	SiteKey string `json:"site_key,omitempty"`

	// APIKey is the secret with which results are fetched. Required.
	APIKey string `json:"api_key,omitempty"`

	// APIURL is the base of the API, without /v2, for the visitor's browser
	// and for the server. Default: https://api.trustcomponent.com.
	APIURL string `json:"api_url,omitempty"`

	// ScriptURL is the widget's bundle, an ECMAScript module of version 3. A
	// copy on a server of your own is there in an outage. Default: the one on
	// TrustCaptcha's CDN.
	ScriptURL string `json:"script_url,omitempty"`

	// MaxScore is the bot score above which a pass counts as a fail, from 0
	// (human) to 1 (bot). A CAPTCHA whose risk scoring is turned off has none.
	// Default: 0.5.
	MaxScore *float64 `json:"max_score,omitempty"`

	// CaptchaID must be the captchaId of a result: with several CAPTCHAs in
	// one account, it refuses the tokens of the others. A UUID. Default: not
	// compared.
	CaptchaID string `json:"captcha_id,omitempty"`

	// ClientFailover lets the widget issue client-failover tokens where it
	// cannot reach TrustCaptcha. Anybody can make such a token; what one
	// counts for is decided by the failover policy. Default: false.
	ClientFailover bool `json:"client_failover,omitempty"`

	outbound.Transport

	siteKey, apiKey, apiURL, scriptURL, captchaID string

	maxScore float64
	client   *outbound.Client
	env      provider.Env
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  provider.Namespace + ".trustcaptcha",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision resolves placeholders and prepares the calls. It calls nobody.
func (p *Provider) Provision(caddy.Context) error {
	if err := outbound.ResolveAll(
		outbound.Setting{Option: "site_key", Written: p.SiteKey, To: &p.siteKey},
		outbound.Setting{Option: "api_key", Written: p.APIKey, To: &p.apiKey},
		outbound.Setting{Option: "api_url", Written: p.APIURL, Default: defaultAPIURL, To: &p.apiURL},
		outbound.Setting{Option: "script_url", Written: p.ScriptURL, Default: defaultScriptURL, To: &p.scriptURL},
		outbound.Setting{Option: "captcha_id", Written: p.CaptchaID, To: &p.captchaID},
	); err != nil {
		return fmt.Errorf("trustcaptcha: %w", err)
	}
	p.apiURL = strings.TrimRight(p.apiURL, "/")
	p.maxScore = defaultMaxScore
	if p.MaxScore != nil {
		p.maxScore = *p.MaxScore
	}
	client, err := p.Transport.NewClient()
	if err != nil {
		return fmt.Errorf("trustcaptcha: %w", err)
	}
	p.client = client
	p.env = p.env.WithDefaults() // until Bind
	return nil
}

// Validate checks the configuration.
func (p *Provider) Validate() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("trustcaptcha: %w", err)
	}
	return nil
}

func (p *Provider) check() error {
	if _, ok := parseUUID(p.siteKey); !ok {
		return fmt.Errorf("site_key %q is not a UUID: copy it from the CAPTCHA's settings", p.siteKey)
	}
	switch {
	case p.apiKey == "":
		return errors.New("api_key is missing: copy it from the CAPTCHA's settings")
	case strings.ContainsFunc(p.apiKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("api_key holds a space, a line break or another character that no key has")
	case !(p.maxScore >= 0 && p.maxScore <= 1): // so NaN is none
		return checkScore(p.maxScore)
	}
	if p.CaptchaID != "" {
		if _, ok := parseUUID(p.captchaID); !ok {
			return fmt.Errorf("captcha_id %q is not a UUID: copy it from the CAPTCHA's settings", p.captchaID)
		}
	}
	if err := outbound.CheckURL("api_url", p.apiURL, true); err != nil {
		return err
	}
	return outbound.CheckURL("script_url", p.scriptURL, false)
}

// Bind takes what the host lends.
func (p *Provider) Bind(env provider.Env) error {
	p.env = env.WithDefaults()
	if !isTestKey(p.apiKey) {
		return nil
	}
	if !env.AllowTestKeys {
		return errors.New("trustcaptcha: api_key is the one of TrustCaptcha's own tests: write your own, or allow_test_keys")
	}
	p.env.Logger.Warn("the api_key is one for tests")
	return nil
}

// isTestKey recognizes the key in the tests of TrustCaptcha's libraries.
func isTestKey(key string) bool {
	rest, ok := strings.CutPrefix(key, "ak_")
	return ok && rest != "" && strings.Trim(rest, "x") == ""
}

// Cleanup ends idle connections.
func (p *Provider) Cleanup() error {
	p.client.Close()
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddy.CleanerUpper    = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Prober       = (*Provider)(nil)
	_ provider.Presenter    = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
