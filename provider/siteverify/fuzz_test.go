package siteverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
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
	isTrue := func(doc map[string]json.RawMessage, member string) bool { return string(doc[member]) == "true" }
	switch p {
	case &mcaptcha:
		return isTrue(doc, "valid")
	case &prosopo:
		return isTrue(doc, "verified")
	case &yandex:
		var status string
		return json.Unmarshal(doc["status"], &status) == nil && status == "ok"
	case &privatecaptcha:
		var code float64
		return isTrue(doc, "success") && json.Unmarshal(doc["code"], &code) == nil && (code == 0 || code == 9)
	case &recaptchaEnterprise:
		var properties map[string]json.RawMessage
		return json.Unmarshal(doc["tokenProperties"], &properties) == nil && isTrue(properties, "valid")
	}
	return isTrue(doc, "success")
}

// FuzzToken reads tokens, and builds the question about each. It differs from the
// question about any other token in the token, and in nothing else (D-68).
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		prosopoToken(siteKey), prosopoToken(prosopo.testKeys[0]), "0x0001045d0004", goodToken, siteKey + ":a:b", "a:b:c", "undefined", ".UNSOLVED", "x&secret=theirs",
		`x","secret":"theirs`, "%26", "a+b;c=d", `\u0022?#/../`, "\u00fc", "\xff", "a b",
	} {
		f.Add(seed)
	}
	var providers []*Provider
	for _, r := range rows {
		providers = append(providers, r.load(f, "https://127.0.0.1:1"))
	}
	f.Fuzz(func(t *testing.T, token string) {
		if key, err := prosopoSiteKey(token); err == nil && key == "" {
			t.Errorf("%q names no site key", token)
		}
		for _, p := range providers {
			parsed, err := p.Parse(t.Context(), request, map[string]string{p.field: token})
			if _, ok := errors.AsType[*provider.Refusal](err); ok {
				continue
			}
			if err != nil || parsed.Fields[p.field] != token || parsed.Key == "" {
				t.Fatalf("%s: %q: %+v, %v", p.name, token, parsed, err)
			}
			got, want := question(t, p, token), question(t, p, "x")
			for name, value := range want {
				if want[name] = value; value == "x" {
					want[name] = token
				}
			}
			if !maps.Equal(got, want) {
				t.Fatalf("%s: %q: asks %q, want %q", p.name, token, got, want)
			}
		}
	})
}

// question is the request about a token, taken apart: its parameters, each of which
// it has once, its address and its headers.
func question(t *testing.T, p *Provider, token string) map[string]string {
	t.Helper()
	r, err := p.request(t.Context(), token, "")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{" url": r.Method + " " + r.URL.Scheme + "://" + r.URL.Host + r.URL.Path, " headers": fmt.Sprint(r.Header)}
	params := make(map[string][]string)
	switch p.ask.encoding {
	case raw:
		params["body"] = []string{string(body)}
	case asJSON:
		var doc map[string]any
		err = json.Unmarshal(body, &doc)
		if p.ask.wrap != "" && len(doc) == 1 {
			doc, _ = doc[p.ask.wrap].(map[string]any)
		}
		for name, value := range doc {
			params[name] = []string{fmt.Sprint(value)}
		}
	default:
		params, err = url.ParseQuery(string(body) + r.URL.RawQuery)
	}
	for name, values := range params {
		if all[name] = values[0]; len(values) != 1 || err != nil {
			t.Fatalf("%s: %q: %s is %q (%v)", p.name, token, name, values, err)
		}
	}
	return all
}
