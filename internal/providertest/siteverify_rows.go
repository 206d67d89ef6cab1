package providertest

import (
	"fmt"
	"maps"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// withCodes answers as Google's siteverify does, which others copied.
func withCodes(code string) (int, string) {
	return 200, fmt.Sprintf(`{"success":false,"error-codes":[%q]}`, code)
}

var recaptchaCodes = map[string]string{
	"missing-input-secret":   "misconfigured",
	"invalid-input-secret":   "misconfigured",
	"missing-input-response": "token-missing",
	"invalid-input-response": "token-invalid",
	"timeout-or-duplicate":   "token-duplicate",
	"bad-request":            "token-invalid",
	"browser-error":          "token-invalid",
}

// strictTypes are answers that are no pass although careless code takes them
// for one.
func strictTypes(member string) map[string]string {
	return map[string]string{
		`200 {"` + member + `":"true"}`:                "unavailable",
		`200 {"` + member + `":1}`:                     "unavailable",
		`200 {"` + member + `":null}`:                  "unavailable",
		`200 {"` + member + `":[true]}`:                "unavailable",
		`200 {"` + member + `":{"x":true}}`:            "unavailable",
		`200 {}`:                                       "unavailable",
		`200 []`:                                       "unavailable",
		`200 true`:                                     "unavailable",
		`200 null`:                                     "unavailable",
		`200 {"` + member + `":true}}`:                 "unavailable",
		`200 {"` + member + `":true} true`:             "unavailable",
		`201 {"` + member + `":true}`:                  "unavailable",
		`204 `:                                         "unavailable",
		`404 {"` + member + `":true}`:                  "unavailable",
		`500 {"` + member + `":true}`:                  "unavailable",
		`200 {"` + strings.ToUpper(member) + `":true}`: "unavailable",
	}
}

// Siteverifies are the providers of the family, in no order.
var Siteverifies = []Siteverify{{
	Name:   "turnstile",
	Field:  "cf-turnstile-response",
	Params: "secret=$secret response=$token idempotency_key=$uuid",
	Pass:   `{"success":true,"challenge_ts":"2026-05-04T12:00:00.000Z","hostname":"example.com","error-codes":[],"action":"login","cdata":"","metadata":{"interactive":false}}`,
	Refuse: withCodes,
	Codes: map[string]string{
		"missing-input-secret":   "misconfigured",
		"invalid-input-secret":   "misconfigured",
		"missing-input-response": "token-missing",
		"invalid-input-response": "token-invalid",
		"timeout-or-duplicate":   "token-duplicate",
		"bad-request":            "token-invalid",
		"internal-error":         "unavailable",
	},
	Junk: "invalid-input-response",
	Answers: merge(strictTypes("success"), map[string]string{
		`400 {"success":false,"error-codes":["invalid-input-secret"]}`:                          "misconfigured",
		`200 {"success":false,"error-codes":["invalid-input-response","invalid-input-secret"]}`: "misconfigured",
		`200 {"success":false,"error-codes":[]}`:                                                "token-invalid",
		`200 {"success":false}`:                                                                 "token-invalid",
		`200 {"success":false,"error-codes":["what-is-this"]}`:                                  "token-invalid, unknown what-is-this",
		`200 {"success":false,"error-codes":"invalid-input-secrets"}`:                           "token-invalid, unknown invalid-input-secrets",
		`200 {"success":false,"error-codes":[true]}`:                                            "unavailable",
		`200 {"success":true,"hostname":"evil.example"}`:                                        "hostname-mismatch",
		`200 {"success":true,"hostname":1}`:                                                     "unavailable",
		`200 {"success":true,"hostname":"EXAMPLE.com."}`:                                        "pass",
		`200 {"success":true}`:                                                                  "pass",
		`403 {"success":true}`:                                                                  "unavailable",
	}),
}, {
	Name:   "hcaptcha",
	Field:  "h-captcha-response",
	Params: "secret=$secret response=$token sitekey=$key",
	Pass:   `{"success":true,"challenge_ts":"2026-05-04T12:00:00.000Z","hostname":"example.com","credit":true,"error-codes":[]}`,
	Refuse: withCodes,
	Codes: map[string]string{
		"missing-input-secret":             "misconfigured",
		"invalid-input-secret":             "misconfigured",
		"not-using-dummy-secret":           "misconfigured",
		"missing-remoteip":                 "misconfigured",
		"invalid-remoteip":                 "misconfigured",
		"missing-input-response":           "token-missing",
		"invalid-input-response":           "token-invalid",
		"expired-input-response":           "token-expired",
		"already-seen-response":            "token-duplicate",
		"invalid-or-already-seen-response": "token-duplicate",
		"bad-request":                      "token-invalid",
		"sitekey-secret-mismatch":          "token-invalid/misconfigured",
		"not-using-dummy-passcode":         "token-invalid/misconfigured",
	},
	Junk:    "invalid-input-response",
	Answers: strictTypes("success"),
}, {
	Name:    "recaptcha",
	Field:   "g-recaptcha-response",
	Params:  "secret=$secret response=$token",
	Pass:    `{"success":true,"challenge_ts":"2026-05-04T12:00:00Z","hostname":"example.com"}`,
	Refuse:  withCodes,
	Codes:   recaptchaCodes,
	Junk:    "invalid-input-response",
	Answers: strictTypes("success"),
}, {
	Name:   "recaptcha3",
	Field:  "g-recaptcha-response",
	Params: "secret=$secret response=$token",
	Pass:   `{"success":true,"challenge_ts":"2026-05-04T12:00:00Z","hostname":"example.com","score":0.9,"action":"login"}`,
	Refuse: withCodes,
	Codes:  recaptchaCodes,
	Junk:   "invalid-input-response",
	Answers: merge(strictTypes("success"), map[string]string{
		`200 {"success":true,"score":0.5}`:   "pass",
		`200 {"success":true,"score":0.4}`:   "score-too-low",
		`200 {"success":true,"score":0}`:     "score-too-low",
		`200 {"success":true}`:               "score-too-low",
		`200 {"success":true,"score":"0.9"}`: "unavailable",
	}),
}, {
	Name:        "recaptcha_enterprise",
	Field:       "g-recaptcha-response",
	ContentType: "application/json",
	Params:      "event.token=$token event.siteKey=$key",
	Headers:     map[string]string{"X-Goog-Api-Key": "$secret"},
	Pass: `{"name":"projects/1/assessments/1","event":{"token":"x"},"riskAnalysis":{"score":0.9,"reasons":[]},` +
		`"tokenProperties":{"valid":true,"invalidReason":"INVALID_REASON_UNSPECIFIED","hostname":"example.com","action":"login"}}`,
	Refuse: func(code string) (int, string) {
		switch code {
		case "PERMISSION_DENIED":
			return 403, `{"error":{"code":403,"message":"…","status":"PERMISSION_DENIED"}}`
		case "UNAUTHENTICATED":
			return 401, `{"error":{"code":401,"message":"…","status":"UNAUTHENTICATED"}}`
		case "NOT_FOUND":
			return 404, `{"error":{"code":404,"message":"…","status":"NOT_FOUND"}}`
		case "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED":
			return 400, fmt.Sprintf(`{"error":{"code":400,"message":"…","status":%q}}`, code)
		}
		return 200, fmt.Sprintf(`{"riskAnalysis":{"score":0},"tokenProperties":{"valid":false,"invalidReason":%q}}`, code)
	},
	Codes: map[string]string{
		"MALFORMED":              "token-invalid",
		"EXPIRED":                "token-expired",
		"DUPE":                   "token-duplicate",
		"MISSING":                "token-missing",
		"BROWSER_ERROR":          "token-invalid",
		"UNKNOWN_INVALID_REASON": "token-invalid",
		"UNEXPECTED_ACTION":      "action-mismatch",
		"SITE_MISMATCH":          "token-invalid/misconfigured",
		"PERMISSION_DENIED":      "misconfigured",
		"UNAUTHENTICATED":        "misconfigured",
		"NOT_FOUND":              "misconfigured",
		"INVALID_ARGUMENT":       "token-invalid/misconfigured",
		"RESOURCE_EXHAUSTED":     "throttled",
	},
	Junk: "MALFORMED",
	Answers: map[string]string{
		`200 {"tokenProperties":{"valid":"true"},"riskAnalysis":{"score":1}}`:                         "unavailable",
		`200 {"tokenProperties":{},"riskAnalysis":{"score":1}}`:                                       "unavailable",
		`200 {"tokenProperties":true,"riskAnalysis":{"score":1}}`:                                     "unavailable",
		`200 {"valid":true,"riskAnalysis":{"score":1}}`:                                               "unavailable",
		`200 {"tokenProperties":{"valid":true},"riskAnalysis":{"score":0.4}}`:                         "score-too-low",
		`200 {"tokenProperties":{"valid":true}}`:                                                      "score-too-low",
		`200 {"tokenProperties":{"valid":true,"hostname":"evil.example"},"riskAnalysis":{"score":1}}`: "hostname-mismatch",
		`403 nothing`: "misconfigured",
	},
	Classes: map[Fault]provider.Class{Status403: provider.Misconfigured},
}, {
	Name:        "friendlycaptcha",
	Field:       "frc-captcha-response",
	ContentType: "application/json",
	Params:      "response=$token sitekey=$key",
	Headers:     map[string]string{"X-Api-Key": "$secret"},
	Pass:        `{"success":true,"data":{"event_id":"ev_1","challenge":{"timestamp":"2026-05-04T12:00:00Z","origin":"https://example.com:8443"},"risk_intelligence":null}}`,
	Refuse: func(code string) (int, string) {
		status := map[string]int{"auth_required": 401, "auth_invalid": 401, "sitekey_invalid": 400, "response_missing": 400, "bad_request": 400}[code]
		if status == 0 {
			status = 200
		}
		return status, fmt.Sprintf(`{"success":false,"error":{"error_code":%q,"detail":"…"}}`, code)
	},
	Codes: map[string]string{
		"auth_required":      "misconfigured",
		"auth_invalid":       "misconfigured",
		"sitekey_invalid":    "misconfigured",
		"response_missing":   "token-missing",
		"response_invalid":   "token-invalid",
		"response_timeout":   "token-expired",
		"response_duplicate": "token-duplicate",
		"bad_request":        "token-invalid",
	},
	Junk: "response_invalid",
	Answers: merge(strictTypes("success"), map[string]string{
		`200 {"success":true,"data":{"challenge":{"origin":"https://evil.example"}}}`: "hostname-mismatch",
		`200 {"success":true,"data":{"challenge":{"origin":"https://"}}}`:             "hostname-mismatch",
		`401 nothing`:                          "misconfigured",
		`400 nothing`:                          "unavailable",
		`400 {"success":true,"data":{}}`:       "unavailable",
		`402 {"success":false,"error":"paid"}`: "unavailable",
	}),
}, {
	Name:        "mcaptcha",
	Field:       "mcaptcha__token",
	ContentType: "application/json",
	Params:      "token=$token key=$key secret=$secret",
	Pass:        `{"valid":true}`,
	Refuse: func(code string) (int, string) {
		status := 404
		if code == "Wrong password" {
			status = 401
		}
		return status, fmt.Sprintf(`{"error":%q}`, code)
	},
	Codes: map[string]string{
		"Wrong password":                        "misconfigured",
		"Token not found. Is token registered?": "misconfigured",
	},
	Answers: merge(strictTypes("valid"), map[string]string{
		`200 {"valid":false}`:  "token-invalid",
		`200 {"success":true}`: "unavailable",
		`401 nothing`:          "unavailable",
	}),
}, {
	Name:        "cap",
	Field:       "cap-token",
	Token:       func(siteKey string) string { return siteKey + ":a5363f203231e59d:1defeb2e40353e34d895039ebf73d9" },
	ContentType: "application/json",
	Params:      "secret=$secret response=$token",
	Pass:        `{"success":true}`,
	Refuse: func(code string) (int, string) {
		status := map[string]int{"Missing required parameters": 400, "Token expired": 403}[code]
		if status == 0 {
			status = 404
		}
		return status, fmt.Sprintf(`{"error":%q}`, code)
	},
	Codes: map[string]string{
		"Missing required parameters": "token-invalid",
		"Token not found":             "token-duplicate",
		"Token expired":               "token-expired",
		"Invalid site key or secret":  "token-invalid/misconfigured",
	},
	Junk: "Token not found",
	Answers: merge(strictTypes("success"), map[string]string{
		`403 {"error":"Invalid site key or secret"}`:                "token-invalid/misconfigured",
		`200 {"success":false}`:                                     "token-invalid",
		`403 nothing`:                                               "unavailable",
		`404 nothing`:                                               "unavailable",
		`500 {"error":"Invalid site key or secret"}`:                "unavailable",
		`404 {"success":true,"error":"Invalid site key or secret"}`: "token-invalid/misconfigured",
	}),
}, {
	Name:        "privatecaptcha",
	Field:       "private-captcha-solution",
	ContentType: "text/plain",
	Params:      "$token",
	Headers:     map[string]string{"X-Api-Key": "$secret", "X-Pc-Sitekey": "$key"},
	Pass:        `{"success":true,"timestamp":"2026-05-04T12:00:00Z","origin":"example.com","code":0}`,
	Refuse: func(code string) (int, string) {
		success := "false"
		if code == "10" {
			success = "true"
		}
		return 200, `{"success":` + success + `,"code":` + code + `}`
	},
	Codes: map[string]string{
		"1": "unavailable", "2": "token-duplicate", "3": "token-invalid", "4": "token-invalid", "5": "token-expired",
		"6": "token-invalid/misconfigured", "7": "token-invalid/misconfigured", "8": "token-duplicate",
		"9": "unavailable", "10": "token-invalid", "11": "token-invalid", "12": "token-invalid/misconfigured",
	},
	Junk: "4",
	Answers: map[string]string{
		`200 {"success":true}`:                                  "unavailable",
		`200 {"code":0}`:                                        "unavailable",
		`200 {"success":true,"code":"0"}`:                       "unavailable",
		`200 {"success":"true","code":0}`:                       "unavailable",
		`200 {"success":false,"code":0}`:                        "token-invalid, unknown 0",
		`200 {"success":true,"code":13}`:                        "token-invalid, unknown 13",
		`200 {"success":true,"code":8}`:                         "token-duplicate",
		`200 {"success":true,"code":9,"origin":"example.com"}`:  "failover",
		`200 {"success":true,"code":9,"origin":"evil.example"}`: "hostname-mismatch",
		`200 {"success":true,"code":0,"origin":"evil.example"}`: "hostname-mismatch",
		`400 nothing`: "misconfigured",
		`401 nothing`: "misconfigured",
		`403 nothing`: "misconfigured",
		`404 nothing`: "unavailable",
	},
	Classes: map[Fault]provider.Class{Status403: provider.Misconfigured},
}, {
	Name:        "prosopo",
	Field:       "procaptcha-response",
	Token:       ProsopoToken,
	ContentType: "application/json",
	Params:      "secret=$secret token=$token",
	Pass:        `{"status":"ok","verified":true,"score":0.1}`,
	Refuse: func(code string) (int, string) {
		return 400, fmt.Sprintf(`{"error":{"message":"…","key":%q,"code":400}}`, code)
	},
	Codes: map[string]string{
		"API.SITE_KEY_NOT_REGISTERED": "token-invalid/misconfigured",
		"API.INVALID_SITE_KEY":        "token-invalid/misconfigured",
		"API.BAD_REQUEST":             "token-invalid",
		"CAPTCHA.PARSE_ERROR":         "token-invalid",
		"CAPTCHA.NO_SESSION_FOUND":    "token-expired",
	},
	Junk: "CAPTCHA.NO_SESSION_FOUND",
	Answers: merge(strictTypes("verified"), map[string]string{
		`200 {"status":"ok","verified":false}`: "token-invalid",
		`200 {"status":"ok"}`:                  "unavailable",
	}),
}, {
	Name:   "mtcaptcha",
	Field:  "mtcaptcha-verifiedtoken",
	Params: "?privatekey=$secret token=$token",
	Pass:   `{"success":true,"tokeninfo":{"v":"1.0","code":201,"codeDesc":"valid:captcha-solved","tokID":"ae1e","timestampSec":1552185983,"hostname":"example.com","isDevHost":false,"action":"login","ip":"192.0.2.1"}}`,
	Refuse: func(code string) (int, string) {
		return 200, fmt.Sprintf(`{"success":false,"fail_codes":[%q]}`, code)
	},
	Codes: map[string]string{
		"missing-input-privatekey":   "misconfigured",
		"invalid-privatekey":         "misconfigured",
		"expired-sitekey-or-account": "misconfigured",
		"missing-input-token":        "token-missing",
		"invalid-token":              "token-invalid",
		"invalid-token-faildecrypt":  "token-invalid",
		"bad-request":                "token-invalid",
		"token-expired":              "token-expired",
		"token-duplicate-cal":        "token-duplicate",
		"privatekey-mismatch-token":  "token-invalid/misconfigured",
	},
	Junk:    "invalid-token",
	Answers: strictTypes("success"),
}, {
	Name:   "yandex",
	Field:  "smart-token",
	Params: "secret=$secret token=$token",
	Pass:   `{"status":"ok","message":"","host":"example.com:8080"}`,
	Refuse: func(code string) (int, string) {
		return 200, fmt.Sprintf(`{"status":"failed","message":%q}`, code)
	},
	Codes: map[string]string{
		"":                          "token-invalid",
		"Invalid or expired Token.": "token-expired",
		"Token invalid or expired.": "token-expired",
		"Authentication failed. Secret has not provided.": "misconfigured",
		"Authentication failed. Invalid secret.":          "misconfigured",
	},
	Junk: "Invalid or expired Token.",
	Answers: map[string]string{
		`200 {"status":"ok","message":""}`:                       "pass",
		`200 {"status":"ok","message":"","host":""}`:             "failover",
		`200 {"status":"ok","message":"","host":"evil.example"}`: "hostname-mismatch",
		`200 {"status":"OK","message":""}`:                       "token-invalid",
		`200 {"status":true,"message":""}`:                       "unavailable",
		`200 {"message":""}`:                                     "unavailable",
		`200 {"status":"failed"}`:                                "token-invalid",
		`403 {"status":"failed","message":""}`:                   "token-invalid",
		`403 {"status":"ok","message":"x"}`:                      "unavailable",
		`500 {"status":"ok","message":""}`:                       "unavailable",
	},
}}

func merge(parts ...map[string]string) map[string]string {
	all := make(map[string]string)
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}
