package captcha

import (
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// publish tells the log, through placeholders, what was found and decided.
func (h *Handler) publish(r *http.Request, f finding, d decision) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Set("http.captcha.status", string(f.status))
	repl.Set("http.captcha.provider", h.name)
	repl.Set("http.captcha.score", score(f))
	repl.Set("http.captcha.reason", string(f.reason))
	repl.Set("http.captcha.decision", string(d.verb))
}

// note puts the reference of an answer into the access log, where somebody who
// is given it by a visitor will look.
func note(r *http.Request, a *answer) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("captcha_reference", a.reference))
		extra.Set(zap.String("captcha_reason", string(a.reason)))
	}
	if c := a.h.logger.Check(zap.DebugLevel, "request not forwarded"); c != nil {
		c.Write(
			zap.String("reference", a.reference),
			zap.String("decision", string(a.verb)),
			zap.String("reason", string(a.reason)),
			zap.Int("status", a.status),
			zap.String("host", r.Host),
			zap.String("path", original(r).URL.Path),
		)
	}
}

// score is the text of a score; empty where there is none.
func score(f finding) string {
	if f.score == nil {
		return ""
	}
	return strconv.FormatFloat(*f.score, 'g', -1, 64)
}

// setHeader sets one of our request headers; an empty value says nothing, and
// is left out.
func setHeader(r *http.Request, name, value string) {
	if value != "" {
		r.Header[name] = []string{value}
	}
}
