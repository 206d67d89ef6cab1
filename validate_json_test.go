package captcha

import (
	"strings"
	"testing"
)

// What the Caddyfile refuses when it is adapted is refused in JSON too.
func TestValidateJSON(t *testing.T) {
	const turnstile = `"provider":{"name":"turnstile","site_key":"key","secret_key":"secret"},`
	for options, want := range map[string]string{
		turnstile + `"bypass_check":{"mode":"poll","interval":"10s"}`:    "",
		turnstile + `"bypass_check":{"mode":"request","ttl":"10s"}`:      "",
		turnstile + `"bypass_check":{"mode":"passive","interval":"10s"}`: `the interval is for the mode poll, got "passive"`,
		turnstile + `"bypass_check":{"interval":"10s"}`:                  `the interval is for the mode poll, got ""`,
		turnstile + `"bypass_check":{"mode":"poll","ttl":"10s"}`:         `the ttl is for the mode request, got "poll"`,
		`"token_field":["a",""]`:                                         "token_field needs the name of a form field",
		`"bypass_check":{"mode":"passive"}`:                              "pow can never be down",
	} {
		err := validate([]byte(`{"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"captcha",` + options + `}]}]}}}}}`))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
}
