package captcha

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/web"
)

// reservedHeaders cannot carry a token: browsers, proxies or we ourselves send them
// with another meaning, or net/http takes them away.
var reservedHeaders = []string{
	"Captcha-Request", "Captcha-Redeem", "Captcha-Required", "Cookie", "Authorization", "Host", "Origin", "Referer", "User-Agent",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type",
	"Connection", "Date", "Dnt", "Early-Data", "Expect", "Forwarded", "Keep-Alive", "Pragma", "Priority", "Proxy-Authorization",
	"Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "Via", "X-Requested-With",
}

// reservedPrefixes begin more such names.
var reservedPrefixes = []string{"Access-Control-", "If-", "Sec-", "X-Forwarded-"}

// reserved reports whether a header, in its canonical form, cannot carry a token.
func reserved(name string) bool {
	return forged(name) || slices.Contains(overrideHeaders, name) || slices.Contains(reservedHeaders, name) ||
		slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

var (
	validToken = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	// validOrigin is an origin as browsers write it: in lower case, a host in Unicode in
	// its ASCII form. Apps in a web view have schemes of their own.
	validOrigin = regexp.MustCompile(`^([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	validScope  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// Validate checks the final values.
func (h *Handler) Validate() error {
	if primary := h.chain[0]; len(h.tokenFields) > 0 && len(primary.fields) != 1 {
		return fmt.Errorf("token_field: a token of %s has %d fields; this works with one-field providers only, leave it out",
			primary.name, len(primary.fields))
	}
	return errors.Join(h.validateOptions(), h.validateBuffers(), h.validateOutage(), h.app.validateChecks())
}

func errNeverDown(option string, l *link) error {
	return fmt.Errorf("%s: %s can never be down; leave it out, or write a provider that can", option, l.name)
}

// validateOutage refuses what is said of outages of a provider that has none.
func (h *Handler) validateOutage() error {
	primary := h.chain[0]
	switch {
	case primary.health != nil:
	case h.BypassCheck != nil:
		return errNeverDown("bypass_check", primary)
	case h.Failover != nil && primary.shown() == nil: // whose widget nobody can block either
		return errNeverDown("failover", primary)
	}
	return nil
}

// validateOptions checks each option by itself.
func (h *Handler) validateOptions() error {
	if h.Mode != modeEnforce && h.Mode != modeSignal {
		return fmt.Errorf("mode must be enforce or signal, got %q", h.Mode)
	}
	if h.VerifyTimeout < 0 || time.Duration(h.VerifyTimeout) > time.Minute {
		return fmt.Errorf("verify_timeout must be at most 1m, got %s", time.Duration(h.VerifyTimeout))
	}
	if h.MaxBuffer < minMaxBuffer {
		return fmt.Errorf("max_buffer must be at least 1KiB, got %d bytes", h.MaxBuffer)
	}
	if h.MaxReplay < 0 || h.MaxReplay > maxMaxReplay {
		return fmt.Errorf("max_replay must be between 0 and 64MiB, got %d bytes", h.MaxReplay)
	}
	return errors.Join(h.validateMethods(), h.validateToken(), h.BypassCheck.validate(), h.validateClearance(), h.validateOrigins(), h.validateChallenge())
}

// validateBuffers checks two options that limit each other.
func (h *Handler) validateBuffers() error {
	if h.MaxBody < h.MaxBuffer {
		return fmt.Errorf("max_body (%d bytes) must not be smaller than max_buffer (%d bytes)", h.MaxBody, h.MaxBuffer)
	}
	return nil
}

func (h *Handler) validateMethods() error {
	for _, m := range h.Methods {
		if slices.ContainsFunc(safeMethods, func(s string) bool { return strings.EqualFold(s, m) }) {
			return fmt.Errorf("methods: %s is a safe method and is never protected; leave it out", m)
		}
		if !validToken.MatchString(m) {
			return fmt.Errorf("methods: %q is not a method", m)
		}
	}
	return nil
}

// validateToken checks where a token may be.
func (h *Handler) validateToken() error {
	switch {
	case !validToken.MatchString(h.tokenHeader):
		return fmt.Errorf("token_header: %q is not the name of a header", h.tokenHeader)
	case strings.ContainsAny(h.tokenHeader, "_."):
		return fmt.Errorf("token_header: Caddy drops headers whose names have _ or . in them, such as %s; write -", h.tokenHeader)
	case reserved(h.tokenHeader):
		return fmt.Errorf("token_header: %s has another meaning; write another name", h.tokenHeader)
	case slices.Contains(h.tokenFields, ""):
		return errors.New("token_field needs the name of a form field, and one is empty")
	case slices.Contains(h.tokenFields, sealField) || slices.Contains(h.tokenFields, blockedField):
		return fmt.Errorf("token_field: %s and %s are the challenge page's own fields; write another name", sealField, blockedField)
	}
	return nil
}

func (h *Handler) validateClearance() error {
	c := h.Clearance
	switch d := time.Duration(c.Duration); {
	case d != 0 && d < time.Second:
		return fmt.Errorf("clearance: the duration must be at least 1s, got %s", d)
	case d > keyring.MaxLifetime:
		return fmt.Errorf("clearance: the duration must be at most 30d, got %s", d)
	case c.Uses < 0:
		return fmt.Errorf("clearance: uses must not be negative, got %d", c.Uses)
	case c.Uses > 0 && d == 0:
		return errors.New("clearance: uses needs a duration; write clearance 1h")
	case c.Bind != bindIP && c.Bind != bindNone:
		return fmt.Errorf("clearance: bind must be ip or none, got %q", c.Bind)
	case !validScope.MatchString(h.scope):
		return fmt.Errorf("clearance: scope must be 1 to 64 letters, digits, - and _, got %q", h.scope)
	case !validToken.MatchString(h.cookie) || withoutSecurePrefix(h.cookie) == "":
		return fmt.Errorf("clearance: cookie %q is not the beginning of a cookie's name", h.cookie)
	}
	return nil
}

func (h *Handler) validateOrigins() error {
	for _, o := range h.origins {
		parts := validOrigin.FindStringSubmatch(o)
		if parts == nil {
			return fmt.Errorf("cors: %q is not an origin; write https://app.example.com, without a path", o)
		}
		if scheme, port := parts[1], parts[3]; scheme == "https" && port == ":443" || scheme == "http" && port == ":80" {
			return fmt.Errorf("cors: a browser leaves the default port out; write %s://%s", scheme, parts[2])
		}
	}
	return nil
}

func (h *Handler) validateChallenge() error {
	if h.contact == "" {
		return nil
	}
	if err := web.ValidateContact(h.contact); err != nil {
		return fmt.Errorf("challenge: contact: %w", err)
	}
	return nil
}
