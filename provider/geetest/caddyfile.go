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
	return p.unmarshal(d, "geetest", "digest, ", func(option string) (bool, error) {
		if option != "digest" {
			return false, nil
		}
		if p.Digest != "" {
			return true, d.Err("digest is already specified: write it once")
		}
		value, err := outbound.Value(d, "md5, sha256 or hmac-sha256")
		if err != nil {
			return true, err
		}
		if err := checkDigest(value); err != nil {
			return true, d.WrapErr(err)
		}
		p.Digest = value
		return true, nil
	})
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
	return p.unmarshal(d, "geetest4", "", func(string) (bool, error) { return false, nil })
}

// unmarshal reads a block. own reads the options of one version.
func (a *Account) unmarshal(d *caddyfile.Dispenser, name, also string, own func(option string) (bool, error)) error {
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("%s takes no argument, got %q: write its options in a block", name, d.Val())
	}
	for d.NextBlock(0) {
		option := d.Val()
		known, err := own(option)
		if !known && err == nil {
			known, err = a.unmarshalOption(d, option)
		}
		if !known && err == nil {
			known, err = a.UnmarshalOption(d)
		}
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unrecognized subdirective '%s': %s has captcha_id, captcha_key, %sapi_url, bypass_url, script_url, tls_trusted_ca, proxy and header",
				option, name, also)
		}
	}
	return nil
}

func (a *Account) unmarshalOption(d *caddyfile.Dispenser, option string) (known bool, err error) {
	switch option {
	case "captcha_id":
		return true, outbound.Text(d, &a.CaptchaID, "the ID that GeeTest's dashboard shows")
	case "captcha_key":
		return true, outbound.Text(d, &a.CaptchaKey, "the KEY that GeeTest's dashboard shows")
	case "api_url":
		return true, outbound.Text(d, &a.APIURL, "a URL, such as https://api-na.geetest.com")
	case "bypass_url":
		return true, outbound.Text(d, &a.BypassURL, "a whole URL")
	case "script_url":
		return true, outbound.Text(d, &a.ScriptURL, "the whole URL of the widget's loader")
	}
	return false, nil
}
