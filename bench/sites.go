//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// siteKinds are what each of many sites has besides its reverse proxy. Keys of a
// provider differ from site to site; nobody asks it.
var siteKinds = []struct{ name, lines string }{
	{"nothing", ""},
	{"`captcha`", "\tcaptcha /form*\n"},
	{"`captcha`, `captcha_inject`", "\tcaptcha /form*\n\tcaptcha_inject\n"},
	{"`captcha` with turnstile, then pow", `	captcha /form* {
		provider turnstile {
			site_key 0x4AAAAAAA%[1]d
			secret_key 0x4AAAAAAA-secret-%[1]d
			verify_url http://127.0.0.1:1/siteverify
		}
	}
`},
}

// footprint is the memory of a server, in bytes.
type footprint struct{ heap, resident int64 }

// idleSites measures what a site costs that nobody visits any more.
func idleSites(ctx context.Context, b *bench) (figure, error) {
	f := figure{limit: 1, table: "| idle sites | each with | heap, MB | more, KB per site | resident, MB | more, KB per site |\n|--:|---|--:|--:|--:|--:|\n"}
	for _, n := range []int{max(1, b.sites/5), b.sites} {
		var plain footprint
		for i, kind := range siteKinds {
			got, err := b.footprint(ctx, n, i)
			if err != nil {
				return f, fmt.Errorf("%d sites with %s: %w", n, kind.name, err)
			}
			if i == 0 {
				plain = got
				f.table += fmt.Sprintf("| %d | %s | %s | | %s | |\n", n, kind.name, inMB(got.heap), inMB(got.resident))
				continue
			}
			heap, resident := float64(got.heap-plain.heap)/float64(n), float64(got.resident-plain.resident)/float64(n)
			f.table += fmt.Sprintf("| %d | %s | %s | %.1f | %s | %.1f |\n", n, kind.name, inMB(got.heap), heap/1024, inMB(got.resident), resident/1024)
			f.value = max(f.value, heap/mb, resident/mb)
		}
	}
	return f, nil
}

// footprint runs n sites on one port, and asks each once.
func (b *bench) footprint(ctx context.Context, n, kind int) (footprint, error) {
	addr, err := freeAddress()
	if err != nil {
		return footprint{}, err
	}
	_, port, _ := strings.Cut(addr, ":")
	var sites strings.Builder
	for i := range n {
		lines := siteKinds[kind].lines
		if strings.Contains(lines, "%") {
			lines = fmt.Sprintf(lines, i)
		}
		fmt.Fprintf(&sites, "http://%s:%s {\n%s\treverse_proxy %s\n}\n", siteName(i), port, lines, b.upstream.addr)
	}
	s := new(server)
	if err := b.launch(ctx, s, "sites", sites.String(), addr, true); err != nil {
		return footprint{}, err
	}
	defer s.stop()
	if err := visit(ctx, addr, n, kind > 0); err != nil {
		return footprint{}, err
	}
	var f footprint
	if f.heap, err = b.held(ctx, s, fmt.Sprintf("sites.%d.%s", n, strings.NewReplacer("`", "", ",", "", " ", "-").Replace(siteKinds[kind].name))); err != nil {
		return f, err
	}
	f.resident, err = s.resident()
	return f, err
}

// visit gets a page of each site, and sends it a form without a token.
func visit(ctx context.Context, addr string, n int, captcha bool) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	answer := 200
	if captcha {
		answer = 403
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		host := siteName(i)
		for _, ask := range []struct {
			request []byte
			want    int
		}{
			{request("GET", host, "/", "", acceptHTML, "", ""), 200},
			{request("POST", host, "/form", "", acceptHTML, urlencoded, form("")), answer},
		} {
			if status, err := c.do(ask.request); err != nil || status != ask.want {
				return fmt.Errorf("%s: status %d instead of %d, %v", host, status, ask.want, err) //nolint:errorlint // err may be nil
			}
		}
	}
	return nil
}

func siteName(i int) string { return fmt.Sprintf("site-%04d.example", i) }
