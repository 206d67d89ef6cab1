package altcha

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

func TestModule(t *testing.T) {
	if _, err := caddy.GetModule("http.captcha.providers.altcha"); err != nil {
		t.Error(err)
	}
	p := new(Provider).CaddyModule().New().(*Provider)
	doc := `{"hmac_key":"` + testKey + `","challenge_url":"https://a.example/c","script_url":"https://a.example/w.js","header":{"X-A":"b"}}`
	if err := json.Unmarshal([]byte(doc), p); err != nil {
		t.Fatal(err)
	}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(p); err != nil || string(out) != doc {
		t.Errorf("got %s, %v", out, err)
	}
	if got := p.Fields(); !slices.Equal(got, []string{"altcha"}) {
		t.Errorf("fields are %v", got)
	}
	if err := new(Provider).Cleanup(); err != nil {
		t.Error(err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	p, err := unmarshal("altcha {\n hmac_key {env.K}\n challenge_url https://a.example/c\n script_url https://a.example/w.js\n tls_trusted_ca /ca.pem\n proxy http://p:1\n header X-A b\n}")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p)
	want := `{"hmac_key":"{env.K}","challenge_url":"https://a.example/c","script_url":"https://a.example/w.js","tls_trusted_ca":"/ca.pem","proxy":"http://p:1","header":{"X-A":"b"}}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	for in, want := range map[string]string{
		"altcha x":                              `got "x": write its options in a block`,
		"altcha {\n speed 1\n}":                 "unrecognized subdirective 'speed': altcha has hmac_key",
		"altcha {\n hmac_key\n}":                "hmac_key needs a key",
		"altcha {\n hmac_key a\n hmac_key b\n}": "already specified",
		"altcha {\n challenge_url a b\n}":       "challenge_url needs a URL",
		"altcha {\n script_url\n}":              "script_url needs a URL",
		"altcha {\n header X\n}":                "header needs a name and a value",
	} {
		_, err := unmarshal(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	t.Setenv("ALTCHA_TEST_KEY", "s3cret-"+strings.Repeat("x", 32))
	for _, tc := range []struct {
		p    *Provider
		want string
	}{
		{&Provider{HMACKey: strings.Repeat("s", 32)}, ""},
		{&Provider{HMACKey: "{env.ALTCHA_TEST_KEY}"}, ""},
		{&Provider{HMACKey: strings.Repeat("s", 16), ChallengeURL: "https://a.example/c?apiKey=k"}, ""},
		{&Provider{}, "hmac_key is missing"},
		{&Provider{HMACKey: "{env.ALTCHA_TEST_UNSET}"}, "hmac_key: "},
		{&Provider{HMACKey: "s3cret"}, "hmac_key has 6 bytes, which can be guessed"},
		{&Provider{HMACKey: "s3cret" + strings.Repeat("s", 25)}, "hmac_key has 31 bytes: use at least 32"},
		{&Provider{HMACKey: "s3cret" + strings.Repeat("s", 9), ChallengeURL: "https://a.example/c"}, "which can be guessed"},
		{&Provider{HMACKey: testKey, ChallengeURL: "/c"}, `challenge_url: "/c" is not an http`},
		{&Provider{HMACKey: testKey, ChallengeURL: "https://u:s3cret@a.example/c"}, "leave credentials out"},
		{&Provider{HMACKey: testKey, ScriptURL: "w.js"}, `script_url: "w.js" is not an http`},
	} {
		err := providertest.Provision(t, tc.p)
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("got %v, want %q", err, tc.want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("a secret is told: %v", err)
		}
	}
	env, logs := providertest.NewEnv()
	p := newProvider(t, func(p *Provider) { p.HMACKey, p.ChallengeURL = strings.Repeat("s", 16), "https://a.example/c" })
	if err := p.Bind(env); err != nil || logs.Len() != 1 {
		t.Errorf("a short key is not warned of: %v, %v", err, logs.All())
	}
}
