package trustcaptcha

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	trustcaptcha {
//		site_key        <uuid>
//		api_key         <key>
//		api_url         <url>           # default https://api.trustcomponent.com
//		script_url      <url>           # default TrustCaptcha's CDN
//		max_score       <0..1>          # default 0.5
//		captcha_id      <uuid>          # default: not compared
//		client_failover                 # default off
//		tls_trusted_ca  <pem file>
//		proxy           <url>
//		header          <name> <value>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := p.UnmarshalBlock(d, "trustcaptcha",
		outbound.TextOption("site_key", &p.SiteKey, "a UUID"),
		outbound.TextOption("api_key", &p.APIKey, "a key"),
		outbound.TextOption("api_url", &p.APIURL, "a URL"),
		outbound.TextOption("script_url", &p.ScriptURL, "a URL"),
		outbound.ScoreOption("max_score", &p.MaxScore, checkScore),
		outbound.TextOption("captcha_id", &p.CaptchaID, "a UUID"),
		outbound.Option{Name: "client_failover", Read: p.unmarshalClientFailover},
	)
	if err != nil {
		return err
	}
	return outbound.Located(d, p)
}

func (p *Provider) unmarshalClientFailover(d *caddyfile.Dispenser) error {
	if p.ClientFailover {
		return d.Err("client_failover is already specified: write it once")
	}
	if d.NextArg() {
		return d.Errf("client_failover takes no argument, got %q: leave it out to turn it off", d.Val())
	}
	p.ClientFailover = true
	return nil
}

func checkScore(score float64) error {
	if score >= 0 && score <= 1 {
		return nil
	}
	return fmt.Errorf("max_score %v is out of range: write a number from 0 (human) to 1 (bot), such as 0.5", score)
}
