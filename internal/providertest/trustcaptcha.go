package providertest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// TrustCaptcha is TrustCaptcha's results API.
type TrustCaptcha struct {
	Key    string // the API key
	Prefix string // of the path before /v2
	// Result answers for a verification's id, with "?clientFailover=true" behind
	// it where it was asked so. Status 0 is a verification that is not known.
	Result func(id string) (status int, body string)
}

// Protocol is strict about what is asked.
func (g TrustCaptcha) Protocol(s *Server) Answerer {
	return func(c Call) (int, string) {
		if c.Method != http.MethodGet || len(c.Body) > 0 {
			s.Strict("%s with %d bytes", c.Method, len(c.Body))
		}
		id, ok := strings.CutPrefix(c.Path, g.Prefix+"/v2/verifications/")
		id, ok2 := strings.CutSuffix(id, "/results")
		if !ok || !ok2 || strings.Contains(id, "/") || id != strings.ToLower(id) {
			s.Strict("path %s", c.Path)
		}
		query := c.Query.Encode()
		if query != "" && query != "clientFailover=true" {
			s.Strict("query %s", query)
		}
		for name := range c.Header {
			switch name {
			case "Authorization", "Accept", "User-Agent", "Accept-Encoding", "Connection":
			default:
				s.Strict("header %s", name)
			}
		}
		if c.Header.Get("Authorization") != "Bearer "+g.Key {
			return http.StatusForbidden, `{"error":"api key"}`
		}
		if query != "" {
			id += "?" + query
		}
		if status, body := g.Result(id); status != 0 {
			return status, body
		}
		return http.StatusNotFound, `{"error":"unknown"}`
	}
}

// TrustCaptchaID is the captchaId of TrustResult.
const TrustCaptchaID = "aaaaaaaa-2222-4333-8444-555555555555"

// TrustResult is the result of a passed verification, with all members that the
// library for Rust 3.0.0 reads.
func TrustResult(id string) string {
	return fmt.Sprintf(`{"captchaId":"%s","verificationId":"%s","verificationPassed":true,"score":0.1,`+
		`"decisionType":"DEFAULT","decisionAction":"ALLOW","gatewayFailoverActive":false,"riskScoringEnabled":true,`+
		`"minimalDataModeEnabled":false,"origin":"https://example.com","ipAddress":"192.0.2.1","countryCode":"DE",`+
		`"deviceFamily":"DESKTOP","operatingSystem":"LINUX","browser":"FIREFOX",`+
		`"verificationStartedAt":"2026-11-21T01:57:00Z","verificationFinishedAt":"2026-11-21T01:57:10Z","resultExpiresAt":"2026-11-21T02:57:10Z"}`,
		TrustCaptchaID, id)
}

// TrustToken is what TrustCaptcha's widget submits, on the visitor's word alone
// where it is a client-failover token.
func TrustToken(id string, expires time.Time, failover bool) string {
	doc := fmt.Sprintf(`{"verificationId":%q,"expiresAt":%q`, id, expires.UTC().Format(time.RFC3339))
	if failover {
		doc += `,"clientFailover":true`
	}
	return base64.StdEncoding.EncodeToString([]byte(doc + "}"))
}
