package trustcaptcha

import (
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// asked is the result that a client-failover token is asked about.
const asked = realID + "?clientFailover=true"

// pageRow is a line of the page, and what it means here.
type pageRow struct {
	line    string
	off     bool // client_failover is not configured
	token   string
	results map[string]answer
	fault   providertest.Fault
	down    bool
	want    string // an outcome, a class, or the reason of a refusal
	calls   int
}

// failoverPage are the lines of the page.
func failoverPage(t *testing.T) []pageRow {
	gatewayPass := func(id, kind string) answer {
		doc := change(t, good(id), "decisionType", `"`+kind+`"`)
		return answer{200, change(t, doc, "gatewayFailoverActive", "true")}
	}
	return []pageRow{
		// Scenario 1
		{line: "your backend continues to receive valid responses; decisionType FAILOVER, ALLOW, gatewayFailoverActive true", off: true,
			token: regular(testID), results: map[string]answer{testID: gatewayPass(testID, "FAILOVER")}, want: "provider_failover", calls: 1},
		{line: "decisionType set to FAILOVER_TOLERANCE", off: true,
			token: regular(testID), results: map[string]answer{testID: gatewayPass(testID, "FAILOVER_TOLERANCE")}, want: "provider_failover", calls: 1},
		{line: "false otherwise", off: true,
			token: regular(testID), results: map[string]answer{testID: {200, good(testID)}}, want: "pass", calls: 1},
		// Scenario 2
		{line: "none are on by default", off: true, token: realFailover, want: "token-invalid", calls: 0},
		{line: "the request reaches our gateway with ?clientFailover=true; a recent outage on record: 200, FAILOVER_TOLERANCE, ALLOW, gatewayFailoverActive true",
			token: realFailover, results: map[string]answer{asked: gatewayPass(realID, "FAILOVER_TOLERANCE")}, want: "provider_failover", calls: 1},
		{line: "no outage on record: 412 PRECONDITION_FAILED",
			token: realFailover, results: map[string]answer{asked: {412, ""}}, want: "client_reported", calls: 1},
		{line: "Whether to honor such a token is decided exclusively on the server side: one that the gateway does not know",
			token: realFailover, want: "token-invalid", calls: 1},
		// 2.3 A
		{line: "Your backend could not reach our servers: connection error",
			token: regular(testID), fault: providertest.Refuse, want: "unavailable", calls: 0},
		{line: "connection error with a client-failover token",
			token: realFailover, fault: providertest.Refuse, want: "unavailable", calls: 0},
		{line: "our entire service is unreachable, and known to be",
			token: realFailover, down: true, want: "unavailable", calls: 0},
		{line: "a gateway that answers 503 is an outage too, which the libraries do not see",
			token: regular(testID), fault: providertest.Status503, want: "unavailable", calls: 1},
		// 2.3 B
		{line: "your backend can: the tail end of every outage",
			token: realFailover, results: map[string]answer{asked: {412, ""}}, want: "client_reported", calls: 1},
		{line: "the client is intentionally faking a failover, for a regular verification",
			token:   encode(`{"verificationId":"` + testID + `","expiresAt":"2026-11-21T02:10:00Z","clientFailover":true}`),
			results: map[string]answer{testID + "?clientFailover=true": {412, ""}}, want: "client_reported", calls: 1},
		{line: "412 without a claim of the client's", token: regular(testID),
			results: map[string]answer{testID: {412, ""}}, want: "token-invalid", calls: 1},
	}
}

// TestFailoverBehaviorPage goes through TrustCaptcha's page Failover Behavior:
// each row is what one of its lines says, as far as it concerns a provider. What
// to do about it is the failover policy's.
func TestFailoverBehaviorPage(t *testing.T) {
	for _, r := range failoverPage(t) {
		t.Run(r.line, func(t *testing.T) {
			s := providertest.Serve(t, (&gateway{key: testKey, results: r.results}).serve)
			s.Inject(r.fault)
			p := newProvider(t, s.URL(), func(p *Provider) { p.ClientFailover = !r.off })
			req := request()
			req.Down = r.down
			v, err := judgeToken(p, req, r.token)
			if got := name(v, err); got != r.want {
				t.Errorf("got %s (%+v, %v), want %s", got, v, err, r.want)
			}
			if got := len(s.Calls()); got != r.calls {
				t.Errorf("%d calls, want %d", got, r.calls)
			}
		})
	}
}

// 2.2: the attribute is opt-in, and the rest of 2.1: the bundle is too.
func TestFailoverIsOptIn(t *testing.T) {
	off, on := newProvider(t, "", nil).Widget(), newProvider(t, "", failover).Widget()
	if strings.Contains(off.Markup, "failover-enabled") || !strings.Contains(on.Markup, " failover-enabled>") {
		t.Errorf("failover-enabled: %s, %s", off.Markup, on.Markup)
	}
}

func name(v provider.Verdict, err error) string {
	switch e := err.(type) { //nolint:errorlint // what Verify returns, bare
	case nil:
	case *provider.Refusal:
		return string(e.Reason)
	case *provider.Fault:
		return string(e.Class)
	default:
		return "a fault of ours"
	}
	switch v.Outcome {
	case provider.Pass:
		return "pass"
	case provider.ClientReported:
		return "client_reported"
	case provider.ProviderFailover:
		return "provider_failover"
	}
	return string(v.Reason)
}
