package siteverify

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/goleak"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func module(t *testing.T, name string) *Provider {
	t.Helper()
	info, err := caddy.GetModule(provider.Namespace + "." + name)
	if err != nil {
		t.Fatal(err)
	}
	return info.New().(*Provider)
}

func parse(t *testing.T, input string) (*Provider, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser(input)
	name, _, _ := strings.Cut(strings.TrimSpace(input), " ")
	p := module(t, name)
	err := p.UnmarshalCaddyfile(d)
	return p, err
}

func TestCaddyfile(t *testing.T) {
	for input, want := range map[string]string{
		"turnstile {\nsite_key a\nsecret_key b\n}":                         `{"site_key":"a","secret_key":"b"}`,
		"hcaptcha {\nsite_key {env.A}\nsecret_key {env.A}\n}":              `{"site_key":"{env.A}","secret_key":"{env.A}"}`,
		"mcaptcha {\nsite_key a\nsecret_key b\nverify_url {env.A}\n}":      `{"site_key":"a","secret_key":"b","verify_url":"{env.A}"}`,
		"recaptcha_enterprise {\nsite_key a\nsecret_key b\nproject p-1\n}": `{"site_key":"a","secret_key":"b","project":"p-1"}`,
		"recaptcha3 {\nsite_key a\nsecret_key b\nmin_score 0\n}":           `{"site_key":"a","secret_key":"b","min_score":0}`,
		`recaptcha3 {
			site_key   {env.SITE}
			secret_key {file./run/secrets/x}
			verify_url https://www.recaptcha.net/recaptcha/api/siteverify
			script_url https://www.recaptcha.net/recaptcha/api.js
			action     login
			hostname   example.com www.example.com
			min_score  0.7
			tls_trusted_ca /etc/ca.pem
			proxy      http://proxy:3128
			header     X-A b
		}`: `{"site_key":"{env.SITE}","secret_key":"{file./run/secrets/x}",` +
			`"verify_url":"https://www.recaptcha.net/recaptcha/api/siteverify","script_url":"https://www.recaptcha.net/recaptcha/api.js",` +
			`"action":"login","hostname":["example.com","www.example.com"],"min_score":0.7,` +
			`"tls_trusted_ca":"/etc/ca.pem","proxy":"http://proxy:3128","header":{"X-A":"b"}}`,
	} {
		p, err := parse(t, input)
		if err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		got, err := json.Marshal(p)
		if err != nil || string(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", input, got, err, want)
		}
		back := module(t, p.name)
		if err := caddy.StrictUnmarshalJSON(got, back); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestCaddyfileErrors(t *testing.T) {
	for input, want := range map[string]string{
		`turnstile x`:                               `turnstile takes no argument, got "x": write its options in a block`,
		"turnstile {\nsitekey a\n}":                 `unrecognized subdirective 'sitekey': turnstile has site_key, secret_key, verify_url, script_url, action, hostname, tls_trusted_ca, proxy and header`,
		"cap {\nsitekey a\n}":                       `cap has site_key, secret_key, verify_url, script_url, widget_url, tls_trusted_ca, proxy and header`,
		"turnstile {\nsite_key\n}":                  `site_key needs a key, and nothing else`,
		"turnstile {\nsite_key \"\"\n}":             `site_key needs a key`,
		"turnstile {\nsite_key a b\n}":              `site_key needs a key, and nothing else`,
		"turnstile {\nsite_key a\nsite_key a\n}":    `site_key is already specified: write it once`,
		"turnstile {\nsecret_key\n}":                `secret_key needs a key`,
		"turnstile {\nverify_url\n}":                `verify_url needs a URL`,
		"turnstile {\nscript_url\n}":                `script_url needs a URL`,
		"cap {\nwidget_url\n}":                      `widget_url needs a URL`,
		"turnstile {\naction\n}":                    `action needs a name`,
		"recaptcha_enterprise {\nproject\n}":        `project needs the id of a project`,
		"turnstile {\nhostname\n}":                  `hostname needs at least one host`,
		"turnstile {\nhostname \"\"\n}":             `hostname needs hosts, and one of them is empty`,
		"turnstile {\nhostname a\nhostname b\n}":    `hostname is already specified: write all hosts on one line`,
		"recaptcha3 {\nmin_score\n}":                `min_score needs a number from 0 to 1`,
		"recaptcha3 {\nmin_score 2\n}":              "min_score 2 is out of range: write a number from 0 to 1",
		"recaptcha3 {\nmin_score NaN\n}":            "min_score NaN is out of range",
		"recaptcha3 {\nmin_score {env.X}\n}":        `write {$NAME} instead of {env.X}`,
		"recaptcha3 {\nmin_score 0\nmin_score 0\n}": `min_score is already specified`,
		"turnstile {\nproxy a\nproxy b\n}":          `proxy is already specified`,
	} {
		if _, err := parse(t, input); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", input, err, want)
		}
	}
}

func TestProvision(t *testing.T) {
	t.Setenv("SITEVERIFY_KEY", "from-the-environment")
	keys := "site_key a\nsecret_key b\n"
	for input, want := range map[string]string{
		"turnstile {\n" + keys + "}":                                                    "",
		"turnstile {\n" + keys + "action login\nhostname A.example.\n}":                 "",
		"turnstile {\nsite_key a\nsecret_key {env.SITEVERIFY_KEY}\n}":                   "",
		"recaptcha_enterprise {\n" + keys + "project p\n}":                              "",
		"recaptcha_enterprise {\n" + keys + "verify_url http://x/\n}":                   "",
		"cap {\n" + keys + "verify_url http://cap:3000/a/siteverify\n}":                 "",
		"turnstile {\nsite_key a\nsecret_key {env.SITEVERIFY_NOT_THERE}\n}":             "secret_key: ",
		"turnstile {\nsite_key a\nsecret_key b\nhostname {env.SITEVERIFY_NOT_THERE}\n}": "hostname: ",
		"turnstile {\nsecret_key b\n}":                                                  "site_key is missing",
		"turnstile {\nsite_key a\n}":                                                    "secret_key is missing",
		"turnstile {\nsite_key a\nsecret_key a\n}":                                      "are the same",
		"turnstile {\nsite_key a\nsecret_key \"b \"\n}":                                 "a space or a line break",
		"recaptcha_enterprise {\n" + keys + "}":                                         "project is missing",
		"turnstile {\n" + keys + "project p\n}":                                         "project: turnstile has no projects",
		"turnstile {\n" + keys + "widget_url https://x/\n}":                             "widget_url: turnstile is not yours to host",
		"cap {\n" + keys + "}":                                                          "verify_url is missing: cap is yours to host",
		"mcaptcha {\n" + keys + "}":                                                     "verify_url is missing",
		"turnstile {\n" + keys + "verify_url ftp://x/\n}":                               "verify_url: ",
		"turnstile {\n" + keys + "verify_url https://u:p@x/\n}":                         "leave credentials out",
		"turnstile {\n" + keys + "script_url x\n}":                                      "script_url: ",
		"cap {\n" + keys + "verify_url http://c/\nwidget_url x\n}":                      "widget_url: ",
		"hcaptcha {\n" + keys + "action login\n}":                                       "action: hcaptcha reports no action; leave it out",
		"turnstile {\n" + keys + "action \"a b\"\n}":                                    `action "a b": write letters`,
		"cap {\n" + keys + "verify_url http://c/\nhostname a\n}":                        "hostname: cap reports no host; leave it out",
		"turnstile {\n" + keys + "hostname https://a\n}":                                `write the host alone`,
		"turnstile {\n" + keys + "hostname a:8080\n}":                                   `write the host alone`,
		"turnstile {\n" + keys + "min_score 0.5\n}":                                     "min_score: turnstile reports no score; leave it out",
		"turnstile {\n" + keys + "tls_trusted_ca /nowhere\n}":                           "tls_trusted_ca: ",
	} {
		p, err := parse(t, input) // what is wrong without an environment is an error with a line already
		if err != nil && (want == "" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ", at Testfile:")) {
			t.Fatalf("%s: %v", input, err)
		}
		before, _ := json.Marshal(p)
		err = providertest.Provision(t, p)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s:\n got %v\nwant %s", input, err, want)
		}
		if after, _ := json.Marshal(p); string(after) != string(before) {
			t.Errorf("Provision changed the configuration: %s", after)
		}
	}
	tooMuch := 1.5
	p := module(t, "recaptcha3")
	p.SiteKey, p.SecretKey, p.MinScore = "a", "b", &tooMuch
	if err := providertest.Provision(t, p); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Error(err)
	}
}

