package captcha_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// resolve replaces the placeholders of options.
func resolve(options map[string]any) {
	for name, value := range options {
		if text, ok := value.(string); ok {
			options[name] = caddy.NewReplacer().ReplaceAll(text, "")
		}
	}
}

// redirect makes the URLs that this server calls those of a fake, which keep
// their paths.
func redirect(options map[string]any, end far) {
	for _, name := range []string{"verify_url", "api_url", "bypass_url", "challenge_url"} {
		if u, err := url.Parse(text(options, name)); err == nil && u.Host != "" {
			options[name] = end.URL() + u.RequestURI()
		}
	}
	for name, path := range end.urls {
		if text(options, name) == "" {
			options[name] = end.URL() + path
		}
	}
}

func text(options map[string]any, name string) string {
	value, _ := options[name].(string)
	return value
}

// siteverified makes the far end of a provider of the siteverify family, whose
// default URL has the path, and which reports the action.
func siteverified(name, path, action string) func(*testing.T, map[string]any) far {
	return func(t *testing.T, options map[string]any) far {
		if u, err := url.Parse(text(options, "verify_url")); err == nil && u.Host != "" {
			path = u.Path
		}
		i := 0
		for providertest.Siteverifies[i].Name != name {
			i++
		}
		r := providertest.Siteverifies[i]
		r.Path, r.Key, r.Secret, r.Host = path, text(options, "site_key"), text(options, "secret_key"), "127.0.0.1"
		r.Pass = strings.ReplaceAll(r.Pass, `"login"`, strconv.Quote(action))
		if name == "recaptcha_enterprise" {
			r.Params += " event.expectedAction=" + action
		}
		reason := r.Codes[r.Junk]
		if reason == "" {
			reason = "token-invalid"
		}
		tokens := 0
		return far{
			Server: providertest.Serve(t, r.Protocol),
			reason: reason, urls: map[string]string{"verify_url": path},
			good: func(json.RawMessage) url.Values {
				tokens++
				if tokens > 1 { // of the outage
					return url.Values{r.Field: {r.Good() + strings.Repeat("0", 2*tokens)}}
				}
				return url.Values{r.Field: {r.Good()}}
			},
			bad: func(json.RawMessage) url.Values { return url.Values{r.Field: {r.Good() + "00"}} },
		}
	}
}

func farTrustCaptcha(t *testing.T, options map[string]any) far {
	const good, bad, last = "1f43b9ff-4a66-42fe-bead-748015cf8223", "2f43b9ff-4a66-42fe-bead-748015cf8223", "3f43b9ff-4a66-42fe-bead-748015cf8223"
	token := func(id string) url.Values {
		return url.Values{"tc-verification-token": {providertest.TrustToken(id, time.Now().Add(time.Minute), false)}}
	}
	next := []string{good, last}
	return far{
		Server: providertest.Serve(t, providertest.TrustCaptcha{Key: text(options, "api_key"), Result: func(id string) (int, string) {
			if id == good {
				return 200, providertest.TrustResult(id)
			}
			return 0, ""
		}}.Protocol),
		good: func(json.RawMessage) url.Values {
			id := next[0]
			next = next[1:]
			return token(id)
		},
		bad:    func(json.RawMessage) url.Values { return token(bad) },
		reason: "token-invalid", urls: map[string]string{"api_url": ""},
	}
}

func farGeeTest(t *testing.T, options map[string]any) far {
	const good, bad = "7c4a8d09ca3762af61e59520943dc264", "8c4a8d09ca3762af61e59520943dc264"
	answer := func(validate string) func(json.RawMessage) url.Values {
		return func(challenge json.RawMessage) url.Values {
			var doc struct {
				Success   int
				Challenge string
			}
			decode(t, challenge, &doc)
			if doc.Success != 1 || len(doc.Challenge) != 32 {
				t.Errorf("register: %s", challenge)
			}
			return url.Values{"geetest_challenge": {doc.Challenge}, "geetest_validate": {validate}, "geetest_seccode": {validate + "|jordan"}}
		}
	}
	return far{
		Server: providertest.Serve(t, providertest.GeeTest{
			ID: text(options, "captcha_id"), Key: text(options, "captcha_key"), Challenge: random,
			Passes: func(_, seccode string) bool { return seccode == good+"|jordan" },
		}.Protocol),
		good: answer(good), bad: answer(bad), reason: "token-invalid",
		urls: map[string]string{"api_url": "", "bypass_url": "/v1/bypass_status.php"},
	}
}

func farGeeTest4(t *testing.T, options map[string]any) far {
	answer := func(pass string) func(json.RawMessage) url.Values {
		return func(json.RawMessage) url.Values {
			return url.Values{
				"lot_number": {random()}, "captcha_output": {"b3V0cHV0_-+/="}, "pass_token": {pass},
				"gen_time": {strconv.FormatInt(time.Now().Unix(), 10)},
			}
		}
	}
	return far{
		Server: providertest.Serve(t, providertest.GeeTest4{
			ID: text(options, "captcha_id"), Key: text(options, "captcha_key"),
			Passes: func(token string) bool { return token == "good" },
		}.Protocol),
		good: answer("good"), bad: answer("bad"), reason: "token-invalid",
		urls: map[string]string{"api_url": ""},
	}
}

// farALTCHA is an ALTCHA server, or Sentinel where the example has a script_url.
func farALTCHA(t *testing.T, options map[string]any) far {
	u, err := url.Parse(text(options, "challenge_url"))
	if err != nil {
		t.Fatal(err)
	}
	server := providertest.ALTCHA{Key: text(options, "hmac_key"), Path: u.Path, Query: u.Query(), Sentinel: text(options, "script_url") != ""}
	forger := server
	forger.Key = "another key, as long as it has to be"
	solve := func(a providertest.ALTCHA) func(json.RawMessage) url.Values {
		return func(challenge json.RawMessage) url.Values {
			switch {
			case a.Sentinel:
				return url.Values{"altcha": {a.Verified()}}
			case a.Key == server.Key:
				return url.Values{"altcha": {powtest.Solve(challenge)}}
			}
			return url.Values{"altcha": {powtest.Solve(json.RawMessage(strings.Replace(string(challenge), `"signature":"`, `"signature":"00`, 1)))}}
		}
	}
	return far{Server: providertest.Serve(t, server.Protocol), good: solve(server), bad: solve(forger), reason: "token-invalid", issues: true}
}

// random is 32 characters of hex.
func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
