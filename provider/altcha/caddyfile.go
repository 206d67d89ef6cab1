package altcha

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	altcha {
//		hmac_key        <key>
//		challenge_url   <url>           # default: challenges are made here
//		script_url      <url>           # default: the challenge page solves them
//		tls_trusted_ca  <pem file>
//		proxy           <url>
//		header          <name> <value>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("altcha takes no argument, got %q: write its options in a block", d.Val())
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
	case "hmac_key":
		return outbound.Text(d, &p.HMACKey, "a key")
	case "challenge_url":
		return outbound.Text(d, &p.ChallengeURL, "a URL")
	case "script_url":
		return outbound.Text(d, &p.ScriptURL, "a URL")
	default:
		if known, err := p.Transport.UnmarshalOption(d); known {
			return err
		}
		return d.Errf("unrecognized subdirective '%s': altcha has hmac_key, challenge_url, script_url, tls_trusted_ca, proxy and header", option)
	}
}
