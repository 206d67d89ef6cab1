//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// What stands in front of the reverse proxies. Tokens are few hashes, which
// costs the client less and the server the same.
const (
	captchaLines = `
	captcha /form* {
		provider pow {
			difficulty 1000
			expires 24h
		}
	}`
	clearedLines = `
	captcha /form* {
		clearance 24h
		provider pow {
			difficulty 1000
			expires 24h
		}
	}`
)

// ownLines are of Caddy itself, and do the least that a directive with a matcher must
// do that keeps headers of its own from being forged: what they cost is what GETs
// would cost with any such directive.
const ownLines = `
	request_header -X-Captcha-*
	@form path /form*
	header @form Vary Cookie`

// outageLines name a provider at a port where nobody listens.
const outageLines = `
	captcha /form* {
		provider turnstile {
			site_key 0x4AAAAAAAbench
			secret_key 0x4AAAAAAAbench-secret
			verify_url http://127.0.0.1:1/siteverify
		}
		fallback pow {
			difficulty 1000
			expires 24h
		}
		bypass_check passive {
			fails 1
		}
	}`

// start runs a Caddy, with captcha or without.
func (b *bench) start(ctx context.Context, name string, captcha bool) (*server, error) {
	s := new(server)
	for _, addr := range []*string{&s.proxy, &s.cleared, &s.outage, &s.files, &s.pages, &s.through, &s.shaped, &s.lined, &s.beside, &s.secure} {
		var err error
		if *addr, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	first, second, third, inject, own := "", "", "", "", ""
	if captcha {
		first, second, third, inject, own = captchaLines, clearedLines, outageLines, captchaLines+"\n\tcaptcha_inject", ownLines
	}
	proxy, files := "reverse_proxy "+b.upstream.addr, "root "+b.www()+"\n\tfile_server"
	var sites strings.Builder
	for _, site := range []struct{ addr, first, then string }{
		{s.proxy, first, proxy},
		{s.cleared, second, proxy},
		{s.outage, third, proxy},
		{s.files, "", files},
		{s.pages, inject, files},
		{s.through, inject, proxy},
		{s.shaped, "\n\ttemplates", files},
		{s.lined, own, proxy},
		{s.beside, "", proxy},
	} {
		fmt.Fprintf(&sites, "http://%s {%s\n\t%s\n}\n", site.addr, site.first, site.then)
	}
	fmt.Fprintf(&sites, "https://%s {\n\ttls internal%s\n\t%s\n}\n", s.secure, second, proxy)
	return s, b.launch(ctx, s, name, sites.String(), s.secure, b.profile != "")
}
