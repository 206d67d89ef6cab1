package siteverify

import (
	"time"
)

// presets are the providers of the family. Facts without a mark are those of
// the page that the row names; "memory" marks what no page or code was at hand
// for, and "seen" what was read in other people's code.
var presets = []*preset{
	&turnstile, &hcaptcha, &recaptcha, &recaptcha3, &recaptchaEnterprise,
	&friendlycaptcha, &mcaptcha, &capjs, &privatecaptcha, &prosopo, &mtcaptcha, &yandex,
}

var turnstile = preset{
	name:     "turnstile",
	page:     "https://developers.cloudflare.com/turnstile/get-started/server-side-validation/",
	field:    "cf-turnstile-response",
	max:      2048,
	lifetime: 5 * time.Minute,
	endpoint: "https://challenges.cloudflare.com/turnstile/v0/siteverify",
	ask:      call{secret: "secret", token: "response", idempotency: "idempotency_key"},
	pass:     []condition{{"success", true}},
	codes:    []string{"error-codes"},
	meanings: map[string]meaning{
		"missing-input-secret":   misconfigured,
		"invalid-input-secret":   misconfigured,
		"missing-input-response": missing,
		"invalid-input-response": invalid,
		"timeout-or-duplicate":   duplicate,
		"bad-request":            invalid, // ambiguous: the probe tells whether it is ours
		"internal-error":         unavailable,
	},
	hostname: "hostname",
	action:   "action",
	testKeys: []string{
		"1x00000000000000000000AA", "2x00000000000000000000AB", "1x00000000000000000000BB",
		"2x00000000000000000000BB", "3x00000000000000000000FF",
		"1x0000000000000000000000000000000AA", "2x0000000000000000000000000000000AA",
		"3x0000000000000000000000000000000AA",
	},
	testTokens: []string{"XXXX.DUMMY.TOKEN.XXXX"},
	widget: widget{
		script: "https://challenges.cloudflare.com/turnstile/v0/api.js",
		markup: `<div class="cf-turnstile" data-sitekey="{{.SiteKey}}"{{with .Action}} data-action="{{.}}"{{end}}></div>`,
		csp: map[string][]string{
			"script-src": {"https://challenges.cloudflare.com"},
			"frame-src":  {"https://challenges.cloudflare.com"},
		},
	},
}

var hcaptcha = preset{
	name:  "hcaptcha",
	page:  "https://docs.hcaptcha.com/",
	field: "h-captcha-response",
	max:   8192,
	// 2 minutes; support raises it for an account, up to a day (seen in an issue)
	lifetime: 24 * time.Hour,
	endpoint: "https://api.hcaptcha.com/siteverify",
	// with sitekey, or a token for any site key of the account would pass
	ask:   call{secret: "secret", token: "response", siteKey: "sitekey"},
	pass:  []condition{{"success", true}},
	codes: []string{"error-codes"},
	meanings: map[string]meaning{
		"missing-input-secret":             misconfigured,
		"invalid-input-secret":             misconfigured,
		"not-using-dummy-secret":           misconfigured,
		"missing-remoteip":                 misconfigured,
		"invalid-remoteip":                 misconfigured,
		"missing-input-response":           missing,
		"invalid-input-response":           invalid,
		"expired-input-response":           expired,
		"already-seen-response":            duplicate,
		"invalid-or-already-seen-response": duplicate,
		"bad-request":                      invalid,
		"sitekey-secret-mismatch":          mismatch,
		"not-using-dummy-passcode":         mismatch,
	},
	hostname: "hostname",
	score:    "score", // Enterprise
	risk:     true,
	testKeys: []string{
		"10000000-ffff-ffff-ffff-000000000001", "0x0000000000000000000000000000000000000000",
		"20000000-ffff-ffff-ffff-000000000002", "30000000-ffff-ffff-ffff-000000000003", // memory
	},
	testTokens: []string{ // memory
		"10000000-aaaa-bbbb-cccc-000000000001", "20000000-aaaa-bbbb-cccc-000000000002",
		"30000000-aaaa-bbbb-cccc-000000000003",
	},
	widget: widget{
		script: "https://js.hcaptcha.com/1/api.js",
		markup: `<div class="h-captcha" data-sitekey="{{.SiteKey}}"></div>`,
		csp: map[string][]string{
			"script-src":  {"https://hcaptcha.com", "https://*.hcaptcha.com"},
			"frame-src":   {"https://hcaptcha.com", "https://*.hcaptcha.com"},
			"style-src":   {"https://hcaptcha.com", "https://*.hcaptcha.com"},
			"connect-src": {"https://hcaptcha.com", "https://*.hcaptcha.com"},
		},
	},
}

