//go:build linux

package main

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // GeeTest's protocol
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// kinds are the providers that are called over the network.
var kinds = []string{"turnstile", "geetest", "trustcaptcha", "hcaptcha", "geetest4"}

const (
	siteKey    = "11111111-2222-4333-8444-555555555555"
	captchaID  = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	realSecret = "ak-the-secret-that-nobody-may-read"
)

// gateway is the far end of one provider. It passes the tokens that it has given
// out, as often as it is asked, so that only the edge keeps one from opening two
// requests; and it knows when it was broken, and how.
type gateway struct {
	kind        string
	check       string // bypass_check of its handler
	unreachable string // the action of its handler
	door        *door
	server      *http.Server

	mu     sync.Mutex
	issued map[string]time.Time
	fault  fault
	spans  []span // its faults
}

func newGateway(kind string) (*gateway, error) {
	g := &gateway{kind: kind, issued: make(map[string]time.Time), fault: none, unreachable: "fallback",
		check: map[string]string{"turnstile": "passive", "geetest": "poll 2s", "trustcaptcha": "request 2s", "hcaptcha": "poll 2s", "geetest4": "passive"}[kind]}
	if kind == "hcaptcha" {
		g.unreachable = "allow"
	}
	var err error
	if g.door, err = newDoor(); err != nil {
		return nil, err
	}
	g.server = &http.Server{Handler: g, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	g.server.SetKeepAlivesEnabled(false) // what is broken is so from the next call on
	return g, g.door.open(g.server)
}

func (g *gateway) close() {
	_ = g.door.shut()
	g.door.free()
	_ = g.server.Close()
}

func (g *gateway) path() string { return "/" + g.kind }

// options are the provider's options in the Caddyfile.
func (g *gateway) options() string {
	base := "http://" + g.door.addr
	lines := map[string][]string{
		"turnstile":    {"site_key 0x4AAAAAAAsoak", "secret_key " + realSecret, "verify_url " + base + "/siteverify"},
		"hcaptcha":     {"site_key " + siteKey, "secret_key " + realSecret, "verify_url " + base + "/siteverify"},
		"trustcaptcha": {"site_key " + siteKey, "api_key " + realSecret, "api_url " + base, "client_failover"},
		"geetest":      {"captcha_id " + captchaID, "captcha_key " + realSecret, "api_url " + base, "bypass_url " + base + "/v1/bypass_status.php"},
		"geetest4":     {"captcha_id " + captchaID, "captcha_key " + realSecret, "api_url " + base},
	}[g.kind]
	return "\t\t\t" + strings.Join(lines, "\n\t\t\t") + "\n"
}

func (g *gateway) issue(token string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.issued[token] = now
	for old, at := range g.issued { // a few each time: none lives for long
		if now.Sub(at) > 5*time.Minute {
			delete(g.issued, old)
		} else {
			break
		}
	}
	return token
}

func (g *gateway) passes(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.issued[token]
	return ok
}

// solve is what the provider's widget submits.
func (g *gateway) solve(p puzzle) url.Values {
	switch g.kind {
	case "turnstile":
		return url.Values{"cf-turnstile-response": {g.issue("0." + randomHex(20))}}
	case "hcaptcha":
		return url.Values{"h-captcha-response": {g.issue("P1_" + randomHex(20))}}
	case "trustcaptcha":
		return url.Values{"tc-verification-token": {trustToken(g.issue(randomUUID()), false)}}
	}
	if g.kind == "geetest4" {
		return geetest4Answer(randomHex(16), g.issue(randomHex(32)))
	}
	seccode := randomHex(16) + "|jordan"
	g.issue(p.Challenge.Challenge + "/" + seccode)
	return geetestAnswer(p.Challenge.Challenge, seccode[:32], seccode)
}

// junk is a token that nobody was given, of the right shape or not.
func (g *gateway) junk(n int) url.Values {
	text := "no." + randomHex(18)
	if n%3 == 0 {
		text = strings.Repeat("\xff<'\";${x}", 1+n%7) + text
	}
	switch {
	case g.kind == "turnstile":
		return url.Values{"cf-turnstile-response": {text}}
	case g.kind == "hcaptcha":
		return url.Values{"h-captcha-response": {text}}
	case g.kind == "trustcaptcha" && n%3 != 0: // every other one says that the provider is down
		return url.Values{"tc-verification-token": {trustToken(randomUUID(), n%2 == 0)}}
	case g.kind == "trustcaptcha":
		return url.Values{"tc-verification-token": {text}}
	case g.kind == "geetest4" && n%3 == 0:
		return geetest4Answer(text, text)
	case g.kind == "geetest4":
		return geetest4Answer(randomHex(16), randomHex(32))
	case n%3 == 0:
		return geetestAnswer(text, text, text)
	case n%3 == 1: // what the widget makes offline
		c := randomHex(16)
		return geetestAnswer(c, md5Of(c), md5Of(c)+"|jordan")
	}
	seccode := randomHex(16)
	return geetestAnswer(randomHex(16), seccode, seccode+"|jordan")
}

// ServeHTTP answers as the provider does, or as its fault wants it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	g.mu.Lock()
	f := g.fault
	g.mu.Unlock()
	status, text := g.answer(r, body, f == wrongKey)
	f.spoil(w, r, status, text)
}

