package geetest

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func TestCaddyfile(t *testing.T) {
	var p Provider
	err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(`geetest {
		captcha_id  {env.GEETEST_ID}
		captcha_key {file./run/secrets/geetest}
		digest      hmac-sha256
		api_url     https://api-na.geetest.com
		bypass_url  https://bypass.example.com/v1/bypass_status.php
		script_url  https://example.com/gt.js
		tls_trusted_ca ca.pem
		proxy       http://proxy:3128
		header      X-A 1
		header      X-B 2
	}`))
	want := Provider{Digest: "hmac-sha256", Account: Account{
		CaptchaID: "{env.GEETEST_ID}", CaptchaKey: "{file./run/secrets/geetest}",
		APIURL: "https://api-na.geetest.com", BypassURL: "https://bypass.example.com/v1/bypass_status.php", ScriptURL: "https://example.com/gt.js",
		Transport: outbound.Transport{TLSTrustedCA: "ca.pem", Proxy: "http://proxy:3128", Header: map[string]string{"X-A": "1", "X-B": "2"}},
	}}
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, %v", p, err)
	}
	raw, _ := json.Marshal(&p)
	var back Provider
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("%s: %+v, %v", raw, back, err)
	}
	var p4 Provider4
	if err := p4.UnmarshalCaddyfile(caddyfile.NewTestDispenser("geetest4 {\ncaptcha_id a\ncaptcha_key b\nbypass_url https://x.example/s\n}")); err != nil ||
		p4.CaptchaID != "a" || p4.CaptchaKey != "b" || p4.BypassURL != "https://x.example/s" {
		t.Errorf("%+v, %v", p4, err)
	}
}

func TestCaddyfileErrors(t *testing.T) {
	for block, want := range map[string]string{
		"geetest x":                                   "takes no argument",
		"geetest {\ncaptcha_id\n}":                    "captcha_id needs the ID that GeeTest's dashboard shows",
		"geetest {\ncaptcha_id a b\n}":                "captcha_id needs",
		"geetest {\ncaptcha_id a\ncaptcha_id a\n}":    "captcha_id is already specified",
		"geetest {\ndigest sha1\n}":                   `digest "sha1" is not known: write md5, sha256 or hmac-sha256`,
		"geetest {\ndigest MD5\n}":                    "write md5",
		"geetest {\ndigest {env.D}\n}":                "{$NAME}",
		"geetest {\ndigest md5\ndigest md5\n}":        "digest is already specified",
		"geetest {\nheader X\n}":                      "header needs a name and a value",
		"geetest {\nsite_key a\n}":                    "unrecognized subdirective 'site_key': geetest has captcha_id, captcha_key, digest, api_url",
		"geetest4 {\ndigest md5\n}":                   "unrecognized subdirective 'digest': geetest4 has captcha_id, captcha_key, api_url",
		"geetest4 {\nsecret_key s3cr3t-never-told\n}": "unrecognized subdirective 'secret_key'",
	} {
		d := caddyfile.NewTestDispenser(block)
		var err error
		if strings.HasPrefix(block, "geetest4") {
			err = new(Provider4).UnmarshalCaddyfile(d)
		} else {
			err = new(Provider).UnmarshalCaddyfile(d)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v, want %q", block, err, want)
		}
	}
}

func TestProvisionErrors(t *testing.T) {
	const key = "s3cr3t-never-told"
	t.Setenv("GEETEST_EMPTY", "")
	for _, tt := range []struct {
		change func(*Provider)
		want   string
	}{
		{func(p *Provider) { p.CaptchaID = "" }, "captcha_id is missing"},
		{func(p *Provider) { p.CaptchaID = "a b" }, "captcha_id"},
		{func(p *Provider) { p.CaptchaID = "{env.GEETEST_EMPTY}" }, "captcha_id"},
		{func(p *Provider) { p.CaptchaID = key }, "captcha_key is the captcha_id"},
		{func(p *Provider) { p.CaptchaKey = "" }, "captcha_key is missing"},
		{func(p *Provider) { p.CaptchaKey = "{env.GEETEST_UNSET_}" }, "captcha_key"},
		{func(p *Provider) { p.CaptchaKey = key + "\n" }, "captcha_key begins or ends with a space"},
		{func(p *Provider) { p.Digest = "sha1" }, "digest"},
		{func(p *Provider) { p.APIURL = "api.geetest.com" }, "api_url"},
		{func(p *Provider) { p.APIURL = "https://api.geetest.com?gt=1" }, "api_url"},
		{func(p *Provider) { p.BypassURL = "ftp://x" }, "bypass_url"},
		{func(p *Provider) { p.ScriptURL = "//static.geetest.com/gt.js" }, "script_url"},
		{func(p *Provider) { p.Proxy = "nothing" }, "proxy"},
		{func(p *Provider) { p.TLSTrustedCA = "/nowhere.pem" }, "tls_trusted_ca"},
	} {
		p := &Provider{Account: Account{CaptchaID: testID, CaptchaKey: key}}
		tt.change(p)
		err := providertest.Provision(t, p)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), key) && p.CaptchaID != key {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	if err := new(Provider4).Cleanup(); err != nil {
		t.Error("Cleanup of what was never provisioned:", err)
	}
}