// recaptchaMeanings are the codes of Google's siteverify. browser-error is from
// an issue: a browser says it, so a client can.
var recaptchaMeanings = map[string]meaning{
	"missing-input-secret":   misconfigured,
	"invalid-input-secret":   misconfigured,
	"missing-input-response": missing,
	"invalid-input-response": invalid,
	"timeout-or-duplicate":   duplicate,
	"bad-request":            invalid,
	"browser-error":          invalid,
}

// recaptchaCSP is from memory: Google's page names no hosts but these.
var recaptchaCSP = map[string][]string{
	"script-src":  {"https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"},
	"frame-src":   {"https://www.google.com/recaptcha/", "https://recaptcha.google.com/recaptcha/"},
	"connect-src": {"https://www.google.com/recaptcha/"},
}

var recaptcha = preset{
	name:     "recaptcha",
	metered:  true,
	page:     "https://developers.google.com/recaptcha/docs/verify",
	field:    "g-recaptcha-response",
	max:      8192,
	lifetime: 2 * time.Minute,
	endpoint: "https://www.google.com/recaptcha/api/siteverify",
	ask:      call{secret: "secret", token: "response"},
	pass:     []condition{{"success", true}},
	codes:    []string{"error-codes"},
	meanings: recaptchaMeanings,
	hostname: "hostname",
	testKeys: []string{ // memory
		"6LeIxAcTAAAAAJcZVRqyHh71UMIEGNQ_MXjiZKhI", "6LeIxAcTAAAAAGG-vFI1TnRWxMZNFuojJ4WifJWe",
	},
	widget: widget{
		script: "https://www.google.com/recaptcha/api.js",
		markup: `<div class="g-recaptcha" data-sitekey="{{.SiteKey}}"></div>`,
		csp:    recaptchaCSP,
	},
}

var recaptcha3 = preset{
	name:     "recaptcha3",
	metered:  true,
	page:     "https://developers.google.com/recaptcha/docs/v3",
	field:    "g-recaptcha-response", // version 3 has no field of its own
	max:      8192,
	lifetime: 2 * time.Minute,
	endpoint: "https://www.google.com/recaptcha/api/siteverify",
	ask:      call{secret: "secret", token: "response"},
	pass:     []condition{{"success", true}},
	codes:    []string{"error-codes"},
	meanings: recaptchaMeanings,
	hostname: "hostname",
	action:   "action",
	score:    "score",
	minScore: 0.5,
	widget: widget{
		script: "https://www.google.com/recaptcha/api.js",
		render: true,
		glue:   executeGlue("grecaptcha"),
		csp:    recaptchaCSP,
	},
}

