package trustcaptcha

import (
	"html"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// glue hands over what the widget says. By itself it puts the token into a
// hidden input of its form, and starts at the visitor's first click or key in
// it. Of its errors only this one means that the browser cannot reach the API;
// the widget shows the others, and most of them can be tried again.
const glue = `
document.addEventListener('captchaSolved', (e) => captcha.set({'` + field + `': e.detail}));
document.addEventListener('captchaFailed', (e) => {
	if (e.detail && e.detail.errorCode === 'COMMUNICATION_FAILURE') captcha.fail();
});
`

// Widget returns TrustCaptcha's widget 3.x. The sources are what version 3.0.2
// was observed to need: a proof of work in a blob: worker, and a style element.
func (p *Provider) Widget() provider.Widget {
	var b strings.Builder
	b.WriteString(`<trustcaptcha-component sitekey="` + html.EscapeString(p.siteKey) + `"`)
	b.WriteString(` api-url="` + html.EscapeString(p.apiURL) + `"`)
	b.WriteString(` token-field-name="` + field + `"`)
	if p.ClientFailover {
		b.WriteString(` failover-enabled`)
	}
	b.WriteString(`></trustcaptcha-component>`)
	return provider.Widget{
		SiteKey: p.siteKey,
		Script:  p.scriptURL,
		Module:  true,
		Markup:  b.String(),
		Glue:    glue,
		CSP: map[string][]string{
			"script-src":  {outbound.Origin(p.scriptURL)},
			"connect-src": {outbound.Origin(p.apiURL)},
			"worker-src":  {"blob:"},
			"style-src":   {"'unsafe-inline'"},
		},
	}
}