func TestJSON(t *testing.T) {
	p := module(t, "turnstile")
	if err := caddy.StrictUnmarshalJSON([]byte(`{"site_key":"a","sitekey":"b"}`), p); err == nil {
		t.Error("an unknown member is taken")
	}
	for _, row := range presets {
		if id := module(t, row.name).CaddyModule().ID; string(id) != provider.Namespace+"."+row.name {
			t.Error(id)
		}
	}
}

func TestTestKeysD61(t *testing.T) {
	for _, r := range rows {
		for _, key := range r.preset.testKeys {
			for _, site := range []bool{true, false} {
				p := &Provider{preset: r.preset, SiteKey: siteKey, SecretKey: secret, VerifyURL: "http://127.0.0.1:1/verify"}
				if p.SecretKey = key; site {
					p.SiteKey, p.SecretKey = key, secret
				}
				if err := providertest.Provision(t, p); err != nil {
					t.Fatal(err)
				}
				env, logs := providertest.NewEnv()
				if err := p.Bind(env); err == nil || !strings.Contains(err.Error(), "allow_test_keys") || strings.Contains(err.Error(), key) {
					t.Errorf("%s: %v", r.preset.name, err)
				}
				env.AllowTestKeys = true
				if err := p.Bind(env); err != nil || logs.FilterMessageSnippet("test key").Len() == 0 {
					t.Errorf("%s: %v, %v", r.preset.name, err, logs.All())
				}
			}
		}
		for _, token := range r.preset.testTokens {
			p := r.load(t, "http://127.0.0.1:1")
			if got := r.ask(t, p, token); got != "refused: token-invalid" {
				t.Errorf("%s: %s: %s", r.preset.name, token, got)
			}
		}
	}
}

