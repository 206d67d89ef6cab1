package siteverify

import (
	"encoding/json"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// FuzzAnswer reads answers. None passes a token unless a reading of the
// protocol that shares no code with ours says so.
func FuzzAnswer(f *testing.F) {
	for i, r := range rows {
		f.Add(i, 200, []byte(r.Pass))
		for code := range r.Codes {
			status, body := r.Refuse(code)
			f.Add(i, status, []byte(body))
		}
		f.Add(i, 200, []byte(`{"success":"true","valid":1,"verified":[true],"status":"OK","code":"0"}`))
	}
	f.Fuzz(func(t *testing.T, i, status int, body []byte) {
		p := rows[uint(i)%uint(len(rows))].preset
		_, outcome, _, m, err := p.read(outbound.Answer{Status: status, Body: body})
		if outcome == provider.Fail {
			if err == nil && m == (meaning{}) {
				t.Errorf("%s: a failure without a meaning: %d %s", p.name, status, body)
			}
			return
		}
		if err != nil || !oracle(p, status, body) {
			t.Errorf("%s: passed: %d %s (%v)", p.name, status, body, err)
		}
	})
}

func oracle(p *preset, status int, body []byte) bool {
	var doc map[string]json.RawMessage
	if status != 200 || json.Unmarshal(body, &doc) != nil {
		return false
	}
	is := func(doc map[string]json.RawMessage, member, want string) bool { return string(doc[member]) == want }
	switch p {
	case &mcaptcha:
		return is(doc, "valid", "true")
	case &prosopo:
		return is(doc, "verified", "true")
	case &yandex:
		var status string
		return json.Unmarshal(doc["status"], &status) == nil && status == "ok"
	case &privatecaptcha:
		var code float64
		return is(doc, "success", "true") && json.Unmarshal(doc["code"], &code) == nil && (code == 0 || code == 9)
	case &recaptchaEnterprise:
		var properties map[string]json.RawMessage
		return json.Unmarshal(doc["tokenProperties"], &properties) == nil && is(properties, "valid", "true")
	}
	return is(doc, "success", "true")
}

// FuzzToken reads tokens. None that names another site key is sent.
func FuzzToken(f *testing.F) {
	f.Add(prosopoToken(siteKey))
	f.Add(prosopoToken(prosopo.testKeys[0]))
	f.Add("0x0001045d0004")
	f.Fuzz(func(t *testing.T, token string) {
		if key, err := prosopoSiteKey(token); err == nil && key == "" {
			t.Errorf("%q names no site key", token)
		}
	})
}
