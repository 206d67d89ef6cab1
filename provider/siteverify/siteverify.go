// Package siteverify holds the providers that are asked about a token with one
// call to one URL: Turnstile, hCaptcha, the reCAPTCHAs and their kin. They are
// one engine and a table.
//
// # Adding a provider
//
// A provider of this family is one row of the table (a preset; its fields are
// its documentation) and one row of the test's table (siteverify_rows.go of
// internal/providertest: what the provider is really asked, and answers). The
// engine registers it as the module http.captcha.providers.<name>, reads its
// configuration, checks its tokens, asks, classifies the answer and shows its
// widget. What the row must say, and the test checks:
//
//   - pass: what the answer of a pass has, each with its type. Anything else is
//     no pass; an answer without these members is not the protocol.
//   - meanings: every documented code. A code that a client can bring about is
//     the client's fault (or mismatch, where it would be ours in a probe); only
//     one that is about our secret alone is misconfigured. An unknown code is
//     the client's fault, and counted apart.
//   - siteKey or boundTo: how a token is bound to our site key. Without either,
//     the secret must do it; read the provider's page on that.
//   - testKeys and testTokens: what the provider has published for tests.
//   - page: where all of that is from. Mark what is not from there.
package siteverify

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func init() {
	for _, p := range presets {
		caddy.RegisterModule(&Provider{preset: p})
	}
}

// Provider asks a CAPTCHA service about a token, with one call.
//
// A pass is what the service says of the token positively, and what is then
// still true of it: it was solved on this host, for this action, with this
// score. A visitor's address is never sent to the service.
type Provider struct {
	// SiteKey is the public key of the site, which the widget is shown with.
	// Where the service can bind a token to it, a token of another site key is
	// refused. Required.
	SiteKey string `json:"site_key,omitempty"`

	// SecretKey is the key that the service knows us by (for
	// recaptcha_enterprise: an API key of the project). It is sent in the
	// call's body or a header; mtcaptcha knows no other place than the URL.
	// Required.
	SecretKey string `json:"secret_key,omitempty"`

	// VerifyURL is the whole URL that is called. Required for mcaptcha
	// (https://…/api/v1/pow/siteverify) and cap (https://…/<site key>/siteverify),
	// which you host. Default: the service's.
	VerifyURL string `json:"verify_url,omitempty"`

	// ScriptURL is the whole URL of the widget's script, for the challenge
	// page. Default: the service's, or the self-hosted server's.
	ScriptURL string `json:"script_url,omitempty"`

	// WidgetURL is where a visitor's browser reaches a self-hosted server
	// (mcaptcha: https://…/widget/?sitekey=…, cap: https://…/<site key>/), if that
	// is elsewhere than verify_url. Default: at the host of verify_url.
	WidgetURL string `json:"widget_url,omitempty"`

	// Project is the Google Cloud project of recaptcha_enterprise. Required
	// there, unless verify_url is written.
	Project string `json:"project,omitempty"`

	// Action is the action that a token must have been made for. A token of
	// another action, or of none, is refused. Default: not compared, which
	// lets a token of any page of the site through.
	Action string `json:"action,omitempty"`

	// Hostname are the hosts on which a token may have been solved. A token
	// that the service names no host for is then refused. Default: the
	// request's host, where the service names one.
	Hostname []string `json:"hostname,omitempty"`

	// MinScore is the least score of a token, from 0 to 1, where 1 is surely a
	// human. For services whose score is 1 for a bot (hcaptcha, prosopo) it is
	// compared with 1 minus their score. A token without a score is then
	// refused. Default: 0.5 for recaptcha3 and recaptcha_enterprise, else none.
	MinScore *float64 `json:"min_score,omitempty"`

	outbound.Transport

	*preset

	// set is the configuration with its placeholders resolved.
	set settings

	env    provider.Env
	client *outbound.Client
	tests  bool // a published test key is in use
}

type settings struct {
	siteKey, secret, verify, script, at, action string
	hosts                                       []string
	minScore                                    float64
	scored                                      bool // minScore is in force
}

// CaddyModule returns the Caddy module information.
func (p *Provider) CaddyModule() caddy.ModuleInfo {
	row := p.preset
	return caddy.ModuleInfo{
		ID:  caddy.ModuleID(provider.Namespace + "." + row.name),
		New: func() caddy.Module { return &Provider{preset: row} },
	}
}

// Provision resolves the placeholders. It calls nobody.
func (p *Provider) Provision(caddy.Context) error {
	if err := p.resolve(); err != nil {
		return err
	}
	var err error
	if p.client, err = p.Transport.NewClient(); err != nil {
		return err
	}
	p.env = p.env.WithDefaults() // until Bind
	return nil
}

