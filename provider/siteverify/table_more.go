package siteverify

import (
	"regexp"
	"time"
)

var mcaptcha = preset{
	name:     "mcaptcha",
	page:     "https://mcaptcha.org/docs/webmasters/validate-captcha/",
	field:    "mcaptcha__token",
	max:      4096,
	lifetime: time.Hour, // 30 seconds, unless the server is told otherwise
	ask:      call{encoding: asJSON, secret: "secret", token: "token", siteKey: "key"},
	pass:     []condition{{"valid", true}},
	codes:    []string{"error"},
	// texts of its server's errors, seen in its code (src/errors.rs); both are
	// about the key and the secret that we send, never about a token
	meanings: map[string]meaning{
		"Wrong password":                        misconfigured,
		"Token not found. Is token registered?": misconfigured,
	},
	widget: widget{
		at:     "/widget/?sitekey={site_key}",
		script: "https://unpkg.com/@mcaptcha/vanilla-glue@0.1.0-rc2/dist/index.js",
		// seen in the glue's own documentation; the glue finds both by their ids
		markup: `<label data-mcaptcha_url="{{.At}}" for="mcaptcha__token" id="mcaptcha__token-label">` +
			`<input type="hidden" name="mcaptcha__token" id="mcaptcha__token"></label>` +
			`<div id="mcaptcha__widget-container"></div>`,
		csp: map[string][]string{
			"script-src": {"https://unpkg.com/@mcaptcha/"},
			"frame-src":  {"{at}"},
			"style-src":  {"'unsafe-inline'"}, // memory
		},
	},
}

var capjs = preset{
	name:     "cap",
	page:     "https://capjs.js.org/guide/standalone/",
	field:    "cap-token",
	max:      1024,
	lifetime: 20 * time.Minute,
	// an unknown shape costs the server a password hash before it is refused
	shape:   regexp.MustCompile(`^[0-9A-Za-z_-]+(?::[0-9A-Za-z_-]+){1,2}$`),
	boundTo: capSiteKey,
	probe:   func(siteKey string) string { return siteKey + ":0000000000000000:000000000000000000000000000000" },
	ask:     call{encoding: asJSON, secret: "secret", token: "response"},
	pass:    []condition{{"success", true}},
	codes:   []string{"error"},
	// texts of its server, seen in its code (standalone/src/siteverify.js); the
	// status says less: 404 and 403 stand for our mistakes and the client's
	meanings: map[string]meaning{
		"Missing required parameters": invalid,
		"Token not found":             duplicate,
		"Token expired":               expired,
		"Invalid site key or secret":  mismatch,
	},
	widget: widget{
		at:     "/{site_key}/",
		script: "/assets/widget.js",
		markup: `<cap-widget data-cap-api-endpoint="{{.At}}"></cap-widget>`,
		// seen with the real widget; without its WebAssembly it solves in JavaScript
		csp: map[string][]string{
			"script-src":  {"{script}", "'wasm-unsafe-eval'"},
			"connect-src": {"{at}"},
			"worker-src":  {"blob:"},
			"style-src":   {"'unsafe-inline'"},
			"img-src":     {"data:"},
		},
	},
}

