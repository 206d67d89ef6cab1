//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// graceAfter is how long a fallback's proof counts after an outage.
const graceAfter = 10 * time.Second

// caddyfile is one of two configurations that take turns. What differs is what
// must not matter to a visitor: another site's provider comes and goes, with its
// poller; the scope of /moved changes; answers name their configuration.
func (s *soak) caddyfile(n int) string {
	c := s.caddy
	return fmt.Sprintf(`{
	admin %s
	default_bind 127.0.0.1
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	storage file_system %s
	grace_period 20s
	metrics
	log {
		level INFO
	}
	servers {
		timeouts {
			read_header 10s
		}
	}
%s}
(site) {
	header X-Config %d
%s	captcha_inject /page* {
		scope clear
		action /clear*
	}
	reverse_proxy %s {
		transport http {
			keepalive 10s
		}
	}
}
http://%s {
	import site
}
https://%s {
	tls internal
	import site
}
`, c.admin, filepath.Join(c.home, "storage"), s.store(), n, s.directives(n), s.app.addr, c.plain, c.secure)
}

// store is the global option that names the Redis, where there is one.
func (s *soak) store() string {
	if s.redis == "" {
		return ""
	}
	return fmt.Sprintf("\tcaptcha {\n\t\tstore redis {\n\t\t\taddress %s\n\t\t\tprefix %s:\n\t\t}\n\t}\n", s.redis, filepath.Base(s.dir))
}

// directives are those that protect: with pow, with clearances, and with each of
// the providers that can be down.
func (s *soak) directives(n int) string {
	var b strings.Builder
	add := func(path, format string, args ...any) {
		fmt.Fprintf(&b, "\tcaptcha /%s/* {\n"+format+"\t}\n", append([]any{path}, args...)...)
	}
	const (
		work  = "\t\t%s pow {\n\t\t\tdifficulty 1000\n\t\t\texpires 2m\n\t\t}\n"
		large = "\t\tmax_body 32MiB\n"
	)
	moved := ""
	if n == 1 {
		moved = "\t\tclearance 5m\n"
		add("extra", "\t\tprovider friendlycaptcha {\n\t\t\tsite_key FCMEXTRA\n\t\t\tsecret_key extra-secret-0123456789\n"+
			"\t\t\tverify_url http://127.0.0.1:1/siteverify\n\t\t}\n\t\tbypass_check poll 2s\n")
	}
	add("pow", work+large, "provider")
	add("signal", work+large+"\t\tmode signal\n", "provider")
	add("moved", work+moved, "provider")
	add("clear", work+large+"\t\tclearance 5m {\n\t\t\tuses %d\n\t\t\tscope clear\n\t\t}\n", "provider", clearanceUses)
	for _, g := range s.providers {
		add(g.kind, "\t\tprovider %s {\n%s\t\t}\n"+work+large+"\t\tverify_timeout 4s\n\t\tbypass_check %s\n"+
			"\t\tfailover {\n\t\t\tunreachable %s\n\t\t\tclient_reported challenge tolerate 0s\n\t\t\tgrace %s\n\t\t}\n",
			g.kind, g.options(), "fallback", g.check, g.unreachable, graceAfter)
	}
	return b.String()
}

// brokenConfigs are configurations that must be refused and change nothing: one is
// not a Caddyfile, one has a bad value, one cannot be provisioned, and one
// cannot be started, as the last of its addresses is taken.
func (s *soak) brokenConfigs() map[string]string {
	good := s.caddyfile(1)
	return map[string]string{
		"syntax":    good + "}\n",
		"value":     strings.Replace(good, "difficulty 1000", "difficulty 1", 1),
		"provision": strings.Replace(good, "\treverse_proxy", "\tcaptcha /lost* {\n\t\tchallenge {\n\t\t\ttemplate "+filepath.Join(s.dir, "missing.html")+"\n\t\t}\n\t}\n\treverse_proxy", 1),
		"start":     good + "http://" + s.app.addr + " {\n\timport site\n}\n",
	}
}
