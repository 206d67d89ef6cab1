package captcha

import (
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Counters go on over reloads, and every config shows them.
func TestMetrics(t *testing.T) {
	const site = `handle /metrics {
		metrics
	}
	`
	e := serve(t, site+chainSite(t, ""))
	world(t, nil, nil, passed)
	e.wantForwarded(e.fake("a"))
	e.load("", site+chainSite(t, "")+"\n\theader X-Reload 1")
	world(t, unavailable, unavailable, provider.Verdict{})
	e.wantProblem(e.fake("b"), 403, "provider-unreachable")
	text := string(e.do(e.request("GET", "/metrics", "", "")).body)
	for _, want := range []string{
		`caddy_captcha_decisions_total{decision="forward",provider="fake",reason=""}`,
		`caddy_captcha_decisions_total{decision="challenge",provider="fake",reason="provider-unreachable"}`,
		`caddy_captcha_verifications_total{outcome="pass",provider="fake"}`,
		`caddy_captcha_verifications_total{outcome="unavailable",provider="fake"}`,
		`caddy_captcha_failover_total{action="fallback",situation="unreachable"}`,
		`caddy_captcha_provider_up{provider="fake"} 0`,
		`caddy_captcha_verify_duration_seconds_count{provider="fake"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}
