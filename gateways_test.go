package captcha

import (
	"crypto/md5" //nolint:gosec // GeeTest's protocol
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// gateway is the far end of a real provider: strict, breakable, and with a widget
// that solves. It passes a token as often as it is asked about it, so that only
// the edge keeps one from opening two requests.
type gateway struct {
	*providertest.Server
	kind string

	plain, secure string // the URLs, which Server must not be asked for while it breaks

	mu     sync.Mutex
	issued map[string]bool // what passes
	hook   hook
}

// hook answers a call instead of the protocol; status 0 leaves it to that.
type hook func(c providertest.Call, what int) (status int, body string)

// What a call is.
const (
	callVerify = iota
	callProbe  // one for each probe of the edge
	callOther  // the rest of GeeTest's probe
	callIssue  // of a challenge of GeeTest's, or the last part of its probe
)

const (
	gateSite   = "11111111-2222-4333-8444-555555555555"
	gateSecret = "ak_0123456789abcdef"
	gateID     = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
)

// newGateway starts the far end of turnstile, trustcaptcha or geetest.
func newGateway(t *testing.T, kind string) *gateway {
	t.Helper()
	g := &gateway{kind: kind, issued: make(map[string]bool)}
	g.Server = providertest.Serve(t, func(s *providertest.Server) providertest.Answerer {
		return func(c providertest.Call) (int, string) {
			what := g.sort(c)
			g.mu.Lock()
			h := g.hook
			g.mu.Unlock()
			if strings.Contains(c.Path, "//") || strings.Contains(fmt.Sprint(c.Query), gateSecret) {
				s.Strict("%s %s %v", c.Method, c.Path, c.Query)
			}
			if h != nil {
				if status, body := h(c, what); status != 0 {
					return status, body
				}
			}
			return g.answer(s, c)
		}
	})
	g.plain, g.secure = g.URL(), g.TLSURL()
	return g
}

// sort tells what a call is from what it asks about.
func (g *gateway) sort(c providertest.Call) int {
	switch {
	case strings.Contains(c.Path, "cadd0000-0000-8000-"), strings.Contains(string(c.Body), "caddy-captcha-probe"),
		c.Path == "/v1/bypass_status.php":
		return callProbe
	case c.Path == "/register.php":
		return callIssue
	case strings.Contains(string(c.Body), strings.Repeat("0", 32)):
		return callOther
	}
	return callVerify
}

func (g *gateway) set(h hook) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook = h
}

// count says how many calls of a kind came after the first n of all. What is
// injected holds for every call after total.
func (g *gateway) count(what, n int) (k int) {
	calls := g.Calls()
	for _, c := range calls[min(n, len(calls)):] {
		if g.sort(c) == what {
			k++
		}
	}
	return k
}

func (g *gateway) total() int { return len(g.Calls()) }

func (g *gateway) issue(token string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued[token] = true
	return token
}

func (g *gateway) passes(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.issued[token]
}

func (g *gateway) answer(s *providertest.Server, c providertest.Call) (int, string) {
	form, _ := url.ParseQuery(string(c.Body))
	switch {
	case g.kind == "turnstile":
		switch response := form.Get("response"); {
		case form.Get("secret") != gateSecret:
			return 200, `{"success":false,"error-codes":["invalid-input-secret"]}`
		case !g.passes(response):
			return 200, `{"success":false,"error-codes":["invalid-input-response"]}`
		}
		return 200, `{"success":true,"error-codes":[],"hostname":"127.0.0.1","challenge_ts":"2026-11-21T01:57:00Z"}`
	case g.kind == "trustcaptcha":
		id, _ := strings.CutPrefix(c.Path, "/v2/verifications/")
		id, ok := strings.CutSuffix(id, "/results")
		switch {
		case !ok || c.Method != http.MethodGet:
			s.Strict("%s %s", c.Method, c.Path)
		case c.Header.Get("Authorization") != "Bearer "+gateSecret:
			return 403, `{"error":"api key"}`
		case c.Query.Get("clientFailover") == "true":
			return 412, `{"error":"no outage on record"}`
		case g.passes(id):
			return 200, trustResult(id, "DEFAULT", "ALLOW", false)
		}
		return 404, `{"error":"unknown"}`
	}
	switch c.Path { // geetest
	case "/v1/bypass_status.php":
		return 200, `{"status":"success"}`
	case "/register.php":
		if c.Query.Get("gt") != gateID {
			return 200, `{"challenge":"0"}`
		}
		return 200, `{"challenge":"` + randomHex(16) + `"}`
	case "/validate.php":
		if seccode := form.Get("seccode"); g.passes(form.Get("challenge") + "/" + seccode) {
			return 200, `{"seccode":"` + md5Of(seccode) + `"}`
		}
		return 200, `{"seccode":"false"}`
	}
	s.Strict("%s %s", c.Method, c.Path)
	return 404, ""
}

