package captcha

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// observe tells the metrics, and through placeholders the log, what was found and
// decided.
func (h *Handler) observe(r *http.Request, o *outcome, f finding, d decision) *outcome {
	by := h.judgedBy(f)
	h.app.reporter.metrics.decided(d, by)
	if d.failover != "" {
		h.reportFailover(r, d)
	}
	first := o == nil
	if first {
		o = new(outcome)
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		o.tell(repl, first, story{f.status, f.reason, f.score, by.name, d.verb})
	}
	return o
}

// judgedBy is the provider that judged the token; where none did, the one whose
// token is asked for.
func (h *Handler) judgedBy(f finding) *link {
	if f.by != nil {
		return f.by
	}
	return h.chain[0]
}

// reportFailover counts a request that policy decided, and logs it: under load a
// sample. The moment at which an outage has lasted for too long is logged once.
func (h *Handler) reportFailover(r *http.Request, d decision) {
	l := h.chain[0]
	if l.health != nil && d.failover == unreachable {
		l.health.failedOver()
		now := time.Now()
		at := l.standing(now)
		if h.policy.overdue(at, now) && h.overdue.Swap(at.start.UnixNano()) != at.start.UnixNano() {
			h.logger.Warn("the outage lasts for longer than failover allows its first action; the second one holds now",
				zap.String("provider", l.name), zap.Duration("for", h.policy.until), zap.String("action", string(h.policy.then)))
		}
	}
	if c := h.failovers.Check(zap.InfoLevel, "failover"); c != nil {
		c.Write(
			zap.String("provider", l.name),
			zap.String("situation", string(d.failover)),
			zap.String("action", string(d.action)),
			zap.String("host", r.Host),
		)
	}
}

// reportUnknown logs a code that a provider's protocol does not have: a sample,
// as clients may bring it about. What a provider wrote goes into the
// log without the token, and bounded.
func (h *Handler) reportUnknown(l *link, code string, token provider.Token) {
	c := h.strange.Check(zap.WarnLevel, "the provider refused a token with a code that is unknown here; has its protocol changed?")
	if c == nil {
		return
	}
	c.Write(zap.String("provider", l.name), zap.String("code", outbound.Visible(code, slices.Collect(maps.Values(token.Fields))...)))
}

// note puts the reference of an answer into the access log, where somebody who
// is given it by a visitor will look.
func note(r *http.Request, a *answer) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("captcha_reference", a.reference))
		extra.Set(zap.String("captcha_reason", string(a.reason)))
	}
	if c := a.h.logger.Check(zap.DebugLevel, "request not forwarded"); c != nil {
		_, u := original(r)
		c.Write(
			zap.String("reference", a.reference),
			zap.String("decision", string(a.verb)),
			zap.String("reason", string(a.reason)),
			zap.Int("status", a.status),
			zap.String("host", r.Host),
			zap.String("path", u.Path),
		)
	}
}

// score is the text of a score; empty where there is none.
func score(s *float64) string {
	if s == nil {
		return ""
	}
	return strconv.FormatFloat(*s, 'g', -1, 64)
}

// setHeaders sets our request headers; an empty value says nothing, and takes
// away what mode signal may have said.
func setHeaders(r *http.Request, values ...string) {
	for i, name := range toldHeaders {
		if values[i] == "" {
			delete(r.Header, name)
			continue
		}
		r.Header[name] = values[i : i+1 : i+1]
	}
}

// toldHeaders are the headers that the app is told by, in setHeaders' order.
var toldHeaders = [...]string{headerStatus, headerProvider, headerScore, headerReason}

// MarshalLogObject keeps the provider's configuration, which may hold secrets,
// out of the log.
func (h *Handler) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("mode", string(h.Mode))
	for i, l := range h.chain {
		enc.AddString("provider_"+strconv.Itoa(i), l.name)
	}
	return nil
}

// MarshalLogObject does the same for the other handler that has a provider.
func (i *Issuer) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	if i.link != nil {
		enc.AddString("provider", i.link.name)
	}
	return nil
}

var (
	_ zapcore.ObjectMarshaler = (*Handler)(nil)
	_ zapcore.ObjectMarshaler = (*Issuer)(nil)
)