func TestPlaceholders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GEETEST_ID", testID)
	t.Setenv("GEETEST_API", "https://api-na.geetest.com/")
	p := &Provider{Account: Account{CaptchaID: "{env.GEETEST_ID}", CaptchaKey: "{file." + file + "}", APIURL: "{env.GEETEST_API}"}}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	if p.id != testID || p.key != testKey || p.api != "https://api-na.geetest.com" {
		t.Error(p.id, p.api)
	}
	raw, _ := json.Marshal(p)
	if strings.Contains(string(raw), testKey) {
		t.Errorf("the key was written back: %s", raw)
	}
}

func TestModules(t *testing.T) {
	for _, id := range []string{"geetest", "geetest4"} {
		m, err := caddy.GetModule(provider.Namespace + "." + id)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.New().(provider.Provider); !ok {
			t.Error(id)
		}
	}
	if _, ok := any(new(Provider4)).(provider.Challenger); ok {
		t.Error("version 4 has no challenge document")
	}
	if got := append(new(Provider).Fields(), new(Provider4).Fields()...); strings.Join(got, " ") !=
		"geetest_challenge geetest_validate geetest_seccode lot_number captcha_output pass_token gen_time" {
		t.Error(got)
	}
}

func TestWidget(t *testing.T) {
	p := &Provider{Account: Account{CaptchaID: testID, CaptchaKey: testKey}}
	p4 := &Provider4{Account{CaptchaID: testID, CaptchaKey: testKey}}
	for _, m := range []provider.Provider{p, p4} {
		if err := providertest.Provision(t, m); err != nil {
			t.Fatal(err)
		}
		w := m.(provider.Presenter).Widget()
		if w.SiteKey != testID || w.Module || !strings.Contains(w.Glue, `const servers = { protocol: "https://" };`) || strings.Contains(w.Glue, testKey) {
			t.Errorf("%+v", w)
		}
		for _, name := range m.Fields() {
			if !strings.Contains(w.Glue, name+": token."+name) && !strings.Contains(w.Glue, name+": String(token."+name) {
				t.Errorf("%s is not set", name)
			}
		}
		if id := strings.Split(w.Markup, `"`)[1]; !strings.Contains(w.Glue, `appendTo("#`+id+`")`) {
			t.Error(w.Markup)
		}
		if got := strings.Join(w.CSP["script-src"], " "); got != "https://*.geetest.com https://*.geevisit.com https://*.gsensebot.com" {
			t.Error(got)
		}
		if u, err := url.Parse(w.Script); err != nil || u.Host != "static.geetest.com" {
			t.Error(w.Script)
		}
	}
	p.APIURL, p.ScriptURL = "http://127.0.0.1:8443/a</script>", "https://cdn.example.com/gt.js"
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	w := p.Widget()
	if !strings.HasPrefix(w.Glue, `const servers = {"api_server":"127.0.0.1:8443/a\u003c/script\u003e","protocol":"http://"};`) {
		t.Error(w.Glue)
	}
	if got := strings.Join(w.CSP["script-src"], " "); !strings.HasSuffix(got, " http://127.0.0.1:8443 https://cdn.example.com") {
		t.Error(got)
	}
	if got := strings.Join(w.CSP["connect-src"], " "); !strings.HasSuffix(got, " http://127.0.0.1:8443") {
		t.Error(got)
	}
	p4.APIURL = "https://gcaptcha4.geevisit.com"
	if err := p4.Provision(caddy.Context{Context: context.Background()}); err != nil {
		t.Fatal(err)
	}
	if w := p4.Widget(); !strings.HasPrefix(w.Glue, `const servers = {"apiServers":["gcaptcha4.geevisit.com"],"protocol":"https://"};`) || len(w.CSP["script-src"]) != 3 {
		t.Errorf("%+v", w)
	}
}
