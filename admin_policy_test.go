package captcha

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// policies reads what the admin API says of the directives, as text: how many,
// mode, chain, situation, and the actions in their order.
func policies(t *testing.T) []string {
	t.Helper()
	_, body := call(t, "GET", "/captcha/status", "")
	var doc statusDoc
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, d := range doc.Policies {
		text := fmt.Sprintf("%d %s %s [%s]", d.Directives, d.Mode, d.chainText(), d.Situation)
		for i, a := range d.Actions {
			if a.Situation != situations[i] {
				t.Errorf("%s at %d, want %s", a.Situation, i, situations[i])
			}
			text += " " + string(a.Action)
			if a.Fallback != "" {
				text += "/" + a.Fallback
			}
			if a.For != "" {
				text += fmt.Sprintf("(%s then %s, %v)", a.For, a.Then, a.Until != nil)
			}
		}
		texts = append(texts, text)
	}
	return texts
}

func wantPolicies(t *testing.T, want ...string) {
	t.Helper()
	if got := policies(t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the policies are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The admin API says what would happen now: not what is written, but what the
// policy makes of it as the providers stand.
func TestStatusTellsThePolicy(t *testing.T) {
	site := func(path, options string) string {
		return fmt.Sprintf("captcha %s {\n\tprovider fake {\n\t\taccount %s\n\t}\n\t%s\n\t}\n\t", path, t.Name(), options)
	}
	e := serve(t, chainSite(t, "failover {\n\tunreachable fallback for 1h then deny\n\t}")+"\n\t"+
		site("/a*", "")+site("/b*", "")+site("/c*", "mode signal")+site("/d*", "fallback off\n\tfailover {\n\t\tunreachable allow\n\t}")+
		"captcha /pow* {\n\tprovider pow\n\t}")
	world(t, nil, nil, passed)
	at := ""
	rest := " challenge allow fallback/pow deny deny"
	check := func(until bool, reported string) {
		t.Helper()
		others := strings.Replace(rest, "challenge", reported, 1)
		wantPolicies(t,
			"1 enforce fake ["+at+"] allow challenge allow deny deny deny",
			fmt.Sprintf("1 enforce fake → pow [%s] fallback/pow(1h0m0s then deny, %v)%s", at, until, others),
			"2 enforce fake → pow ["+at+"] fallback/pow"+others,
			"1 signal fake → pow ["+at+"] fallback/pow"+others)
	}
	check(false, "challenge")
	p, _ := statusOf(t, "fake")
	if code, body := call(t, "POST", "/captcha/drill/"+p.ID, `{"for":"10m"}`); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	at = "unreachable"
	check(true, "challenge") // a drill is no outage that tolerate counts from
	if code, _ := call(t, "DELETE", "/captcha/drill/"+p.ID, ""); code != 204 {
		t.Fatal(code)
	}
	at = ""
	check(false, "challenge")

	e.load("", chainSite(t, "failover {\n\tmisconfigured fallback\n\t}")) // another config, other policies
	world(t, wrongKey, wrongKey, provider.Verdict{})
	e.wantProblem(e.fake("x"), 403, "misconfigured")
	wantPolicies(t, "1 enforce fake → pow [misconfigured] fallback/pow challenge allow fallback/pow fallback/pow deny")
}

// The outage's own time says until when its first action holds.
func TestPolicyTellsUntil(t *testing.T) {
	e := serve(t, chainSite(t, "failover {\n\tunreachable allow for 1h then deny\n\t}"))
	world(t, unavailable, unavailable, provider.Verdict{})
	e.wantForwarded(e.fake("x"))
	now := time.Now()
	h := running.Load().handlers[0]
	for _, c := range []struct {
		at   time.Time
		want action
	}{{now, allow}, {now.Add(59 * time.Minute), allow}, {now.Add(time.Hour), deny}} {
		d := h.policyDoc(c.at)
		if a := d.Actions[0]; a.Action != c.want || a.Until == nil || a.Until.Sub(now).Round(time.Minute) != time.Hour {
			t.Errorf("at %s: %+v, want %s until an hour after the outage began", c.at.Sub(now), a, c.want)
		}
		if a := d.Actions[1]; a.Action != c.want { // reported within tolerate: as unreachable
			t.Errorf("at %s: reported by a client: %s, want %s", c.at.Sub(now), a.Action, c.want)
		}
	}
}
