package captcha

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
)

// checkWritten checks the options that have been read so far, so that an error
// names the line. A text with placeholders is known only when the config is loaded,
// and is checked there.
func (h *Handler) checkWritten() error {
	_, err := h.Failover.resolve()
	return errors.Join(h.asWritten().validateOptions(), err)
}

// asWritten returns a handler with the options of h, their defaults, and the
// default of each text that holds placeholders. It can be validated, no more.
func (h *Handler) asWritten() *Handler {
	c := &Handler{
		Mode: h.Mode, VerifyTimeout: h.VerifyTimeout, BypassCheck: h.BypassCheck, Methods: h.Methods, TokenHeader: h.TokenHeader,
		MaxBuffer: h.MaxBuffer, MaxBody: h.MaxBody, MaxReplay: h.MaxReplay,
	}
	if h.Clearance != nil {
		c.Clearance = new(Clearance)
		*c.Clearance = *h.Clearance
	}
	if h.Challenge != nil {
		c.Challenge = new(Challenge)
		*c.Challenge = *h.Challenge
	}
	c.setDefaults()
	c.tokenHeader = http.CanonicalHeaderKey(literal(c.TokenHeader, defaultTokenHeader))
	c.scope = literal(cmp.Or(c.Clearance.Scope, "default"), "default")
	c.cookie = literal(c.Clearance.Cookie, defaultCookie)
	c.contact = literal(c.Challenge.Contact, "")
	c.tokenFields, c.origins = literals(h.TokenField), literals(h.CORS)
	return c
}

// literal returns the text, or what stands for one that holds placeholders.
func literal(text, otherwise string) string {
	if placeholders(text) {
		return otherwise
	}
	return text
}

// literals returns the texts without placeholders.
func literals(texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), placeholders)
}
