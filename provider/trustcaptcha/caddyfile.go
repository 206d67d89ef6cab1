package trustcaptcha

import (
	"fmt"
	"strconv"

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
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("trustcaptcha takes no argument, got %q: write its options in a block", d.Val())
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
		return outbound.Text(d, &p.SiteKey, "a UUID")
	case "api_key":
		return outbound.Text(d, &p.APIKey, "a key")
	case "api_url":
		return outbound.Text(d, &p.APIURL, "a URL")
	case "script_url":
		return outbound.Text(d, &p.ScriptURL, "a URL")
	case "captcha_id":
		return outbound.Text(d, &p.CaptchaID, "a UUID")
	case "max_score":
		return p.unmarshalMaxScore(d)
	case "client_failover":
		if p.ClientFailover {
			return d.Err("client_failover is already specified: write it once")
		}
		if d.NextArg() {
			return d.Errf("client_failover takes no argument, got %q: leave it out to turn it off", d.Val())
		}
		p.ClientFailover = true
		return nil
	default:
		if known, err := p.Transport.UnmarshalOption(d); known {
			return err
		}
		return d.Errf("unrecognized subdirective '%s': trustcaptcha has site_key, api_key, api_url, script_url, max_score, captcha_id, client_failover, tls_trusted_ca, proxy and header", option)
	}
}

func (p *Provider) unmarshalMaxScore(d *caddyfile.Dispenser) error {
	if p.MaxScore != nil {
		return d.Err("max_score is already specified: write it once")
	}
	value, err := outbound.Value(d, "a number from 0 to 1")
	if err != nil {
		return err
	}
	score, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return d.Errf("max_score %q is not a number: write one from 0 to 1, such as 0.5", value)
	}
	if err := checkScore(score); err != nil {
		return d.WrapErr(err)
	}
	p.MaxScore = &score
	return nil
}

func checkScore(score float64) error {
	if score >= 0 && score <= 1 {
		return nil
	}
	return fmt.Errorf("max_score %v is out of range: write a number from 0 (human) to 1 (bot), such as 0.5", score)
}