var recaptchaEnterprise = preset{
	name:     "recaptcha_enterprise",
	metered:  true,
	page:     "https://cloud.google.com/recaptcha/docs/create-assessment-website",
	field:    "g-recaptcha-response",
	max:      8192,
	lifetime: 2 * time.Minute,
	endpoint: "https://recaptchaenterprise.googleapis.com/v1/projects/{project}/assessments",
	ask: call{
		encoding: asJSON, wrap: "event", token: "token", siteKey: "siteKey", action: "expectedAction",
		secretHeader: "X-Goog-Api-Key", // as good as ?key=, and in no URL
	},
	pass:  []condition{{"tokenProperties.valid", true}},
	codes: []string{"tokenProperties.invalidReason", "error.status"},
	meanings: map[string]meaning{
		"MALFORMED":              invalid,
		"EXPIRED":                expired,
		"DUPE":                   duplicate,
		"MISSING":                missing,
		"BROWSER_ERROR":          invalid, // "could easily be simulated by an attacker"
		"UNKNOWN_INVALID_REASON": invalid,
		"UNEXPECTED_ACTION":      {reason: "action-mismatch"},
		"SITE_MISMATCH":          mismatch,
		"PERMISSION_DENIED":      misconfigured,
		"UNAUTHENTICATED":        misconfigured,
		"NOT_FOUND":              misconfigured, // the project
		"INVALID_ARGUMENT":       mismatch,      // an API key of the wrong form, too
		"RESOURCE_EXHAUSTED":     throttled,
	},
	statuses: map[int]meaning{401: misconfigured, 403: misconfigured},
	hostname: "tokenProperties.hostname",
	action:   "tokenProperties.action",
	score:    "riskAnalysis.score",
	minScore: 0.5,
	widget: widget{
		script: "https://www.google.com/recaptcha/enterprise.js",
		render: true,
		glue:   executeGlue("grecaptcha.enterprise"),
		csp:    recaptchaCSP,
	},
}

// executeGlue asks for a token as soon as there is a page to ask for one on.
func executeGlue(api string) string {
	return `if (!window.grecaptcha) { captcha.fail(); return; }
` + api + `.ready(() => {
  ` + api + `.execute(captcha.siteKey, {action: {action}}).then(
    (token) => captcha.set({"g-recaptcha-response": token}),
    () => captcha.fail());
});`
}

var friendlycaptcha = preset{
	name:     "friendlycaptcha", // version 2
	page:     "https://developer.friendlycaptcha.com/docs/v2/getting-started/verify",
	field:    "frc-captcha-response",
	max:      16384, // memory: no limit is documented
	lifetime: time.Hour,
	unsolved: ".", // .UNSTARTED, .UNCONNECTED, .UNACTIVATED, .ERROR.UNREACHABLE~…
	endpoint: "https://global.frcapi.com/api/v2/captcha/siteverify",
	ask:      call{encoding: asJSON, token: "response", siteKey: "sitekey", secretHeader: "X-API-Key"},
	pass:     []condition{{"success", true}},
	codes:    []string{"error.error_code"},
	meanings: map[string]meaning{
		"auth_required":      misconfigured,
		"auth_invalid":       misconfigured,
		"sitekey_invalid":    misconfigured, // the one that we send
		"response_missing":   missing,
		"response_invalid":   invalid,
		"response_timeout":   expired,
		"response_duplicate": duplicate,
		"bad_request":        invalid,
	},
	statuses: map[int]meaning{401: misconfigured},
	hostname: "data.challenge.origin", // seen in the vendor's Go client
	widget: widget{
		// loaded a second time, it does not work; by itself it looks for its places once
		glue: `if (!window.frcaptcha) { captcha.fail(); return; }
frcaptcha.attach();`,
		script: "https://cdn.jsdelivr.net/npm/@friendlycaptcha/sdk@1.0.2/site.min.js",
		module: true,
		markup: `<div class="frc-captcha" data-sitekey="{{.SiteKey}}"{{with .Region "frcapi.com"}} data-api-endpoint="{{.}}"{{end}}></div>`,
		csp: map[string][]string{
			"script-src": {"https://cdn.jsdelivr.net/npm/@friendlycaptcha/"},
			"frame-src":  {"https://*.frcapi.com"}, // memory; the real widget was seen to need a frame
			"style-src":  {"'unsafe-inline'"},      // memory
		},
	},
}