var privatecaptcha = preset{
	name:     "privatecaptcha",
	page:     "https://docs.privatecaptcha.com/docs/reference/verify-api",
	field:    "private-captcha-solution",
	max:      16384, // memory: no limit is documented
	lifetime: 6 * time.Hour,
	endpoint: "https://api.privatecaptcha.com/verify",
	ask:      call{encoding: raw, secretHeader: "X-API-Key", siteKeyHeader: "X-PC-Sitekey"},
	// success alone says too little: maintenance and test properties have it too
	pass:     []condition{{"success", true}, {"code", 0.0}},
	failover: []condition{{"success", true}, {"code", 9.0}},
	codes:    []string{"code"},
	meanings: map[string]meaning{
		"1":  unavailable, // unspecified
		"2":  duplicate,   // the solution contains duplicates
		"3":  invalid,
		"4":  invalid,
		"5":  expired,
		"6":  mismatch, // no such property
		"7":  mismatch, // another account's property
		"8":  duplicate,
		"9":  unavailable, // maintenance
		"10": testPass,
		"11": invalid,
		"12": mismatch, // another organisation's property
	},
	// its FAQ: 400 and 403 for every request are a wrong API key
	statuses: map[int]meaning{400: misconfigured, 401: misconfigured, 403: misconfigured},
	hostname: "origin",
	testKeys: []string{"aaaaaaaabbbbccccddddeeeeeeeeeeee"},
	widget: widget{
		script: "https://cdn.privatecaptcha.com/widget/js/privatecaptcha.js", // memory
		markup: `<div class="private-captcha" data-sitekey="{{.SiteKey}}"{{if .Region "privatecaptcha.com"}} data-eu="true"{{end}}></div>`,
		// https://docs.privatecaptcha.com/docs/reference/security, but worker-src
		csp: map[string][]string{
			"script-src":  {"https://privatecaptcha.com", "https://*.privatecaptcha.com"},
			"frame-src":   {"https://privatecaptcha.com", "https://*.privatecaptcha.com"},
			"style-src":   {"https://privatecaptcha.com", "https://*.privatecaptcha.com"},
			"connect-src": {"https://privatecaptcha.com", "https://*.privatecaptcha.com"},
			"worker-src":  {"blob:"}, // memory
		},
	},
}

var prosopo = preset{
	name:     "prosopo",
	page:     "https://docs.prosopo.io/en/basics/server-side-verification/",
	field:    "procaptcha-response",
	max:      8192,
	lifetime: 10 * time.Minute, // the longest that can be set
	shape:    regexp.MustCompile(`^0x(?:[0-9a-f]{2})+$`),
	// its siteverify asks the site key of the token, not ours, and passes a
	// token of the always-pass key whatever the secret:
	// https://docs.prosopo.io/en/basics/test-keys/
	boundTo:  prosopoSiteKey,
	probe:    prosopoToken,
	endpoint: "https://api.prosopo.io/siteverify",
	ask:      call{encoding: asJSON, secret: "secret", token: "token"},
	pass:     []condition{{"verified", true}},
	codes:    []string{"error.key"}, // seen in its documentation of other endpoints
	meanings: map[string]meaning{
		"API.SITE_KEY_NOT_REGISTERED": mismatch,
		"API.INVALID_SITE_KEY":        mismatch,
		"API.BAD_REQUEST":             invalid,
		"CAPTCHA.PARSE_ERROR":         invalid,
		"CAPTCHA.NO_SESSION_FOUND":    expired,
	},
	score: "score", // premium tier
	risk:  true,
	testKeys: []string{
		"5EARALUe4HXQwKo5KanZSGGKqJV4VTaytpezFwv8ZHbZewmh", "5ETtechmZkn3CUVeJX7Z511oiuiu742aHLm91D5ZZw4fqoAG",
	},
	widget: widget{
		// the first time the script finds its place by itself; loaded a second time,
		// it does nothing (seen in its source)
		glue: `if (!window.procaptcha) { captcha.fail(); return; }
if (procaptcha.begun) procaptcha.render(document.querySelector(".procaptcha"), {siteKey: captcha.siteKey});
procaptcha.begun = true;`,
		script: "https://js.prosopo.io/js/procaptcha.bundle.js",
		module: true,
		markup: `<div class="procaptcha" data-sitekey="{{.SiteKey}}"></div>`,
		csp: map[string][]string{ // memory
			"script-src":  {"https://js.prosopo.io", "'wasm-unsafe-eval'"},
			"connect-src": {"https://*.prosopo.io"},
			"img-src":     {"https://*.prosopo.io"},
			"worker-src":  {"blob:"},
			"style-src":   {"'unsafe-inline'"},
		},
	},
}

