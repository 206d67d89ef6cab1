package captcha

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// The first who meets an outage while a challenge is made for them gets that of
// the fallback, in an answer of the same kind as ever.
func TestChallengesInAnOutageThatNobodyKnowsYet(t *testing.T) {
	broken := func(t *testing.T) *edge {
		t.Helper()
		g := newGateway(t, "geetest")
		e := guard(t, g, "", "")
		g.Inject(providertest.Refuse)
		return e
	}
	t.Run("a puzzle that a script asks for", func(t *testing.T) {
		e := broken(t)
		r := e.post("/login", "", "", "Captcha-Request", "challenge")
		var p puzzle
		if err := json.Unmarshal(r.body, &p); err != nil || r.StatusCode != 200 || p.Provider != "pow" {
			t.Errorf("%s %v: %s, want 200 and a puzzle of pow", r.Status, err, r.body)
		}
	})
	for name, c := range map[string]struct {
		body, contentType, reason string
		status                    int
	}{
		"a form":                      {"a=1", formType, "token-missing", 403},
		"a form that is too large":    {"x=" + strings.Repeat("x", 11<<20), formType, "body-too-large", 413},
		"a charset that hides tokens": {"a=1", formType + "; charset=utf-16", "unsupported-encoding", 415},
	} {
		t.Run(name, func(t *testing.T) {
			e := broken(t)
			var p puzzle
			doc := e.wantProblem(e.post("/login", c.contentType, c.body), c.status, c.reason)
			if err := json.Unmarshal(doc.Captcha, &p); err != nil || p.Provider != "pow" {
				t.Errorf("%v: %s", err, doc.Captcha)
			}
		})
	}
}

// What policy says of the outage stands: nobody is asked to try again.
func TestNoChallengeWherePolicyDenies(t *testing.T) {
	for name, headers := range map[string][]string{"a script": nil, "a browser": {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin"}} {
		g := newGateway(t, "geetest")
		e := guard(t, g, "", failover("unreachable deny"))
		g.Inject(providertest.Refuse)
		r := e.post("/login", formType, "a=1", headers...)
		if r.StatusCode != 503 || !strings.Contains(string(r.body), "provider-unreachable") && !strings.Contains(string(r.body), "cannot be reached") {
			t.Errorf("%s: %s %s", name, r.Status, r.body)
		}
	}
}