// answer is what the true protocol says.
func (g *gateway) answer(r *http.Request, body []byte, wrong bool) (int, string) {
	form, _ := url.ParseQuery(string(body))
	switch g.kind {
	case "turnstile", "hcaptcha":
		switch token := form.Get("response"); {
		case wrong || form.Get("secret") != realSecret:
			return 200, `{"success":false,"error-codes":["invalid-input-secret"]}`
		case !g.passes(token):
			return 200, `{"success":false,"error-codes":["invalid-input-response"]}`
		}
		return 200, `{"success":true,"error-codes":[],"hostname":"127.0.0.1","challenge_ts":"2026-11-21T01:57:00Z"}`
	case "trustcaptcha":
		id, _ := strings.CutPrefix(r.URL.Path, "/v2/verifications/")
		id, _ = strings.CutSuffix(id, "/results")
		switch {
		case wrong || r.Header.Get("Authorization") != "Bearer "+realSecret:
			return 403, `{"error":"api key"}`
		case r.URL.Query().Get("clientFailover") == "true":
			return 412, `{"error":"no outage on record"}`
		case g.passes(id):
			return 200, fmt.Sprintf(`{"captchaId":"aaaaaaaa-2222-4333-8444-555555555555","verificationId":%q,"verificationPassed":true,"score":0.1,`+
				`"decisionType":"DEFAULT","decisionAction":"ALLOW","gatewayFailoverActive":false,"riskScoringEnabled":true}`, id)
		}
		return 404, `{"error":"unknown"}`
	}
	switch r.URL.Path { // geetest, and 4
	case "/validate":
		switch lot := form.Get("lot_number"); {
		case wrong || r.URL.Query().Get("captcha_id") != captchaID || form.Get("sign_token") != signed(lot):
			return 200, `{"status":"error","code":"-50103","msg":"captcha_id error"}`
		case !g.passes(form.Get("pass_token")):
			return 200, `{"status":"success","result":"fail","reason":"pass_token error","captcha_args":{}}`
		default:
			return 200, fmt.Sprintf(`{"status":"success","result":"success","reason":"","captcha_args":{"lot_number":%q}}`, lot)
		}
	case "/v1/bypass_status.php":
		return 200, `{"status":"success"}`
	case "/register.php":
		if wrong || r.URL.Query().Get("gt") != captchaID {
			return 200, `{"challenge":"0"}`
		}
		return 200, `{"challenge":"` + randomHex(16) + `"}`
	case "/validate.php":
		if seccode := form.Get("seccode"); !wrong && g.passes(form.Get("challenge")+"/"+seccode) {
			return 200, `{"seccode":"` + md5Of(seccode) + `"}`
		}
		return 200, `{"seccode":"false"}`
	}
	return 404, ""
}

// trustToken is what TrustCaptcha's widget submits.
func trustToken(id string, failover bool) string {
	doc := fmt.Sprintf(`{"verificationId":%q,"expiresAt":%q`, id, time.Now().Add(2*time.Minute).UTC().Format(time.RFC3339))
	if failover {
		doc += `,"clientFailover":true`
	}
	return base64Of(doc + "}")
}

func geetestAnswer(challenge, validate, seccode string) url.Values {
	return url.Values{"geetest_challenge": {challenge}, "geetest_validate": {validate}, "geetest_seccode": {seccode}}
}

// geetest4Answer is what the widget of version 4 submits.
func geetest4Answer(lot, pass string) url.Values {
	return url.Values{"lot_number": {lot}, "captcha_output": {base64Of(lot)}, "pass_token": {pass}, "gen_time": {fmt.Sprint(time.Now().Unix())}}
}

// signed is what GeeTest 4 wants to see beside a lot number.
func signed(lot string) string {
	mac := hmac.New(sha256.New, []byte(realSecret))
	mac.Write([]byte(lot))
	return hex.EncodeToString(mac.Sum(nil))
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // GeeTest's protocol
	return hex.EncodeToString(sum[:])
}

// fault is one way in which a provider is broken.
type fault string

const (
	none     fault = "none"
	refuse   fault = "refuses connections"
	reset    fault = "resets connections"
	hang     fault = "does not answer"
	drip     fault = "answers a byte a second"
	status5  fault = "answers 500"
	captive  fault = "answers with a captive portal's page"
	cut      fault = "answers with half of the JSON"
	wrongKey fault = "refuses our key"
	quota    fault = "answers 429"
	slow     fault = "answers late, in time"
)

// outage reports whether a fault is one that the probe sees as an outage.
func (f fault) outage() bool {
	switch f {
	case none, wrongKey, quota, slow:
		return false
	}
	return true
}

// retryAfter is what quota asks for.
const retryAfter = 3

// spoil answers, with what the fault makes of the true answer.
func (f fault) spoil(w http.ResponseWriter, r *http.Request, status int, text string) {
	send := func(status int, contentType, text string) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
	switch f {
	case reset:
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	case hang:
		wait(r.Context(), 20*time.Second)
	case drip:
		for _, b := range []byte(text) {
			_, err := w.Write([]byte{b})
			_ = http.NewResponseController(w).Flush()
			if err != nil || !wait(r.Context(), time.Second) {
				return
			}
		}
	case status5:
		send(http.StatusInternalServerError, "application/json", text)
	case captive, cut:
		if f == cut && r.Method == http.MethodPost {
			send(status, "application/json", text[:len(text)/2])
			return
		}
		send(http.StatusOK, "text/html", "<!doctype html><title>Sign in</title><p>Please sign in to the network.")
	case quota:
		w.Header().Set("Retry-After", fmt.Sprint(retryAfter))
		send(http.StatusTooManyRequests, "application/json", text)
	case slow:
		if wait(r.Context(), 300*time.Millisecond) {
			send(status, "application/json", text)
		}
	default:
		send(status, "application/json", text)
	}
}
