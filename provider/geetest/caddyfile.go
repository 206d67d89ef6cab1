package geetest

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	geetest {
//		captcha_id  <id>
//		captcha_key <key>
//		digest      md5|sha256|hmac-sha256  # default md5
//		api_url     <url>                   # default https://api.geetest.com
//		bypass_url  <url>                   # default https://bypass.geetest.com/v1/bypass_status.php
//		script_url  <url>                   # default https://static.geetest.com/static/tools/gt.js
//
//		tls_trusted_ca <pem file>
//		proxy          <url>
//		header         <name> <value>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	id, key, urls := p.options()
	digest := outbound.Option{Name: "digest", Read: p.unmarshalDigest}
	if err := p.UnmarshalBlock(d, "geetest", append([]outbound.Option{id, key, digest}, urls...)...); err != nil {
		return err
	}
	return outbound.Located(d, p)
}

func (p *Provider) unmarshalDigest(d *caddyfile.Dispenser) error {
	if p.Digest != "" {
		return d.Err("digest is already specified: write it once")
	}
	value, err := outbound.Value(d, "md5, sha256 or hmac-sha256")
	if err != nil {
		return err
	}
	if err := checkDigest(value); err != nil {
		return d.WrapErr(err)
	}
	p.Digest = value
	return nil
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	geetest4 {
//		captcha_id  <id>
//		captcha_key <key>
//		api_url     <url>  # default https://gcaptcha4.geetest.com
//		bypass_url  <url>  # default: none
//		script_url  <url>  # default https://static.geetest.com/v4/gt4.js
//
//		tls_trusted_ca <pem file>
//		proxy          <url>
//		header         <name> <value>
//	}
func (p *Provider4) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	id, key, urls := p.options()
	if err := p.UnmarshalBlock(d, "geetest4", append([]outbound.Option{id, key}, urls...)...); err != nil {
		return err
	}
	return outbound.Located(d, p)
}

// options are those of both versions.
func (a *Account) options() (id, key outbound.Option, urls []outbound.Option) {
	return outbound.TextOption("captcha_id", &a.CaptchaID, "the ID that GeeTest's dashboard shows"),
		outbound.TextOption("captcha_key", &a.CaptchaKey, "the KEY that GeeTest's dashboard shows"),
		[]outbound.Option{
			outbound.TextOption("api_url", &a.APIURL, "a URL, such as https://api-na.geetest.com"),
			outbound.TextOption("bypass_url", &a.BypassURL, "a whole URL"),
			outbound.TextOption("script_url", &a.ScriptURL, "the whole URL of the widget's loader"),
		}
}
