package altcha

import (
	"encoding/json"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// mount is where the widget appears. The script makes the element, because one
// that stands in the page would start before it has its challenge.
const mount = `<div id="captcha-altcha"></div>`

// glue makes the widget, of version 3 or of 1 and 2, which name the challenge
// differently. It gets a challenge of ours as JSON. One of challenge_url it
// fetches by itself, because Sentinel configures it in the answer's headers.
const glue = `
const url = URL_OF_CHALLENGE;
const doc = captcha.challenge;
const ours = !url || (doc && typeof doc.salt === 'string' && doc.salt.includes('&` + ourParameter + `=1.'));
const challenge = ours ? JSON.stringify(doc) : url;
const widget = document.createElement('altcha-widget');
widget.setAttribute('name', '` + field + `');
widget.setAttribute('auto', 'onload');
widget.setAttribute('language', captcha.lang || 'en');
widget.setAttribute('challenge', challenge);
widget.setAttribute(ours ? 'challengejson' : 'challengeurl', challenge);
widget.addEventListener('statechange', (e) => {
	const {state, payload} = e.detail || {};
	if (state === 'verified' && payload) captcha.set({'` + field + `': payload});
	if (state === 'error') captcha.fail();
});
document.getElementById('captcha-altcha').append(widget);
`

// Widget returns the operator's ALTCHA widget. Without a script_url it returns
// the zero Widget: then the challenge page solves the challenge itself.
func (p *Provider) Widget() provider.Widget {
	if p.scriptURL == "" {
		return provider.Widget{}
	}
	challengeURL, _ := json.Marshal(p.challengeURL) // a string never fails; < and & are escaped
	csp := map[string][]string{
		"script-src": {outbound.Origin(p.scriptURL)},
		"worker-src": {"blob:"},
		"style-src":  {"'unsafe-inline'"},
		"img-src":    {"data:"},
	}
	if p.challengeURL != "" {
		csp["connect-src"] = []string{outbound.Origin(p.challengeURL)}
	}
	return provider.Widget{
		Script: p.scriptURL,
		Module: true,
		Markup: mount,
		Glue:   strings.Replace(glue, "URL_OF_CHALLENGE", string(challengeURL), 1),
		CSP:    csp,
	}
}
