package captcha

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// What is known of the providers is told at each scrape; of two accounts the worse.
func TestMetricsTellOfProviders(t *testing.T) {
	const site = `handle /metrics {
		metrics
	}
	`
	e := serve(t, site+chainSite(t, "")+"\n\tcaptcha /other {\n\tprovider fake {\n\taccount another\n\t}\n\t}")
	want := func(lines ...string) {
		t.Helper()
		text := string(e.do(e.request("GET", "/metrics", "", "")).body)
		for _, line := range lines {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no %s in\n%s", line, text)
			}
		}
	}
	world(t, nil, wrongKey, provider.Verdict{})
	// from the start, or the first one would be no increase; other tests count too
	text := string(e.do(e.request("GET", "/metrics", "", "")).body)
	for _, series := range []string{`caddy_captcha_failover_total{action="fallback",situation="throttled"} `, `caddy_captcha_store_errors_total{store="memory"} `} {
		if !strings.Contains(text, series) {
			t.Errorf("no %s in\n%s", series, text)
		}
	}
	p, _ := statusOf(t, "fake")
	if code, _ := call(t, "POST", "/captcha/drill/"+p.ID, `{"for":"10m"}`); code != 204 {
		t.Fatal(code)
	}
	want(`caddy_captcha_provider_drill{provider="fake"} 1`, `caddy_captcha_provider_reached{provider="fake"} 0`)
	if code, _ := call(t, "DELETE", "/captcha/drill/"+p.ID, ""); code != 204 {
		t.Fatal(code)
	}
	world(t, wrongKey, wrongKey, provider.Verdict{})
	e.wantProblem(e.fake("x"), 503, "misconfigured")
	e.wantForwarded(e.post("/elsewhere", formType, "a=1"))
	want(`caddy_captcha_provider_misconfigured{provider="fake"} 1`, `caddy_captcha_provider_throttled{provider="fake"} 0`)
	all := allHealths()
	all[0].learn(nil, time.Now())
	all[1].learn(wrongKey, time.Now())
	want(`caddy_captcha_provider_misconfigured{provider="fake"} 1`, `caddy_captcha_provider_reached{provider="fake"} 0`)
	all[0].learn(wrongKey, time.Now())
	all[1].learn(nil, time.Now())
	want(`caddy_captcha_provider_misconfigured{provider="fake"} 1`, `caddy_captcha_provider_reached{provider="fake"} 1`)
	all[0].learn(nil, time.Now())
	want(`caddy_captcha_provider_misconfigured{provider="fake"} 0`)
}

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

// A code that the provider's protocol does not have is counted apart, and a
// sample of them is logged, without the token and without what would break a line.
func TestUnknownCodes(t *testing.T) {
	e := serve(t, "handle /metrics {\n\tmetrics\n}\n"+chainSite(t, ""))
	count := func(outcome string) (n float64) {
		text := string(e.do(e.request("GET", "/metrics", "", "")).body)
		_, rest, _ := strings.Cut(text, `caddy_captcha_verifications_total{outcome="`+outcome+`",provider="fake"} `)
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	known, unknown := count("fail"), count("unknown_code")
	world(t, nil, nil, provider.Verdict{Reason: provider.TokenInvalid})
	e.wantProblem(e.fake("one-token"), 403, "token-invalid")
	code := "new-code another-token\n" + strings.Repeat("x", 200)
	world(t, nil, nil, provider.Verdict{Reason: provider.TokenInvalid, Unknown: code})
	e.wantProblem(e.fake("another-token"), 403, "token-invalid")
	for i := range 20 {
		e.wantProblem(e.fake(fmt.Sprint("token-", i)), 403, "token-invalid")
	}
	if count("fail") != known+1 || count("unknown_code") != unknown+21 {
		t.Errorf("%v and %v more, want 1 and 21", count("fail")-known, count("unknown_code")-unknown)
	}
	log, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "has its protocol changed?"); n != 5 {
		t.Errorf("%d lines in the log, want 5 of 21", n)
	}
	if want := `"code":"new-code (hidden)?` + strings.Repeat("x", 80-len("new-code (hidden)?")) + `"`; !strings.Contains(string(log), want) {
		t.Errorf("the log lacks %s: %s", want, log)
	}
}
