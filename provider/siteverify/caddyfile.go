package siteverify

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	turnstile | hcaptcha | recaptcha | … {
//		site_key   <key>
//		secret_key <key>
//		verify_url <url>          # default: the service's; required for mcaptcha and cap
//		script_url <url>          # default: the service's
//		widget_url <url>          # mcaptcha and cap: where a browser reaches it
//		project    <id>           # recaptcha_enterprise
//		action     <name>         # where the service reports one
//		hostname   <host…>        # where the service reports one; default: the request's host
//		min_score  <0..1>         # where the service scores
//		tls_trusted_ca <pem file>
//		proxy      <url>
//		header     <name> <value>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	text := outbound.TextOption
	where := func(useful bool, o outbound.Option) outbound.Option {
		o.Useless = !useful
		return o
	}
	err := p.UnmarshalBlock(d, p.name,
		text("site_key", &p.SiteKey, "a key"),
		text("secret_key", &p.SecretKey, "a key"),
		text("verify_url", &p.VerifyURL, "a URL"),
		text("script_url", &p.ScriptURL, "a URL"),
		where(p.widget.at != "", text("widget_url", &p.WidgetURL, "a URL")),
		where(p.hasProject(), text("project", &p.Project, "the id of a project")),
		where(p.preset.action != "", text("action", &p.Action, "a name")),
		where(p.preset.hostname != "", outbound.Option{Name: "hostname", Read: p.unmarshalHostname}),
		where(p.preset.score != "", outbound.ScoreOption("min_score", &p.MinScore, checkScore)),
	)
	if err != nil {
		return err
	}
	return outbound.Located(d, p)
}

func (p *Provider) unmarshalHostname(d *caddyfile.Dispenser) error {
	if len(p.Hostname) > 0 {
		return d.Err("hostname is already specified: write all hosts on one line")
	}
	if p.Hostname = d.RemainingArgs(); len(p.Hostname) == 0 {
		return d.Err("hostname needs at least one host, such as www.example.com")
	}
	if slices.Contains(p.Hostname, "") {
		return d.Err("hostname needs hosts, and one of them is empty")
	}
	return nil
}

func checkScore(score float64) error {
	if score >= 0 && score <= 1 {
		return nil
	}
	return fmt.Errorf("min_score %v is out of range: write a number from 0 to 1, where 1 is surely a human", score)
}