func (p *Provider) resolve() error {
	s := &p.set
	*s = settings{hosts: make([]string, len(p.Hostname)), minScore: p.minScore, scored: p.minScore > 0}
	var project string
	texts := []outbound.Setting{
		{Option: "site_key", Written: p.SiteKey, To: &s.siteKey},
		{Option: "secret_key", Written: p.SecretKey, To: &s.secret},
		{Option: "verify_url", Written: p.VerifyURL, To: &s.verify},
		{Option: "script_url", Written: p.ScriptURL, To: &s.script},
		{Option: "widget_url", Written: p.WidgetURL, To: &s.at},
		{Option: "action", Written: p.Action, To: &s.action},
		{Option: "project", Written: p.Project, To: &project},
	}
	for i, host := range p.Hostname {
		texts = append(texts, outbound.Setting{Option: "hostname", Written: host, To: &s.hosts[i]})
	}
	if err := outbound.ResolveAll(texts...); err != nil {
		return err
	}
	for i, host := range s.hosts {
		s.hosts[i] = normal(host)
	}
	if p.MinScore != nil {
		s.minScore, s.scored = *p.MinScore, *p.MinScore > 0
	}
	return p.urls(project)
}

// urls fills in the URLs that are not written.
func (p *Provider) urls(project string) error {
	s := &p.set
	if s.verify == "" {
		if p.hasProject() && project == "" {
			return errors.New("project is missing: write the id of the Google Cloud project, or a verify_url")
		}
		s.verify = strings.ReplaceAll(p.endpoint, "{project}", url.PathEscape(project))
	}
	if s.verify == "" {
		return fmt.Errorf("verify_url is missing: %s is yours to host; write the whole URL that it verifies tokens at", p.name)
	}
	if err := outbound.CheckURL("verify_url", s.verify, false); err != nil {
		return err
	}
	if p.widget.at != "" && s.at == "" {
		s.at = outbound.Origin(s.verify) + strings.ReplaceAll(p.widget.at, "{site_key}", url.QueryEscape(s.siteKey))
	}
	if s.script == "" {
		s.script = p.widget.script
		if strings.HasPrefix(s.script, "/") {
			s.script = outbound.Origin(s.verify) + s.script
		}
	}
	if s.at != "" {
		if err := outbound.CheckURL("widget_url", s.at, false); err != nil {
			return err
		}
	}
	return outbound.CheckURL("script_url", s.script, false)
}

// actionText is what every service takes for the name of an action.
var actionText = regexp.MustCompile(`^[0-9A-Za-z_/-]{1,100}$`)

// Validate refuses what is missing, and options that the service knows nothing
// of.
func (p *Provider) Validate() error {
	s := p.set
	switch {
	case s.siteKey == "":
		return errors.New("site_key is missing: write the public key that the service gave you")
	case s.secret == "":
		return errors.New("secret_key is missing: write the secret that the service gave you, such as {env.CAPTCHA_SECRET}")
	case s.siteKey == s.secret:
		return errors.New("site_key and secret_key are the same: one of them is in the wrong place, and site_key is public")
	case !printable(s.secret):
		return errors.New("secret_key has a character that no key has: a space or a line break at its end?")
	case s.action != "" && p.action == "":
		return fmt.Errorf("action: %s reports no action; leave it out", p.name)
	case s.action != "" && !actionText.MatchString(s.action):
		return fmt.Errorf("action %q: write letters, digits, _, / and - only", s.action)
	case len(s.hosts) > 0 && p.hostname == "":
		return fmt.Errorf("hostname: %s reports no host; leave it out", p.name)
	case p.MinScore != nil && p.score == "":
		return fmt.Errorf("min_score: %s reports no score; leave it out", p.name)
	case p.Project != "" && !p.hasProject():
		return fmt.Errorf("project: %s has no projects; leave it out", p.name)
	case p.WidgetURL != "" && p.widget.at == "":
		return fmt.Errorf("widget_url: %s is not yours to host; leave it out", p.name)
	}
	for _, host := range s.hosts {
		if strings.ContainsAny(host, "/:*@ ") && net.ParseIP(host) == nil {
			return fmt.Errorf("hostname %q: write the host alone, such as www.example.com", host)
		}
	}
	return checkScore(s.minScore)
}

// Bind takes what the host lends, and refuses the service's published test keys
// where they are not asked for.
func (p *Provider) Bind(env provider.Env) error {
	env = env.WithDefaults()
	p.env, p.tests = env, false
	for option, key := range map[string]string{"site_key": p.set.siteKey, "secret_key": p.set.secret} {
		if !slices.Contains(p.testKeys, key) {
			continue
		}
		if !env.AllowTestKeys {
			return fmt.Errorf("%s of %s is a test key that everybody knows: write your own, or allow_test_keys while you test", option, p.name)
		}
		p.tests = true
		env.Logger.Warn("a published test key is in use: this site is not protected", zap.String("option", option))
	}
	if p.action != "" && p.score != "" && p.set.action == "" {
		env.Logger.Warn("no action is configured: a token that any page of the site was given counts here")
	}
	return nil
}

// Cleanup ends idle connections.
func (p *Provider) Cleanup() error {
	p.client.Close()
	return nil
}

// Fields returns the field of the service's widget.
func (p *Provider) Fields() []string { return []string{p.field} }

// Interface guards.
var (
	_ caddy.Module          = (*Provider)(nil)
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddy.CleanerUpper    = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ provider.Provider     = (*Provider)(nil)
	_ provider.Prober       = (*Provider)(nil)
	_ provider.Presenter    = (*Provider)(nil)
	_ provider.Binder       = (*Provider)(nil)
)
