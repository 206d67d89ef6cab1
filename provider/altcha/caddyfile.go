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
	err := p.UnmarshalBlock(d, "altcha",
		outbound.TextOption("hmac_key", &p.HMACKey, "a key"),
		outbound.TextOption("challenge_url", &p.ChallengeURL, "a URL"),
		outbound.TextOption("script_url", &p.ScriptURL, "a URL"),
	)
	if err != nil {
		return err
	}
	return outbound.Located(d, p)
}
