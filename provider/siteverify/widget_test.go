package siteverify

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func TestWidgets(t *testing.T) {
	for _, r := range rows {
		p := r.load(t, "https://verify.example", func(p *Provider) {
			p.SiteKey = `k"><script>&`
			if r.preset.action != "" {
				p.Action = "login"
			}
		})
		w := p.Widget()
		name := r.preset.name
		if w.SiteKey != p.SiteKey || (w.Script == "") != (name == "mtcaptcha") || w.Markup+w.Glue == "" {
			t.Errorf("%s: %+v", name, w)
		}
		if strings.Contains(w.Markup+w.Glue+w.Script, "<script>") || strings.Contains(w.Glue+w.Markup+w.Script, "{") && strings.Contains(w.Glue, "{action}") {
			t.Errorf("%s: not escaped: %+v", name, w)
		}
		if strings.Contains(w.Markup+w.Glue, secret) {
			t.Errorf("%s: the secret is on the page", name)
		}
		if from := outbound.Origin(w.Script); from != "" && !slices.ContainsFunc(w.CSP["script-src"], func(s string) bool {
			return strings.HasPrefix(w.Script, s) || s == "https://*.hcaptcha.com" || s == "https://*.privatecaptcha.com"
		}) {
			t.Errorf("%s: %s is not in %v", name, w.Script, w.CSP)
		}
		for directive, sources := range w.CSP {
			for _, source := range sources {
				if strings.ContainsAny(source, "{} ;,") || !strings.HasSuffix(directive, "-src") {
					t.Errorf("%s: %s %s", name, directive, source)
				}
			}
		}
		w.CSP["script-src"] = nil
		if len(p.Widget().CSP["script-src"]) == 0 {
			t.Errorf("%s: the policy is shared", name)
		}
	}
}

func TestWidgetDetails(t *testing.T) {
	with := func(preset *preset, base string, change ...func(*Provider)) provider.Widget {
		return row{preset: preset}.load(t, base, change...).Widget()
	}
	for what, c := range map[string][2]string{
		"turnstile":     {with(&turnstile, "https://v", func(p *Provider) { p.Action = "a" }).Markup, `<div class="cf-turnstile" data-sitekey="` + siteKey + `" data-action="a"></div>`},
		"recaptcha3":    {with(&recaptcha3, "https://v").Script, "https://www.google.com/recaptcha/api.js?render=" + siteKey},
		"own script":    {with(&recaptcha3, "https://v", func(p *Provider) { p.ScriptURL = "https://g.example/a.js?x=1" }).Script, "https://g.example/a.js?x=1&render=" + siteKey},
		"own in policy": {strings.Join(with(&turnstile, "https://v", func(p *Provider) { p.ScriptURL = "https://s.example/a.js" }).CSP["script-src"], " "), "https://challenges.cloudflare.com https://s.example"},
		"cap":           {with(&capjs, "https://cap.example").Markup, `<cap-widget data-cap-api-endpoint="https://cap.example/` + siteKey + `/"></cap-widget>`},
		"cap script":    {with(&capjs, "https://cap.example").Script, "https://cap.example/assets/widget.js"},
		"cap elsewhere": {strings.Join(with(&capjs, "http://cap:3000", func(p *Provider) { p.WidgetURL = "https://c.example/k/" }).CSP["connect-src"], " "), "https://c.example"},
		"cap images":    {strings.Join(with(&capjs, "https://cap.example").CSP["img-src"], " "), "data:"},
		"cap inside":    {strings.Join(with(&capjs, "http://cap:3000", func(p *Provider) { p.ScriptURL = "https://c.example/assets/widget.js" }).CSP["script-src"], " "), "https://c.example 'wasm-unsafe-eval'"},
		"mcaptcha":      {strings.Join(with(&mcaptcha, "https://m.example").CSP["frame-src"], " "), "https://m.example"},
		"friendly":      {with(&friendlycaptcha, "https://eu.frcapi.com").Markup, `<div class="frc-captcha" data-sitekey="` + siteKey + `" data-api-endpoint="eu"></div>`},
		"private":       {with(&privatecaptcha, "https://api.eu.privatecaptcha.com").Markup, `<div class="private-captcha" data-sitekey="` + siteKey + `" data-eu="true"></div>`},
	} {
		if c[0] != c[1] {
			t.Errorf("%s:\n got %s\nwant %s", what, c[0], c[1])
		}
	}
	if glue := with(&recaptcha3, "https://v", func(p *Provider) { p.Action = "login" }).Glue; !strings.Contains(glue, `{action: "login"}`) {
		t.Error(glue)
	}
	if m := with(&mcaptcha, "https://m.example").Markup; !strings.Contains(m, `data-mcaptcha_url="https://m.example/widget/?sitekey=`+siteKey+`"`) {
		t.Error(m)
	}
}
