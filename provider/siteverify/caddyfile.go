package siteverify

import (
	"strconv"
	"strings"

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
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("%s takes no argument, got %q: write its options in a block", p.name, d.Val())
	}
	for d.NextBlock(0) {
		if err := p.unmarshalOption(d); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) unmarshalOption(d *caddyfile.Dispenser) error {
	switch option := d.Val(); option {
	case "site_key":
		return outbound.Text(d, &p.SiteKey, "a key")
	case "secret_key":
		return outbound.Text(d, &p.SecretKey, "a key")
	case "verify_url":
		return outbound.Text(d, &p.VerifyURL, "a URL")
	case "script_url":
		return outbound.Text(d, &p.ScriptURL, "a URL")
	case "widget_url":
		return outbound.Text(d, &p.WidgetURL, "a URL")
	case "project":
		return outbound.Text(d, &p.Project, "the id of a project")
	case "action":
		return outbound.Text(d, &p.Action, "a name")
	case "hostname":
		return p.unmarshalHostname(d)
	case "min_score":
		return p.unmarshalMinScore(d)
	default:
		if known, err := p.UnmarshalOption(d); known {
			return err
		}
		return d.Errf("unrecognized subdirective '%s': %s has %s", option, p.name, strings.Join(p.options(), ", "))
	}
}

func (p *Provider) unmarshalHostname(d *caddyfile.Dispenser) error {
	if len(p.Hostname) > 0 {
		return d.Err("hostname is already specified: write all hosts on one line")
	}
	if p.Hostname = d.RemainingArgs(); len(p.Hostname) == 0 {
		return d.Err("hostname needs at least one host, such as www.example.com")
	}
	for _, host := range p.Hostname {
		if host == "" {
			return d.Err("hostname needs hosts, and one of them is empty")
		}
	}
	return nil
}

func (p *Provider) unmarshalMinScore(d *caddyfile.Dispenser) error {
	if p.MinScore != nil {
		return d.Err("min_score is already specified: write it once")
	}
	value, err := outbound.Value(d, "a number from 0 to 1")
	if err != nil {
		return err
	}
	score, err := strconv.ParseFloat(value, 64)
	if err != nil || !(score >= 0 && score <= 1) {
		return d.Errf("min_score %q is not a number from 0 to 1, such as 0.5", value)
	}
	p.MinScore = &score
	return nil
}

// options are the options that make sense for this provider.
func (p *Provider) options() []string {
	list := []string{"site_key", "secret_key", "verify_url", "script_url"}
	for _, o := range []struct {
		name string
		has  bool
	}{
		{"widget_url", p.widget.at != ""}, {"project", strings.Contains(p.endpoint, "{project}")},
		{"action", p.preset.action != ""}, {"hostname", p.preset.hostname != ""}, {"min_score", p.preset.score != ""},
	} {
		if o.has {
			list = append(list, o.name)
		}
	}
	return append(list, "tls_trusted_ca", "proxy", "header")
}