// TestTestPass is the test property of Private Captcha, which anybody can use,
// and the dummy answers of Turnstile, which name a host of their own.
func TestTestPassD61(t *testing.T) {
	answer := `{"success":true,"code":10}`
	s := providertest.Serve(t, func(*providertest.Server) providertest.Answerer {
		return func(providertest.Call) (int, string) { return 200, answer }
	})
	r := row{preset: &privatecaptcha}
	p := r.load(t, s.URL())
	if got := r.ask(t, p, goodToken); got != "token-invalid" {
		t.Error(got)
	}
	env, _ := providertest.NewEnv()
	env.AllowTestKeys = true
	if err := p.Bind(env); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(t, p, goodToken); got != "pass" {
		t.Error(got)
	}

	answer = `{"success":true,"hostname":"dummy.example","action":"test"}`
	r = row{preset: &turnstile}
	p = r.load(t, s.URL(), func(p *Provider) { p.Action = "login" })
	p.set.secret = turnstile.testKeys[5]
	if err := p.Bind(env); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(t, p, turnstile.testTokens[0]); got != "pass" {
		t.Error(got)
	}
}

// TestBinding is about services that verify a token of any site key: the site
// key is read out of the token.
func TestBindingD59(t *testing.T) {
	for _, c := range []struct {
		preset *preset
		token  string
		want   string
	}{
		{&prosopo, prosopoToken(siteKey), "pass"},
		{&prosopo, prosopoToken(prosopo.testKeys[0]), "refused: token-invalid"},
		{&prosopo, prosopoToken("another-key"), "refused: token-invalid"},
		{&prosopo, prosopoToken(""), "refused: token-invalid"},
		{&prosopo, prosopoToken(strings.Repeat("k", 70)), "refused: token-invalid"},
		{&prosopo, strings.ToUpper(prosopoToken(siteKey)), "refused: token-invalid"},
		{&prosopo, "0x0000", "refused: token-invalid"},
		{&prosopo, "0x02", "refused: token-invalid"},
		{&prosopo, "0x00000300", "refused: token-invalid"},                                            // a length in another mode
		{&prosopo, "0x0000" + "4d00" + hex.EncodeToString([]byte(siteKey)), "refused: token-invalid"}, // not the shortest length
		{&prosopo, `{"dapp":"x"}`, "refused: token-invalid"},
		{&prosopo, strings.Replace(prosopoToken(siteKey), "0x0000", "0x00010461", 1), "pass"}, // a providerUrl
		{&capjs, "id:token", "pass"},
		{&capjs, siteKey + ":id:token", "pass"},
		{&capjs, "another:id:token", "refused: token-invalid"},
		{&capjs, "token", "refused: token-invalid"},
		{&capjs, "a:b:c:d", "refused: token-invalid"},
		{&capjs, "a:", "refused: token-invalid"},
	} {
		r := row{preset: c.preset}
		s := providertest.Serve(t, func(*providertest.Server) providertest.Answerer {
			return func(providertest.Call) (int, string) { return 200, `{"success":true,"verified":true}` }
		})
		if got := r.ask(t, r.load(t, s.URL()), c.token); got != c.want {
			t.Errorf("%s: %s: %s, want %s", c.preset.name, c.token, got, c.want)
		}
	}
}