var mtcaptcha = preset{
	name:     "mtcaptcha",
	page:     "https://docs.mtcaptcha.com/dev-guide-validate-token",
	field:    "mtcaptcha-verifiedtoken",
	max:      8192,
	lifetime: 10 * time.Minute, // commonly 2 minutes, "longer depending on type"
	endpoint: "https://service.mtcaptcha.com/mtcv1/api/checktoken",
	// the protocol has no other place for the secret than the URL
	ask:   call{encoding: query, secret: "privatekey", token: "token"},
	pass:  []condition{{"success", true}},
	codes: []string{"fail_codes"},
	meanings: map[string]meaning{ // seen in the vendor's clients
		"missing-input-privatekey":   misconfigured,
		"invalid-privatekey":         misconfigured,
		"expired-sitekey-or-account": misconfigured,
		"missing-input-token":        missing,
		"invalid-token":              invalid,
		"invalid-token-faildecrypt":  invalid,
		"bad-request":                invalid,
		"token-expired":              expired,
		"token-duplicate-cal":        duplicate,
		"privatekey-mismatch-token":  mismatch,
	},
	hostname: "tokeninfo.hostname",
	action:   "tokeninfo.action",
	widget: widget{
		// its script reads a global when it loads, so the glue loads it
		glue: `window.mtcaptchaConfig = {sitekey: captcha.siteKey, lang: captcha.lang, action: {action}};
const script = document.createElement("script");
script.src = {script};
script.onerror = () => captcha.fail();
document.head.append(script);`,
		script: "https://service.mtcaptcha.com/mtcv1/client/mtcaptcha.min.js",
		markup: `<div class="mtcaptcha"></div>`,
		csp: map[string][]string{ // seen in a site's policy
			"script-src":  {"https://service.mtcaptcha.com", "https://service2.mtcaptcha.com"},
			"frame-src":   {"https://service.mtcaptcha.com", "https://service2.mtcaptcha.com"},
			"connect-src": {"https://service.mtcaptcha.com", "https://service2.mtcaptcha.com"}, // memory
			"style-src":   {"'unsafe-inline'"},                                                 // memory
		},
	},
}

var yandex = preset{
	name:     "yandex",
	page:     "https://yandex.cloud/en/docs/smartcaptcha/operations/validate-captcha",
	field:    "smart-token",
	max:      4096,
	lifetime: 5 * time.Minute,
	endpoint: "https://smartcaptcha.cloud.yandex.ru/validate",
	ask:      call{secret: "secret", token: "token"},
	pass:     []condition{{"status", "ok"}},
	// "may indicate that the cloud is blocked or an internal service failure"
	failover: []condition{{"status", "ok"}, {"host", ""}},
	codes:    []string{"message"},
	meanings: map[string]meaning{
		"":                          invalid, // a robot
		"Invalid or expired Token.": expired,
		"Token invalid or expired.": expired, // as older pages have it
		"Authentication failed. Secret has not provided.": misconfigured,
		"Authentication failed. Invalid secret.":          misconfigured, // seen
	},
	hostname: "host",
	widget: widget{
		script: "https://smartcaptcha.cloud.yandex.ru/captcha.js",
		markup: `<div class="smart-captcha" data-sitekey="{{.SiteKey}}"></div>`,
		csp: map[string][]string{ // seen in sites' policies
			"script-src":  {"https://smartcaptcha.cloud.yandex.ru", "https://smartcaptcha.yandexcloud.net"},
			"frame-src":   {"https://smartcaptcha.cloud.yandex.ru", "https://smartcaptcha.yandexcloud.net"},
			"connect-src": {"https://smartcaptcha.cloud.yandex.ru", "https://smartcaptcha.yandexcloud.net"},
			"style-src":   {"'unsafe-inline'"},
		},
	},
}
