package geetest

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Widget is version 3's. Its loader asks the API's gettype.php for the script
// of the CAPTCHA, with JSONP. In offline mode a loader of 2020 (66 KB) answers
// without any call; the small one (0.4.8) needs GeeTest's static servers.
func (p *Provider) Widget() provider.Widget {
	return provider.Widget{
		SiteKey: p.id,
		Script:  p.script,
		Markup:  `<div id="captcha-geetest"></div>`,
		Glue:    p.servers("api_server", false) + glue3,
		CSP:     p.csp(),
	}
}

// Widget is version 4's. Its loader asks the API's /load, with JSONP, and tries
// three API servers and two static ones in turn.
func (p *Provider4) Widget() provider.Widget {
	return provider.Widget{
		SiteKey: p.id,
		Script:  p.script,
		Markup:  `<div id="captcha-geetest4"></div>`,
		Glue:    p.servers("apiServers", true) + glue4,
		CSP:     p.csp(),
	}
}

// glue3 follows docs, captcha/apirefer/api/web. The languages are those that it
// lists; the widget's own default is Chinese.
const glue3 = `
const doc = captcha.challenge;
if (typeof initGeetest !== "function" || !doc) { captcha.fail(); return; }
const langs = { ar: "ar", de: "de", en: "en", es: "es", fr: "fr", id: "id", ja: "ja", ko: "ko", pt: "pt-pt", ru: "ru", "zh-hk": "zh-hk", "zh-tw": "zh-tw", zh: "zh-cn" };
const lang = String(captcha.lang || "").toLowerCase();
initGeetest(Object.assign({
	gt: doc.gt, challenge: doc.challenge, offline: !doc.success, new_captcha: doc.new_captcha,
	product: "popup", width: "100%", lang: langs[lang] || langs[lang.split("-")[0]] || "en",
	onError: () => captcha.fail(),
}, servers), (widget) => {
	widget.onSuccess(() => {
		const token = widget.getValidate();
		if (token) captcha.set({ geetest_challenge: token.geetest_challenge, geetest_validate: token.geetest_validate, geetest_seccode: token.geetest_seccode });
	});
	widget.onError(() => captcha.fail());
	widget.appendTo("#captcha-geetest");
});
`

// glue4 follows docs, BehaviorVerification/apirefer/api/web, and, for onError
// and offlineCb, the loader 4.1.5: without offlineCb it would load a bypass.js
// whose answers no server of GeeTest passes.
const glue4 = `
if (typeof initGeetest4 !== "function") { captcha.fail(); return; }
const langs = { ar: "ara", de: "deu", en: "eng", es: "spa", fr: "fra", id: "ind", ja: "jpn", ko: "kor", pt: "por", ru: "rus", "zh-hk": "zho-hk", "zh-tw": "zho-tw", zh: "zho" };
const lang = String(captcha.lang || "").toLowerCase();
initGeetest4(Object.assign({
	captchaId: captcha.siteKey, product: "float", language: langs[lang] || langs[lang.split("-")[0]] || "eng",
	onError: () => captcha.fail(), offlineCb: () => captcha.fail(),
}, servers), (widget) => {
	widget.onSuccess(() => {
		const token = widget.getValidate();
		if (token) captcha.set({ lot_number: token.lot_number, captcha_output: token.captcha_output, pass_token: token.pass_token, gen_time: String(token.gen_time) });
	});
	widget.onError(() => captcha.fail());
	widget.appendTo("#captcha-geetest4");
});
`

// servers is the script that names the API which the browser calls. It is the
// loader's own unless api_url is written, which is how an account of another
// region says so on both sides.
func (a *Account) servers(option string, list bool) string {
	const name = "const servers = "
	if !a.apiWritten {
		return name + `{ protocol: "https://" };`
	}
	u, err := url.Parse(a.api)
	if err != nil { // Validate has parsed it
		return name + "{};"
	}
	host := any(u.Host + u.Path)
	if list {
		host = []string{u.Host + u.Path}
	}
	text, _ := json.Marshal(map[string]any{"protocol": u.Scheme + "://", option: host}) // it is all text
	return name + string(text) + ";"
}

// csp lists the sources of both widgets. The answers of the API name servers as
// they like among these three domains. Marks as in PROVIDERS.md: [C] the
// loaders have static.geetest.com, static.geevisit.com, api.geetest.com and
// gcaptcha4 of all three domains; [M] that these are all, which public
// integrations that list the same three domains agree with; [R] with real
// loaders neither worker nor eval is needed, and inline styles are for looks.
// Left out: dn-staticdown.qbox.me [C], the old loaders' last resort, on a
// domain that is not GeeTest's.
func (a *Account) csp() map[string][]string {
	hosts := []string{"https://*.geetest.com", "https://*.geevisit.com", "https://*.gsensebot.com"}
	if a.apiWritten {
		hosts = withOrigin(hosts, a.api)
	}
	with := func(also ...string) []string { return append(append([]string(nil), hosts...), also...) }
	return map[string][]string{
		"script-src":  withOrigin(with(), a.script),
		"connect-src": with(),
		"img-src":     with("data:"),
		"style-src":   with("'unsafe-inline'"),
		"font-src":    with(),
		"media-src":   with(), // the spoken CAPTCHA
	}
}

// withOrigin appends the origin of a URL that no wildcard covers.
func withOrigin(hosts []string, text string) []string {
	u, err := url.Parse(text)
	if err != nil {
		return hosts
	}
	origin := u.Scheme + "://" + u.Host
	for _, h := range hosts {
		domain, isWild := strings.CutPrefix(h, "https://*")
		if h == origin || isWild && u.Scheme == "https" && strings.HasSuffix(u.Host, domain) {
			return hosts
		}
	}
	return append(hosts, origin)
}
