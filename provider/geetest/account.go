package geetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// Account is what both versions are configured with.
type Account struct {
	// CaptchaID is the public id of the CAPTCHA, from GeeTest's dashboard. It
	// may hold placeholders that resolve when the config is loaded. Required.
	CaptchaID string `json:"captcha_id,omitempty"`

	// CaptchaKey is the secret that belongs to the id. It signs, and is never
	// sent. It may hold placeholders that resolve when the config is loaded;
	// write {env.NAME} or {file./path} to keep it out of the config. Required.
	CaptchaKey string `json:"captcha_key,omitempty"`

	// APIURL is the base of GeeTest's API, for an account of another region.
	// Where it is written, visitors' browsers are told to call it too.
	// Default: https://api.geetest.com for version 3,
	// https://gcaptcha4.geetest.com for version 4.
	APIURL string `json:"api_url,omitempty"`

	// BypassURL is the whole URL of the API that says whether GeeTest is up.
	// Default: https://bypass.geetest.com/v1/bypass_status.php for version 3;
	// none for version 4, for which GeeTest documents no such API.
	BypassURL string `json:"bypass_url,omitempty"`

	// ScriptURL is the whole URL of the widget's loader. A copy on a host of
	// your own loads even where GeeTest does not. Default:
	// https://static.geetest.com/static/tools/gt.js for version 3,
	// https://static.geetest.com/v4/gt4.js for version 4.
	ScriptURL string `json:"script_url,omitempty"`

	outbound.Transport

	env    provider.Env
	client *outbound.Client

	// what the options come to; the options themselves keep what was written
	id, key             string
	api, bypass, script string
	apiWritten          bool
}

// defaults are the URLs of one version.
type defaults struct{ api, bypass, script string }

// provision resolves the placeholders and prepares calls. It calls nobody.
func (a *Account) provision(def defaults) error {
	a.apiWritten = a.APIURL != ""
	if err := outbound.ResolveAll(
		outbound.Setting{Option: "captcha_id", Written: a.CaptchaID, To: &a.id},
		outbound.Setting{Option: "captcha_key", Written: a.CaptchaKey, To: &a.key},
		outbound.Setting{Option: "api_url", Written: a.APIURL, Default: def.api, To: &a.api},
		outbound.Setting{Option: "bypass_url", Written: a.BypassURL, Default: def.bypass, To: &a.bypass},
		outbound.Setting{Option: "script_url", Written: a.ScriptURL, Default: def.script, To: &a.script},
	); err != nil {
		return err
	}
	a.api = strings.TrimRight(a.api, "/")
	a.env = a.env.WithDefaults() // until Bind
	var err error
	a.client, err = a.Transport.NewClient()
	return err
}

// validate checks what the options came to.
func (a *Account) validate() error {
	switch {
	case a.id == "":
		return errors.New("captcha_id is missing: write the ID that GeeTest's dashboard shows")
	case !isID(a.id):
		return fmt.Errorf("captcha_id %q has other characters than letters, digits, '-' and '_': write the ID that GeeTest's dashboard shows", a.id)
	case a.key == "":
		return errors.New("captcha_key is missing: write the KEY that GeeTest's dashboard shows, or {env.NAME}")
	case strings.TrimSpace(a.key) != a.key:
		return errors.New("captcha_key begins or ends with a space: write the KEY alone")
	case a.key == a.id:
		return errors.New("captcha_key is the captcha_id: write the KEY that GeeTest's dashboard shows beside the ID")
	}
	if err := outbound.CheckURL("api_url", a.api, true); err != nil {
		return err
	}
	if a.bypass != "" {
		if err := outbound.CheckURL("bypass_url", a.bypass, false); err != nil {
			return err
		}
	}
	return outbound.CheckURL("script_url", a.script, false)
}

// Bind takes what the host lends. GeeTest publishes no test keys, so there is
// nothing for AllowTestKeys to refuse. Only local challenges need the signer.
func (a *Account) Bind(env provider.Env) error {
	a.env = env.WithDefaults()
	return nil
}

// Cleanup ends idle connections.
func (a *Account) Cleanup() error {
	a.client.Close()
	return nil
}

// received is when the request arrived, as far as the host said so.
func (a *Account) received(req provider.Request) time.Time {
	if req.Received.IsZero() {
		return a.env.Now()
	}
	return req.Received
}

// status asks the status API, which answers {"status":"success"} or
// {"status":"fail"}. GeeTest recommends to take everything else for a "fail";
// here it is no answer, because the validate endpoint decides then. Source:
// docs.geetest.com/captcha/apirefer/api/server, "Status Monitoring API".
func (a *Account) status(ctx context.Context) (bool, error) {
	u, err := url.Parse(a.bypass)
	if err != nil {
		return false, outbound.Misconfigured("bypass_url is no URL")
	}
	q := u.Query()
	q.Set("gt", a.id)
	u.RawQuery = q.Encode()
	answer, err := a.call(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	return isUp(answer)
}

// isUp reads the status API's answer.
func isUp(answer outbound.Answer) (bool, error) {
	var doc struct {
		Status string `json:"status"`
	}
	if !answer.Object(&doc) {
		return false, outbound.Unavailable("the status API's answer is not its protocol")
	}
	switch doc.Status {
	case "success":
		return true, nil
	case "fail":
		return false, nil
	}
	return false, outbound.Unavailable("the status API says neither success nor fail")
}

// call makes one call and returns a 200 answer. No other status is
// part of GeeTest's protocols, so that a 401 or 403 is somebody in between.
func (a *Account) call(ctx context.Context, method, target string, form url.Values) (none outbound.Answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return none, outbound.Misconfigured("a configured URL cannot be called")
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	answer, err := a.client.Do(req)
	switch {
	case err != nil:
		return none, err
	case answer.Status == http.StatusTooManyRequests:
		return none, outbound.Throttled(answer)
	case answer.Status != http.StatusOK:
		return none, outbound.Unavailable(fmt.Sprintf("status %d", answer.Status))
	}
	return answer, nil
}

func isID(s string) bool {
	return len(s) <= 128 && only(s, func(c byte) bool {
		return isLower(c) || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
	})
}

// isLower reports whether c is one of [0-9a-z].
func isLower(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' }

// only reports whether all of s, which is not empty, is of one kind.
func only(s string, kind func(byte) bool) bool {
	for i := range len(s) {
		if !kind(s[i]) {
			return false
		}
	}
	return s != ""
}

func invalid(detail string) error { return provider.Refuse(provider.TokenInvalid, detail) }

func expired(detail string) error { return provider.Refuse(provider.TokenExpired, detail) }

func fail(reason provider.Reason, detail string) provider.Verdict {
	return provider.Verdict{Outcome: provider.Fail, Reason: reason, Detail: detail}
}

// missing reports whether one of the fields is blank: the hidden inputs of
// version 3 exist from the start and have no value until the widget is solved.
func missing(fields map[string]string, names []string) bool {
	for _, name := range names {
		if strings.TrimSpace(fields[name]) == "" {
			return true
		}
	}
	return false
}

// pick copies the token's own fields.
func pick(fields map[string]string, names []string) map[string]string {
	own := make(map[string]string, len(names))
	for _, name := range names {
		own[name] = fields[name]
	}
	return own
}
