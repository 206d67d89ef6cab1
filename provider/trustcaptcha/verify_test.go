package trustcaptcha

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func TestFaults(t *testing.T) {
	for _, kind := range []struct {
		name, token, id string
		outcome         provider.Outcome
	}{
		{"regular", regular(testID), testID, provider.Pass},
		{"client failover", realFailover, realID + "?clientFailover=true", provider.ProviderFailover},
	} {
		t.Run(kind.name, func(t *testing.T) {
			id, _, _ := strings.Cut(kind.id, "?")
			body := good(id)
			if kind.outcome == provider.ProviderFailover {
				body = strings.ReplaceAll(body, `"gatewayFailoverActive":false`, `"gatewayFailoverActive":true`)
			}
			g := &gateway{key: testKey, results: map[string]answer{kind.id: {200, body}}}
			providertest.Suite{
				Protocol: g.serve,
				New: func(t testing.TB, url string) provider.Provider {
					p := &Provider{SiteKey: testSite, APIKey: testKey, APIURL: url, ClientFailover: true}
					if err := providertest.Provision(t, p); err != nil {
						t.Fatal(err)
					}
					return p
				},
				Env:     func(env *provider.Env) { env.Now = newProvider(t, "", nil).env.Now },
				Request: request(),
				Fields:  map[string]string{field: kind.token},
				Outcome: kind.outcome,
				Secrets: []string{testKey, id},
				Classes: map[providertest.Fault]provider.Class{
					providertest.Status403: provider.Misconfigured, // whatever its body says
					providertest.Status429: providertest.Verdict,   // a spent token
				},
				ProbeClasses: map[providertest.Fault]provider.Class{
					providertest.Status429: provider.Throttled, // there is no token
					// The status 404 is the answer. Its body says nothing.
					providertest.TruncatedJSON: providertest.Verdict,
					providertest.WrongTypes:    providertest.Verdict,
				},
				RetrySafe: true,
			}.Run(t)
		})
	}
}

// TestStatuses is the table of statuses of the libraries and of the Result
// Validation overview that the Failover Behavior page refers to.
func TestStatuses(t *testing.T) {
	const none = provider.Class("")
	for _, tc := range []struct {
		status  int
		regular provider.Reason
		reason  provider.Reason // of a client-failover token; empty is ClientReported
		class   provider.Class
	}{
		{403, "", "", provider.Misconfigured},
		{404, provider.TokenInvalid, provider.TokenInvalid, none},
		{410, provider.TokenExpired, provider.TokenExpired, none},
		{412, provider.TokenInvalid, "", none},
		{423, provider.TokenInvalid, provider.TokenInvalid, none},
		{429, provider.TokenDuplicate, provider.TokenDuplicate, none},
		{201, "", "", provider.Unavailable},
		{204, "", "", provider.Unavailable},
		{400, "", "", provider.Unavailable},
		{401, "", "", provider.Unavailable},
		{402, "", "", provider.Unavailable},
		{405, "", "", provider.Unavailable},
		{409, "", "", provider.Unavailable},
		{422, "", "", provider.Unavailable},
		{500, "", "", provider.Unavailable},
		{502, "", "", provider.Unavailable},
		{504, "", "", provider.Unavailable},
	} {
		a := answer{tc.status, `{"message":"about ` + testID + `"}`}
		g := &gateway{key: testKey, results: map[string]answer{testID: a, realID + "?clientFailover=true": a}}
		p := newProvider(t, providertest.Serve(t, g.serve).URL(), failover)
		for _, token := range []string{regular(testID), realFailover} {
			verdict, err := judgeToken(p, request(), token)
			if tc.class != none {
				fault := wantClass(t, err, tc.class)
				if fault.Again != (tc.class == provider.Unavailable) {
					t.Errorf("%d: Again = %t", tc.status, fault.Again)
				}
				continue
			}
			want := provider.Verdict{Outcome: provider.Fail, Reason: tc.regular}
			if token == realFailover {
				want.Reason = tc.reason
				if want.Reason == "" {
					want.Outcome = provider.ClientReported
				}
			}
			if err != nil || verdict.Outcome != want.Outcome || verdict.Reason != want.Reason {
				t.Errorf("%d: %+v, %v; want %+v", tc.status, verdict, err, want)
			}
			if strings.Contains(verdict.Detail, testID) {
				t.Errorf("%d: the detail repeats the answer: %s", tc.status, verdict.Detail)
			}
		}
	}
}

