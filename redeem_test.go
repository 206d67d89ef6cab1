package captcha

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// What lets a request in in an outage gives the one-time clearance, too: the visitor
// whose form was too large to be carried is not left standing.
func TestRedemptionInAnOutage(t *testing.T) {
	for _, c := range []struct {
		name, options string
		err, probe    error
		verdict       provider.Verdict
	}{
		{"provider_failover", "", nil, nil, provider.Verdict{Outcome: provider.ProviderFailover}},
		{"client_reported", "failover {\nclient_reported allow\n}", nil, nil, provider.Verdict{Outcome: provider.ClientReported}},
		{"unreachable", "failover {\nunreachable allow\n}", unavailable, unavailable, provider.Verdict{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, chainSite(t, "max_replay 1KiB\n"+c.options))
			world(t, c.err, c.probe, c.verdict)
			body := "text=" + strings.Repeat("x", 2000)
			seal := sealIn(t, e.browse("same-origin", "/login", formType, body))
			redeem := func() reply {
				return e.post("/login", formType, "fake-token=a&captcha-seal="+seal, "Captcha-Redeem", "1", "Sec-Fetch-Site", "same-origin")
			}
			r := redeem()
			if r.StatusCode != 204 || len(r.Cookies()) != 1 {
				t.Fatalf("%s %v %s", r.Status, r.Cookies(), r.body)
			}
			if again := redeem(); c.err == nil && len(again.Cookies()) != 0 {
				t.Error("one token was redeemed twice")
			}
			cookie := r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
			world(t, nil, nil, provider.Verdict{})
			<-e.healthOf(t).confirm()
			sameBytes(t, e.wantForwarded(e.post("/login", formType, body, "Cookie", cookie)).Body, body)
			e.wantProblem(e.post("/login", formType, body, "Cookie", cookie), 403, "token-missing")
		})
	}
}

// A directive that was changed while the page was open redeems it too: it is the
// one that has verified the proof, and the clearance is for it. Refused, the page
// would have no way on.
func TestRedeemAfterTheDirectiveHasChanged(t *testing.T) {
	site := func(option string) string {
		return "captcha /login* {\n\tprovider pow {\n\t\tdifficulty 1000\n\t}\n\tmax_replay 1KiB\n\t" + option + "\n}\nreverse_proxy {app}"
	}
	large := "comment=" + strings.Repeat("x", 2<<10)
	e := serve(t, site(""))
	seal := sealIn(t, e.browse("same-origin", "/login", formType, large))
	e.load("", site("clearance 1h"))
	text := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + seal
	r := e.post("/login", formType, text, "Captcha-Redeem", "1", "Sec-Fetch-Site", "same-origin")
	if r.StatusCode != 204 || len(r.Cookies()) != 1 {
		t.Fatalf("%s, cookies %v: %s", r.Status, r.Cookies(), r.body)
	}
	c := r.Cookies()[0]
	s := e.wantForwarded(e.browse("same-origin", "/login", formType, large, "Cookie", c.Name+"="+c.Value))
	sameBytes(t, s.Body, large)
	if again := e.browse("same-origin", "/login", formType, large, "Cookie", c.Name+"="+c.Value); again.StatusCode != 403 {
		t.Errorf("once more: %s", again.Status)
	}
}