func TestHostActionScoreD57D58D63(t *testing.T) {
	var answer string
	s := providertest.Serve(t, func(*providertest.Server) providertest.Answerer {
		return func(providertest.Call) (int, string) { return 200, answer }
	})
	half := 0.5
	hosts := func(p *Provider) { p.Hostname = []string{"www.example.com", "Example.org"} }
	action := func(p *Provider) { p.Action = "login" }
	score := func(p *Provider) { p.MinScore = &half }
	none := func(p *Provider) { p.MinScore = new(float64) }
	for _, c := range []struct {
		preset *preset
		change func(*Provider)
		answer string
		want   string
	}{
		{&turnstile, hosts, `{"success":true,"hostname":"www.example.com"}`, "pass"},
		{&turnstile, hosts, `{"success":true,"hostname":"example.org"}`, "pass"},
		{&turnstile, hosts, `{"success":true,"hostname":"example.com"}`, "hostname-mismatch"}, // although it is the request's
		{&turnstile, hosts, `{"success":true}`, "hostname-mismatch"},
		{&turnstile, hosts, `{"success":true,"hostname":""}`, "hostname-mismatch"},
		{&turnstile, hosts, `{"success":true,"hostname":"www.example.com.evil.example"}`, "hostname-mismatch"},
		{&turnstile, action, `{"success":true,"action":"login"}`, "pass"},
		{&turnstile, action, `{"success":true,"action":"Login"}`, "action-mismatch"},
		{&turnstile, action, `{"success":true,"action":""}`, "action-mismatch"},
		{&turnstile, action, `{"success":true}`, "action-mismatch"},
		{&turnstile, action, `{"success":true,"action":["login"]}`, "unavailable"},
		{&yandex, hosts, `{"status":"ok","host":"www.example.com:8080"}`, "pass"},
		{&yandex, hosts, `{"status":"ok","host":""}`, "failover"},
		{&privatecaptcha, hosts, `{"success":true,"code":9}`, "failover"},
		{&hcaptcha, score, `{"success":true,"score":0.4}`, "pass"}, // 1 is a bot there
		{&hcaptcha, score, `{"success":true,"score":0.6}`, "score-too-low"},
		{&hcaptcha, score, `{"success":true}`, "score-too-low"},
		{&prosopo, score, `{"verified":true,"score":0.9}`, "score-too-low"},
		{&recaptcha3, none, `{"success":true}`, "pass"},
		{&recaptcha3, none, `{"success":true,"score":0}`, "pass"},
	} {
		answer = c.answer
		r := row{preset: c.preset}
		token := goodToken
		if c.preset == &prosopo {
			token = prosopoToken(siteKey)
		}
		if got := r.ask(t, r.load(t, s.URL(), c.change), token); got != c.want {
			t.Errorf("%s: %s: %s, want %s", c.preset.name, c.answer, got, c.want)
		}
	}
	answer = `{"success":true,"score":0.25}`
	r := row{preset: &hcaptcha}
	p := r.load(t, s.URL())
	token, _ := p.Parse(context.Background(), request, r.fields(goodToken))
	if v, err := p.Verify(context.Background(), request, token); err != nil || v.Score == nil || *v.Score != 0.25 {
		t.Errorf("the provider's own score: %+v, %v", v, err)
	}
}

// TestUnknownCode: it is told apart, without what a provider may send back.
func TestUnknownCode(t *testing.T) {
	status := 200
	s := providertest.Serve(t, func(*providertest.Server) providertest.Answerer {
		return func(providertest.Call) (int, string) {
			return status, `{"success":false,"error-codes":["new-code ` + goodToken + secret + `\n"]}`
		}
	})
	r := row{preset: &turnstile}
	p := r.load(t, s.URL())
	token, _ := p.Parse(context.Background(), request, r.fields(goodToken))
	v, err := p.Verify(context.Background(), request, token)
	const code = "new-code (hidden)(hidden)?"
	if err != nil || v.Outcome != provider.Fail || v.Reason != provider.TokenInvalid || v.Unknown != code || v.Detail != "unknown code "+code {
		t.Error(v, err)
	}
	status = 404 // is not the protocol, so it is no verdict
	v, err = p.Verify(context.Background(), request, token)
	if word(t, v, err) != "unavailable" || err.Error() != "unavailable: status 404, with the unknown code "+code {
		t.Error(v, err)
	}
}

// TestGetIsSentOnce is about net/http, which repeats a GET by itself when a
// connection that it had kept breaks, and so would spend the token.
func TestGetIsSentOnce(t *testing.T) {
	for _, r := range rows {
		req, err := r.load(t, "http://127.0.0.1:1").request(context.Background(), goodToken, "")
		if err != nil || req.Method == "GET" && !req.Close {
			t.Errorf("%s: kept connections: %v", r.preset.name, err)
		}
	}
}