// TestResult changes one member after the other of a good result.
func TestResultD62D63(t *testing.T) {
	const unavailable = "unavailable"
	for _, tc := range []struct{ name, member, value, want string }{
		{"as it is", "", "", "pass"},
		{"passed is text", "verificationPassed", `"true"`, unavailable},
		{"passed is 1", "verificationPassed", `1`, unavailable},
		{"passed is null", "verificationPassed", `null`, unavailable},
		{"passed is missing", "verificationPassed", "", unavailable},
		{"did not pass", "verificationPassed", `false`, "token-invalid"},
		{"blocked", "decisionAction", `"BLOCK"`, "token-invalid"},
		{"allowed in lower case", "decisionAction", `"allow"`, "token-invalid, unknown allow"},
		{"another decision", "decisionAction", `"\nASK ` + testKey + `"`, "token-invalid, unknown ?ASK (hidden)"},
		{"the decision is a list", "decisionAction", `["ALLOW"]`, unavailable},
		{"no decision", "decisionAction", "", unavailable},
		{"another id", "verificationId", `"` + realID + `"`, unavailable},
		{"the id in upper case", "verificationId", `"` + strings.ToUpper(testID) + `"`, "pass"},
		{"no id", "verificationId", "", unavailable},
		{"score at the limit", "score", `0.5`, "pass"},
		{"score above it", "score", `0.500001`, "score-too-low"},
		{"score 1", "score", `1`, "score-too-low"},
		{"score 0", "score", `0`, "pass"},
		{"negative score", "score", `-0.1`, unavailable},
		{"score out of range", "score", `1.1`, unavailable},
		{"score is text", "score", `"0.1"`, unavailable},
		{"no score", "score", "", unavailable},
		{"score is null", "score", `null`, unavailable},
		{"scoring is text", "riskScoringEnabled", `"false"`, unavailable},
		{"scoring is unknown", "riskScoringEnabled", "", "pass"},
		{"scoring is null", "riskScoringEnabled", `null`, "pass"},
		{"the gateway failed over", "gatewayFailoverActive", `true`, "failover"},
		{"failover is text", "gatewayFailoverActive", `"true"`, unavailable},
		{"failover is unknown", "gatewayFailoverActive", "", "pass"},
		{"type failover", "decisionType", `"FAILOVER"`, "failover"},
		{"type tolerance", "decisionType", `"FAILOVER_TOLERANCE"`, "failover"},
		{"another type", "decisionType", `"SOMETHING"`, "pass"},
		{"another captcha", "captchaId", `"` + testSite + `"`, "token-invalid"},
		{"no captcha", "captchaId", "", "token-invalid"},
		{"the captcha in upper case", "captchaId", `"` + strings.ToUpper(testCaptcha) + `"`, "pass"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := change(t, good(testID), tc.member, tc.value)
			p := newProvider(t, "", func(p *Provider) { p.CaptchaID = testCaptcha })
			verdict, err := p.judgeResult(answerOf(body), claim{id: testID})
			if got := told(verdict, err); got != tc.want {
				t.Errorf("%+v, %v: got %s, want %s", verdict, err, got, tc.want)
			}
			if tc.want == unavailable {
				_ = wantClass(t, err, provider.Unavailable)
			} else if verdict.Score == nil {
				t.Error("the score is not told")
			}
		})
	}
}

func answerOf(body string) outbound.Answer { return outbound.Answer{Status: 200, Body: []byte(body)} }

// change sets one member of a JSON object, or removes it.
func change(t *testing.T, doc, member, value string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &members); err != nil {
		t.Fatal(err)
	}
	if value == "" {
		delete(members, member)
	} else {
		members[member] = json.RawMessage(value)
	}
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func told(v provider.Verdict, err error) string {
	switch {
	case err != nil:
		return "unavailable"
	case v.Outcome == provider.Pass:
		return "pass"
	case v.Outcome == provider.ProviderFailover:
		return "failover"
	case v.Unknown != "":
		return string(v.Reason) + ", unknown " + v.Unknown
	}
	return string(v.Reason)
}

func TestScoringTurnedOff(t *testing.T) {
	for _, score := range []string{"", "null", "0.9", "-1"} {
		body := change(t, change(t, good(testID), "riskScoringEnabled", "false"), "score", score)
		v, err := newProvider(t, "", nil).judgeResult(answerOf(body), claim{id: testID})
		if err != nil || v.Outcome != provider.Pass || v.Score != nil {
			t.Errorf("score %q: %+v, %v", score, v, err)
		}
	}
	zero := 0.0
	p := newProvider(t, "", func(p *Provider) { p.MaxScore = &zero })
	if v, _ := p.judgeResult(answerOf(good(testID)), claim{id: testID}); v.Reason != provider.ScoreTooLow {
		t.Errorf("max_score 0: %+v", v)
	}
}

// A failover of the gateway is none unless the result is otherwise a pass.
func TestGatewayFailoverIsNoPassByItself(t *testing.T) {
	failedOver := change(t, good(testID), "gatewayFailoverActive", "true")
	for _, tc := range []struct{ member, value, want string }{
		{"verificationPassed", "false", "token-invalid"},
		{"decisionAction", `"BLOCK"`, "token-invalid"},
		{"score", "0.9", "score-too-low"},
		{"captchaId", `"` + testSite + `"`, "token-invalid"},
	} {
		p := newProvider(t, "", func(p *Provider) { p.CaptchaID = testCaptcha })
		v, err := p.judgeResult(answerOf(change(t, failedOver, tc.member, tc.value)), claim{id: testID})
		if told(v, err) != tc.want {
			t.Errorf("%s %s: %+v, %v", tc.member, tc.value, v, err)
		}
	}
}

