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

// A page that carries no form comes back without a token, because its widget did not
// load, and its request would be let in: the visitor is told to send the form again,
// not that it was refused.
func TestPageWithoutFormIsLetIn(t *testing.T) {
	for _, c := range []struct {
		name, again string // what the page sends before its seal
		headers     []string
		status      int
	}{
		{"tried again", "", browser("same-origin"), 200},
		{"blocked", "captcha-blocked=1&", browser("same-origin"), 200},
		{"a script", "", []string{"Sec-Fetch-Site", "same-origin"}, 204},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, chainSite(t, "max_replay 1KiB\nfailover {\nunreachable allow\n}"))
			world(t, nil, nil, provider.Verdict{})
			body := "text=" + strings.Repeat("x", 2000)
			page := e.browse("same-origin", "/login", formType, body)
			world(t, unavailable, unavailable, provider.Verdict{}) // and the widget with it
			r := e.post("/login", formType, c.again+"captcha-seal="+sealIn(t, page), c.headers...)
			if r.StatusCode != c.status || len(r.Cookies()) != 1 || r.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s %v %.3000s", r.Status, r.Cookies(), r.body)
			}
			if s := string(r.body); c.status == 200 && (!strings.Contains(s, "Check passed. Now go back and send your form again within two minutes.") ||
				strings.Contains(s, "not accepted") || strings.Contains(s, "could not be understood")) {
				t.Errorf("the visitor is told %s", s)
			}
			if n := len(e.app.take()); n > 0 {
				t.Errorf("%d requests reached the app", n)
			}
			world(t, nil, nil, provider.Verdict{})
			<-e.healthOf(t).confirm() // the outage is over before the form comes again
			cookie := r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
			sameBytes(t, e.wantForwarded(e.browse("same-origin", "/login", formType, body, "Cookie", cookie)).Body, body)
			if again := e.browse("same-origin", "/login", formType, body, "Cookie", cookie); again.StatusCode != 403 {
				t.Errorf("once more: %s", again.Status)
			}
		})
	}
}

// The same of a visitor who has got a clearance meanwhile: the form goes on, also from
// a page whose widget did not load. Where there is none to go on, the clearance is
// enough, and nothing is given that is bound to less.
func TestPageWithoutTokenOfAClearedVisitor(t *testing.T) {
	e := serve(t, chainSite(t, "max_replay 1KiB\nclearance 1h {\nbind ip\n}"))
	world(t, nil, nil, provider.Verdict{Outcome: provider.Pass})
	small, large := "text=short", "text="+strings.Repeat("x", 2000)
	carried, once := sealIn(t, e.browse("same-origin", "/login", formType, small)), sealIn(t, e.browse("same-origin", "/login", formType, large))
	r := e.fake("a")
	e.wantForwarded(r)
	cookie := r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
	for _, before := range []string{"", "captcha-blocked=1&"} {
		r = e.browse("same-origin", "/login", formType, before+"captcha-seal="+carried, "Cookie", cookie)
		sameBytes(t, e.wantForwarded(r).Body, small)
		r = e.browse("same-origin", "/login", formType, before+"captcha-seal="+once, "Cookie", cookie)
		if r.StatusCode != 200 || len(r.Cookies()) > 0 || !strings.Contains(string(r.body), "Now go back") || len(e.app.take()) > 0 {
			t.Errorf("%s %v %.3000s", r.Status, r.Cookies(), r.body)
		}
	}
	sameBytes(t, e.wantForwarded(e.browse("same-origin", "/login", formType, large, "Cookie", cookie)).Body, large)
}