// trustResult is a result with what TrustCaptcha's page says of it.
func trustResult(id, decisionType, action string, failover bool) string {
	return fmt.Sprintf(`{"captchaId":"aaaaaaaa-2222-4333-8444-555555555555","verificationId":%q,"verificationPassed":true,"score":0.1,`+
		`"decisionType":%q,"decisionAction":%q,"gatewayFailoverActive":%t,"riskScoringEnabled":true}`, id, decisionType, action, failover)
}

// block is the provider in a Caddyfile.
func (g *gateway) block(secure bool, more ...string) string {
	base, ca := g.plain, ""
	if secure {
		base, ca = g.secure, "\n\ttls_trusted_ca "+g.CA()
	}
	options := map[string]string{
		"turnstile":    "\n\tsite_key 0x4AAAAAAAtest\n\tsecret_key " + gateSecret + "\n\tverify_url " + base + "/siteverify",
		"trustcaptcha": "\n\tsite_key " + gateSite + "\n\tapi_key " + gateSecret + "\n\tapi_url " + base,
		"geetest":      "\n\tcaptcha_id " + gateID + "\n\tcaptcha_key " + gateSecret + "\n\tapi_url " + base + "\n\tbypass_url " + base + "/v1/bypass_status.php",
	}[g.kind]
	for _, m := range more {
		options += "\n\t" + m
	}
	return "provider " + g.kind + " {" + options + ca + "\n}"
}

// widget solves what a visitor is shown.
func (g *gateway) widget(p puzzle) url.Values {
	switch p.Provider {
	case "pow":
		return url.Values{"altcha": {powtest.Solve(p.Challenge)}}
	case "turnstile":
		return url.Values{"cf-turnstile-response": {g.issue("0." + randomHex(20))}}
	case "trustcaptcha":
		return url.Values{"tc-verification-token": {trustToken(g.issue(randomUUID()), false)}}
	}
	var doc struct {
		Success   int
		Challenge string
	}
	_ = json.Unmarshal(p.Challenge, &doc)
	if doc.Success != 1 {
		return offlineAnswer(doc.Challenge)
	}
	seccode := randomHex(16) + "|jordan"
	g.issue(doc.Challenge + "/" + seccode)
	return geetestAnswer(doc.Challenge, seccode[:32], seccode)
}

// odd is a token that nobody was given, of the right shape or not.
func (g *gateway) odd(n int) url.Values {
	text := "no." + randomHex(18)
	if n%3 == 0 {
		text = strings.Repeat("\xff<'\";${x}", 1+n%7) + text
	}
	switch {
	case g.kind == "turnstile":
		return url.Values{"cf-turnstile-response": {text}}
	case g.kind == "trustcaptcha" && n%3 != 0:
		return url.Values{"tc-verification-token": {trustToken(randomUUID(), n%2 == 0)}}
	case g.kind == "trustcaptcha":
		return url.Values{"tc-verification-token": {text}}
	case n%3 == 0:
		return geetestAnswer(text, text, text)
	case n%3 == 1:
		return offlineAnswer(randomHex(16))
	}
	seccode := randomHex(16)
	return geetestAnswer(randomHex(16), seccode, seccode+"|jordan")
}

// trustToken is what TrustCaptcha's widget submits.
func trustToken(id string, failover bool) string {
	doc := fmt.Sprintf(`{"verificationId":%q,"expiresAt":%q`, id, time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339))
	if failover {
		doc += `,"clientFailover":true`
	}
	return base64.StdEncoding.EncodeToString([]byte(doc + "}"))
}

func geetestAnswer(challenge, validate, seccode string) url.Values {
	return url.Values{"geetest_challenge": {challenge}, "geetest_validate": {validate}, "geetest_seccode": {seccode}}
}

// offlineAnswer is what GeeTest's widget makes of a challenge by itself.
func offlineAnswer(challenge string) url.Values {
	return geetestAnswer(challenge, md5Of(challenge), md5Of(challenge)+"|jordan")
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // GeeTest's protocol
	return hex.EncodeToString(sum[:])
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func randomUUID() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

// health is what the edge knows of the gateway.
func (g *gateway) health() (found *health) {
	healths.Range(func(key, value any) bool {
		if k := key.(string); strings.Contains(k, `"`+g.plain) || strings.Contains(k, `"`+g.secure) {
			found = value.(*health)
		}
		return found == nil
	})
	return found
}

// tenSecondsLater lets the next failed verification start a confirmation.
func (h *health) tenSecondsLater() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubted = time.Time{}
}

// form is a form with a token in one field.
func form(field, token string) string {
	return url.Values{field: {token}, "comment": {"precious"}}.Encode()
}