// TestWhatIsCalled pins that nothing of a token but its id is sent, and only to
// the configured URL.
func TestWhatIsCalledD66(t *testing.T) {
	g := &gateway{key: testKey, prefix: "/tc", results: map[string]answer{testID: {200, good(testID)}}}
	s := providertest.Serve(t, g.serve)
	p := newProvider(t, s.URL()+"/tc/", failover) // the slash at the end goes
	evil := providertest.Serve(t, g.serve)
	raw := encode(`{"apiEndpoint":"` + evil.URL() + `","verificationId":"` + strings.ToUpper(testID) + `","encryptedAccessToken":"x"}`)
	if v, err := judgeToken(p, request(), raw); err != nil || v.Outcome != provider.Pass {
		t.Errorf("%+v, %v", v, err)
	}
	if len(evil.Calls()) > 0 {
		t.Error("a token's apiEndpoint was called")
	}
	for i, want := range []string{"", "clientFailover=true"} {
		token := []string{regular(testID), realFailover}[i]
		_, _ = judgeToken(p, request(), token)
		calls := s.Calls()
		if got := calls[len(calls)-1].Query.Encode(); got != want {
			t.Errorf("asked with %q, want %q", got, want)
		}
	}
	before := len(s.Calls())
	req := request()
	req.Down = true
	_, err := judgeToken(p, req, realFailover)
	if fault := wantClass(t, err, provider.Unavailable); fault.Again {
		t.Error("nothing is gained by asking again")
	}
	p.ClientFailover = false
	_, err = judgeToken(p, request(), realFailover)
	wantReason(t, err, provider.TokenInvalid)
	if len(s.Calls()) != before {
		t.Error("a client-failover token was asked about")
	}
	if _, err := p.Verify(context.Background(), request(), provider.Token{}); err == nil {
		t.Error("a token of nobody's")
	}
}

func TestProbe(t *testing.T) {
	answers := map[string]answer{}
	s := providertest.Serve(t, (&gateway{key: testKey, results: answers}).serve)
	p := newProvider(t, s.URL(), nil)
	if err := p.Probe(context.Background()); err != nil {
		t.Error(err)
	}
	if calls := s.Calls(); !strings.Contains(calls[0].Path, probeID) || isTestID(probeID) {
		t.Errorf("asked about %s", calls[0].Path)
	}
	for status, class := range map[int]provider.Class{
		200: provider.Unavailable, 401: provider.Unavailable, 410: provider.Unavailable, 412: provider.Unavailable,
		423: provider.Unavailable, 500: provider.Unavailable, 403: provider.Misconfigured, 429: provider.Throttled,
	} {
		answers[probeID] = answer{status, good(probeID)}
		_ = wantClass(t, p.Probe(context.Background()), class)
	}
	// A web server that knows nothing of the API is none.
	answers[probeID] = answer{404, "<!DOCTYPE html><title>Not found</title>"}
	_ = wantClass(t, p.Probe(context.Background()), provider.Unavailable)
	p = newProvider(t, s.URL(), func(p *Provider) { p.APIKey = "another" })
	_ = wantClass(t, p.Probe(context.Background()), provider.Misconfigured)
}

// FuzzResult reads results. None passes unless encoding/json finds in it that the
// verification is the one that was asked about, and that it is allowed in.
func FuzzResult(f *testing.F) {
	p := newProvider(f, "", func(p *Provider) { p.CaptchaID = testCaptcha })
	for _, seed := range []string{
		"", "null", "{}", "[]", good(testID), strings.ReplaceAll(good(testID), "true", `"true"`), strings.Replace(good(testID), "ALLOW", "BLOCK", 1),
		strings.Replace(good(testID), "{", `{"gatewayFailoverActive":true,"decisionType":"FAILOVER",`, 1), strings.Replace(good(testID), testCaptcha, testID, 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := p.judgeResult(answerOf(string(body)), claim{id: testID})
		if err != nil {
			if v.Outcome != provider.Fail || v.Score != nil {
				t.Fatalf("%q: %+v with an error", body, v)
			}
			return
		}
		if v.Outcome == provider.Fail && v.Reason == "" {
			t.Fatalf("%q fails for no reason", body)
		}
		if v.Outcome == provider.Fail {
			return
		}
		var doc struct {
			VerificationPassed                        bool
			DecisionAction, VerificationID, CaptchaID string
			GatewayFailoverActive                     bool
			Score                                     float64
		}
		if json.Unmarshal(body, &doc) != nil || !doc.VerificationPassed || doc.DecisionAction != "ALLOW" || doc.Score < 0 || doc.Score > 1 ||
			!strings.EqualFold(doc.VerificationID, testID) || !strings.EqualFold(doc.CaptchaID, testCaptcha) || doc.GatewayFailoverActive && v.Outcome == provider.Pass {
			t.Fatalf("%q is %+v", body, v)
		}
	})
}
