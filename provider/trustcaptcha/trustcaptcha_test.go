package trustcaptcha

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestModule(t *testing.T) {
	info := new(Provider).CaddyModule()
	if _, err := caddy.GetModule("http.captcha.providers.trustcaptcha"); err != nil || info.ID != "http.captcha.providers.trustcaptcha" {
		t.Errorf("%s: %v", info.ID, err)
	}
	p := info.New().(*Provider)
	doc := `{"site_key":"` + testSite + `","api_key":"k","max_score":0,"client_failover":true,"proxy":"http://127.0.0.1:9"}`
	if err := json.Unmarshal([]byte(doc), p); err != nil {
		t.Fatal(err)
	}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	if p.apiURL != defaultAPIURL || p.scriptURL != defaultScriptURL || p.maxScore != 0 {
		t.Errorf("got %+v", p)
	}
	if out, err := json.Marshal(p); err != nil || string(out) != doc {
		t.Errorf("got %s, %v", out, err)
	}
	if got := p.Fields(); !slices.Equal(got, []string{"tc-verification-token"}) {
		t.Errorf("fields are %v", got)
	}
	if err := new(Provider).Cleanup(); err != nil {
		t.Error(err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	p, err := unmarshal(`trustcaptcha {
		site_key ` + testSite + `
		api_key {env.KEY}
		api_url https://tc.example/x
		script_url https://cdn.example/tc.js
		max_score 0
		captcha_id ` + testCaptcha + `
		client_failover
		tls_trusted_ca /ca.pem
		proxy http://proxy:3128
		header X-A b
	}`)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p)
	want := `{"site_key":"` + testSite + `","api_key":"{env.KEY}","api_url":"https://tc.example/x","script_url":"https://cdn.example/tc.js",` +
		`"max_score":0,"captcha_id":"` + testCaptcha + `","client_failover":true,` +
		`"tls_trusted_ca":"/ca.pem","proxy":"http://proxy:3128","header":{"X-A":"b"}}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	for in, want := range map[string]string{
		"trustcaptcha x":                                        `got "x": write its options in a block`,
		"trustcaptcha {\n speed 1\n}":                           "unrecognized subdirective 'speed': trustcaptcha has site_key",
		"trustcaptcha {\n site_key\n}":                          "site_key needs a UUID",
		"trustcaptcha {\n site_key a b\n}":                      "site_key needs a UUID",
		"trustcaptcha {\n api_key a\n api_key b\n}":             "already specified",
		"trustcaptcha {\n max_score\n}":                         "max_score needs a number from 0 to 1",
		"trustcaptcha {\n max_score high\n}":                    `max_score "high" is not a number`,
		"trustcaptcha {\n max_score 1.5\n}":                     "max_score 1.5 is out of range",
		"trustcaptcha {\n max_score -1\n}":                      "out of range",
		"trustcaptcha {\n max_score NaN\n}":                     "out of range",
		"trustcaptcha {\n max_score 0\n max_score 0\n}":         "already specified",
		"trustcaptcha {\n max_score {env.S}\n}":                 "read when the Caddyfile is adapted",
		"trustcaptcha {\n client_failover on\n}":                "leave it out to turn it off",
		"trustcaptcha {\n client_failover\n client_failover\n}": "already specified",
		"trustcaptcha {\n header X\n}":                          "header needs a name and a value",
		"trustcaptcha {\n proxy\n}":                             "proxy needs a URL",
	} {
		_, err := unmarshal(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	nan := func(f float64) *float64 { return &f }
	for want, change := range map[string]func(*Provider){
		"site_key \"\" is not a UUID":               func(p *Provider) { p.SiteKey = "" },
		"site_key \"x\" is not a UUID":              func(p *Provider) { p.SiteKey = "x" },
		"api_key is missing":                        func(p *Provider) { p.APIKey = "" },
		"api_key holds a space":                     func(p *Provider) { p.APIKey = "s3cret\n" },
		"api_key: ":                                 func(p *Provider) { p.APIKey = "{env.TC_TEST_UNSET}" },
		"captcha_id \"x\" is not a UUID":            func(p *Provider) { p.CaptchaID = "x" },
		"max_score 2 is out of range":               func(p *Provider) { p.MaxScore = nan(2) },
		"api_url: \"tc.example\" is not an http":    func(p *Provider) { p.APIURL = "tc.example" },
		"api_url: \"https://x?y\" must be a base":   func(p *Provider) { p.APIURL = "https://x?y" },
		"api_url: leave credentials out of the URL": func(p *Provider) { p.APIURL = "https://u:s3cret@x" },
		"script_url: \"/tc.js\" is not an http":     func(p *Provider) { p.ScriptURL = "/tc.js" },
		"tls_trusted_ca: ":                          func(p *Provider) { p.TLSTrustedCA = "/no/such/file" },
	} {
		p := &Provider{SiteKey: testSite, APIKey: testKey}
		change(p)
		err := providertest.Provision(t, p)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a secret is told: %v", err)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TC_SITE", testSite)
	t.Setenv("TC_HOST", "tc.example")
	p := newProvider(t, "https://{env.TC_HOST}/x/", func(p *Provider) {
		p.SiteKey, p.APIKey = "{env.TC_SITE}", "{file."+file+"}"
	})
	if p.siteKey != testSite || p.apiKey != testKey || p.apiURL != "https://tc.example/x" {
		t.Errorf("got %q, %q, %q", p.siteKey, p.apiKey, p.apiURL)
	}
	if p.APIKey == testKey {
		t.Error("the secret is written back into the configuration")
	}
}

func TestTestKey(t *testing.T) {
	p := newProvider(t, "", nil)
	env, logs := providertest.NewEnv()
	// The key in the tests of TrustCaptcha's library for Rust 3.0.0.
	p.apiKey = "ak_" + strings.Repeat("x", 49)
	if err := p.Bind(env); err == nil || !strings.Contains(err.Error(), "allow_test_keys") {
		t.Errorf("got %v", err)
	}
	env.AllowTestKeys = true
	if err := p.Bind(env); err != nil || logs.Len() != 1 {
		t.Errorf("got %v, %v", err, logs.All())
	}
	p.apiKey = "ak_xx1"
	if err := p.Bind(provider.Env{}); err != nil {
		t.Error(err)
	}
}

func TestWidget(t *testing.T) {
	p := newProvider(t, "https://tc.example:8443/a&b", func(p *Provider) {
		p.ScriptURL, p.ClientFailover = "https://static.example/tc/trustcaptcha.esm.min.js?v=1", true
	})
	w := p.Widget()
	want := `<trustcaptcha-component sitekey="` + testSite + `" api-url="https://tc.example:8443/a&amp;b" token-field-name="tc-verification-token" failover-enabled></trustcaptcha-component>`
	if w.Markup != want || !w.Module || w.Script != p.ScriptURL || w.SiteKey != testSite {
		t.Errorf("got %+v", w)
	}
	for directive, source := range map[string]string{
		"script-src": "https://static.example", "connect-src": "https://tc.example:8443",
		"worker-src": "blob:", "style-src": "'unsafe-inline'",
	} {
		if !slices.Equal(w.CSP[directive], []string{source}) {
			t.Errorf("%s is %v", directive, w.CSP[directive])
		}
	}
	w = newProvider(t, "", nil).Widget()
	if strings.Contains(w.Markup, "failover") || w.CSP["connect-src"][0] != defaultAPIURL {
		t.Errorf("got %+v", w)
	}
}
