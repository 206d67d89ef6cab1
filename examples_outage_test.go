package captcha_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

const turnstileToken = "cf-turnstile-response=0.AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

func tryTurnstile(t *testing.T, site string) {
	page := post(t, site+"/login", formType, "a=1", "Accept", "text/html", "Origin", site)
	policy := page.Header.Get("Content-Security-Policy")
	if page.StatusCode != 403 || !strings.Contains(page.body, `data-action="login"`) || !strings.Contains(policy, "https://challenges.cloudflare.com") {
		t.Errorf("the page with the widget: %s, %s: %.300s", page.Status, policy, page.body)
	}
	checkFallback(t, site+"/login", post(t, site+"/login", formType, turnstileToken))
	checkFallback(t, site+"/register", post(t, site+"/register", formType, turnstileToken))
}

func tryObservability(t *testing.T, site string) {
	checkFallback(t, site+"/login", post(t, site+"/login", formType, turnstileToken))
}

// checkFallback checks that an answer has the built-in provider's challenge
// because of an outage, and that its proof counts.
func checkFallback(t *testing.T, address string, r answer) {
	t.Helper()
	checkChallenge(t, r, "pow")
	if r.StatusCode != 403 {
		return
	}
	var p struct {
		Captcha struct{ Challenge json.RawMessage }
	}
	decode(t, []byte(r.body), &p)
	if r := post(t, address, formType, "a=1", "Captcha-Token", powtest.Solve(p.Captcha.Challenge)); r.captcha() != "passed pow" {
		t.Errorf("POST %s with the fallback's proof: %s, the app was told %q: %s", address, r.Status, r.captcha(), r.body)
	}
}

func checkChallenge(t *testing.T, r answer, by string) {
	t.Helper()
	var p struct {
		Reason  string
		Captcha struct{ Provider string }
	}
	decode(t, []byte(r.body), &p)
	if r.StatusCode != 403 || p.Captcha.Provider != by || (p.Reason != "provider-unreachable" && p.Reason != "try-again" && p.Reason != "token-missing") {
		t.Errorf("%s, want a challenge of %s: %s", r.Status, by, r.body)
	}
}

// trustCaptchaToken is what the widget submits.
func trustCaptchaToken() string {
	text := `{"verificationId":"1f43b9ff-4a66-42fe-bead-748015cf8223","expiresAt":"` + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + `"}`
	return "tc-verification-token=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(text)))
}

func tryTrustCaptcha(t *testing.T, site string) {
	for _, body := range []string{trustCaptchaToken(), "a=1"} { // by then it is known, and nobody is asked
		if r := post(t, site+"/contact", formType, body); r.StatusCode != 200 || r.captcha() != "failover trustcaptcha" {
			t.Errorf("POST /contact in an outage: %s, the app was told %q: %s", r.Status, r.captcha(), r.body)
		}
	}
	if r := get(t, site+"/assets/README"); r.StatusCode != 200 {
		t.Errorf("the widget's folder: %s", r.Status)
	}
}

func tryGeeTest(t *testing.T, site string) {
	r := get(t, site+"/geetest/register")
	var doc struct {
		Success   int
		Challenge string
	}
	decode(t, []byte(r.body), &doc)
	if r.StatusCode != 200 || doc.Success != 0 || len(doc.Challenge) != 32 {
		t.Errorf("register in an outage: %s %s", r.Status, r.body)
	}
	body := "geetest_challenge=" + doc.Challenge + "&geetest_validate=" + doc.Challenge + "&geetest_seccode=" + doc.Challenge + "%7Cjordan"
	checkFallback(t, site+"/login", post(t, site+"/login", formType, body))
}

func tryHighAvailability(t *testing.T, site string) {
	checkChallenge(t, post(t, site+"/login", formType, turnstileToken), "hcaptcha")
	checkFallback(t, site+"/login", post(t, site+"/login", formType, "h-captcha-response=P0_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"))
}

func tryFailover(t *testing.T, site string) {
	checkFallback(t, site+"/login", post(t, site+"/login", formType, trustCaptchaToken()))
	r := post(t, site+"/transfer", formType, trustCaptchaToken())
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(r.body, `"provider-unreachable"`) || strings.Contains(r.body, `"captcha"`) {
		t.Errorf("POST /transfer in an outage: %s %s", r.Status, r.body)
	}
}
