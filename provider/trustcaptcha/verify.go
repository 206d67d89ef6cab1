package trustcaptcha

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// probeID is the id that a probe asks about. Its version is 8, so no server
// makes it up by chance, and it is none of the test ids.
const probeID = "cadd0000-0000-8000-8000-000000000000"

// The statuses of the results API, from TrustCaptcha's libraries and the
// status-code notes of its Failover Behavior page.
const (
	keyInvalid     = http.StatusForbidden          // 403
	notFound       = http.StatusNotFound           // 404
	resultExpired  = http.StatusGone               // 410
	clientReported = http.StatusPreconditionFailed // 412
	notFinished    = http.StatusLocked             // 423
	limitReached   = http.StatusTooManyRequests    // 429: reads of this one result
)

// errBadData is a fault of the host's: a token that is none of Parse's.
var errBadData = errors.New("trustcaptcha: the token is not one of Parse")

// Verify asks for the result of a verification.
func (p *Provider) Verify(ctx context.Context, req provider.Request, token provider.Token) (provider.Verdict, error) {
	c, ok := token.Data.(claim)
	if !ok {
		return provider.Verdict{}, errBadData
	}
	if c.failover && req.Down {
		return provider.Verdict{}, outbound.Unavailable("a client-failover token while the provider is down")
	}
	a, err := p.ask(ctx, c)
	if err != nil {
		return provider.Verdict{}, err
	}
	switch a.Status {
	case http.StatusOK:
		return p.judgeResult(a, c)
	case notFound:
		return fail(provider.TokenInvalid, "TrustCaptcha does not know the verification"), nil
	case resultExpired:
		return fail(provider.TokenExpired, "TrustCaptcha's result has expired"), nil
	case notFinished:
		return fail(provider.TokenInvalid, "the verification is not finished"), nil
	case limitReached:
		return fail(provider.TokenDuplicate, "TrustCaptcha has given out the result before"), nil
	case clientReported:
		if !c.failover {
			return fail(provider.TokenInvalid, "status 412 for a regular token"), nil
		}
		return provider.Verdict{
			Outcome: provider.ClientReported,
			Detail:  "the widget reported an outage that TrustCaptcha knows nothing of",
		}, nil
	}
	return provider.Verdict{}, unexpected(a)
}

// Probe asks for the result of a verification that cannot exist.
func (p *Provider) Probe(ctx context.Context) error {
	a, err := p.ask(ctx, claim{id: probeID})
	if err != nil {
		return err
	}
	switch a.Status {
	case notFound:
		return nil
	case limitReached: // not of a result, as there is none
		return outbound.Throttled(a)
	}
	return unexpected(a)
}

// ask calls the results API, which may be asked twice: it is a GET. Its answer
// is not a web page, unless it is a 403, which is told apart by nothing else.
func (p *Provider) ask(ctx context.Context, c claim) (outbound.Answer, error) {
	url := p.apiURL + "/v2/verifications/" + c.id + "/results"
	if c.failover {
		url += "?clientFailover=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return outbound.Answer{}, errors.New("trustcaptcha: no request can be made from api_url")
	}
	req.Header.Set("Authorization", "Bearer "+p.apiKey)
	req.Header.Set("Accept", "application/json")
	a, err := p.client.Do(req)
	if err != nil {
		return a, outbound.Again(err)
	}
	if a.Status == keyInvalid {
		return a, outbound.Misconfigured("TrustCaptcha refuses the api_key (status 403)")
	}
	media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if media == "text/html" || a.Header.Get("Content-Encoding") != "" {
		return a, outbound.Again(outbound.Unavailable(fmt.Sprintf("status %d is not an answer of the results API", a.Status)))
	}
	return a, nil
}

// result is what the API says of a verification; of what is absent, nil. The
// libraries know more members.
type result struct {
	CaptchaID             *string  `json:"captchaId"`
	VerificationID        *string  `json:"verificationId"`
	VerificationPassed    *bool    `json:"verificationPassed"`
	Score                 *float64 `json:"score"`
	RiskScoringEnabled    *bool    `json:"riskScoringEnabled"`
	DecisionType          *string  `json:"decisionType"`
	DecisionAction        *string  `json:"decisionAction"`
	GatewayFailoverActive *bool    `json:"gatewayFailoverActive"`
}

// refusing are the decisionActions that refuse. No page lists them; another one
// refuses as well, and is told.
var refusing = map[string]bool{"BLOCK": true}

// judgeResult passes a result that says so in every respect. One that is not the
// protocol is no verdict.
func (p *Provider) judgeResult(a outbound.Answer, c claim) (provider.Verdict, error) {
	r, wrong := decodeResult(a, c)
	if wrong != "" {
		return provider.Verdict{}, outbound.Again(outbound.Unavailable("the result is not the protocol: " + wrong))
	}
	var score *float64
	if r.RiskScoringEnabled == nil || *r.RiskScoringEnabled {
		score = r.Score
	}
	v := provider.Verdict{Score: score}
	switch {
	case !*r.VerificationPassed:
		v.Reason, v.Detail = provider.TokenInvalid, "the verification did not pass"
	case *r.DecisionAction != "ALLOW":
		action := outbound.Visible(*r.DecisionAction, c.id, p.apiKey)
		v.Reason, v.Detail = provider.TokenInvalid, "TrustCaptcha decided "+action
		if !refusing[*r.DecisionAction] {
			v.Unknown = action
		}
	case p.captchaID != "" && (r.CaptchaID == nil || !strings.EqualFold(*r.CaptchaID, p.captchaID)):
		v.Reason, v.Detail = provider.TokenInvalid, "the result is another CAPTCHA's than captcha_id"
	case score != nil && *score > p.maxScore:
		v.Reason, v.Detail = provider.ScoreTooLow, fmt.Sprintf("bot score %g is above max_score %g", *score, p.maxScore)
	case r.synthesized():
		v.Outcome, v.Detail = provider.ProviderFailover, "TrustCaptcha passed the visitor in trouble of its own"
	default:
		v.Outcome = provider.Pass
	}
	return v, nil
}

// decodeResult returns a result of which every member that counts has its type,
// or what is wrong.
func decodeResult(a outbound.Answer, c claim) (r result, wrong string) {
	switch {
	case !a.Object(&r):
		return r, "not JSON, or a member of another type"
	case r.VerificationPassed == nil || r.DecisionAction == nil || r.VerificationID == nil:
		return r, "verificationPassed, decisionAction or verificationId is missing"
	case !strings.EqualFold(*r.VerificationID, c.id):
		return r, "it is of another verification"
	case r.RiskScoringEnabled != nil && !*r.RiskScoringEnabled:
		return r, ""
	case r.Score == nil || *r.Score < 0 || *r.Score > 1:
		return r, "no score from 0 to 1"
	}
	return r, ""
}

// synthesized reports whether the gateway made the result up because of trouble
// behind it. The flag says so; the types of decision that go with it count as
// well.
func (r result) synthesized() bool {
	if r.GatewayFailoverActive != nil && *r.GatewayFailoverActive {
		return true
	}
	return r.DecisionType != nil && (*r.DecisionType == "FAILOVER" || *r.DecisionType == "FAILOVER_TOLERANCE")
}

func fail(reason provider.Reason, detail string) provider.Verdict {
	return provider.Verdict{Reason: reason, Detail: detail}
}

func unexpected(a outbound.Answer) error {
	return outbound.Again(outbound.Unavailable(fmt.Sprintf("unexpected status %d", a.Status)))
}
