package captcha

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// judge finds out about a protected request what there is to know.
func (h *Handler) judge(w http.ResponseWriter, r *http.Request, o *outcome, now time.Time) (finding, found, error) {
	if earlyData(r) {
		return refused(http.StatusTooEarly, reasonEarlyData), found{}, nil
	}
	if o.hasCleared(h.scope) || h.cleared(r, now) {
		return h.judgeCleared(w, r, now)
	}
	if o.hasAsked(h.chain[0]) { // mode signal has asked the same provider
		return h.judgePage(r, o.judged.found, h.adopt(r.Context(), o.judged), now)
	}
	fd, err := h.extract(w, r)
	no, isBad := errors.AsType[*badRequest](err)
	switch {
	case isBad:
		h.logger.Debug("request refused", zap.String("reason", string(no.reason)), zap.String("detail", no.detail))
		return no.finding, fd, nil
	case err != nil && h.Mode == modeSignal: // whoever reads the body meets the same error
		return failed(reasonBadRequest), fd, nil
	case err != nil:
		return finding{}, fd, err
	}
	f, fd, err := h.judgePage(r, fd, finding{}, now)
	if f.status != "" || err != nil {
		return f, fd, err
	}
	h.app.fresh(r.Context(), h.chain[0], time.Duration(h.VerifyTimeout))
	switch f = h.missing(); {
	case !fd.none():
		f = h.verify(r.Context(), h.request(r, now), fd)
	case fd.page != nil && f.situation == "":
		f = h.unsolved(r.Context(), fd.blocked)
	}
	if f.status != statusPassed && f.situation == "" {
		// whatever is wrong with the token, the provider's standing comes first
		f.situation = h.chain[0].standing(time.Now()).situation()
	}
	return f, fd, nil
}

// adopt takes over what mode signal has found. It has its own policy: a fallback's
// proof that it was content with must count here, too, and a test token does not.
func (h *Handler) adopt(ctx context.Context, j *judged) finding {
	f := j.finding
	now := time.Now()
	at := h.chain[0].standing(now)
	switch {
	case j.testKeys && !h.AllowTestKeys && f.status == statusPassed:
		h.trouble.Warn("a captcha in mode signal accepts test keys and this one behind it does not: write allow_test_keys in both, or in none")
	case f.proof == nil:
		return f
	case h.hasFallback(f.by) && h.entitled(ctx, *f.proof, at, now):
		return f
	}
	f = failed(provider.TokenInvalid)
	f.situation = at.situation()
	return f
}

// hasFallback reports whether one of the chain's fallbacks is the same as l.
func (h *Handler) hasFallback(l *link) bool {
	return slices.ContainsFunc(h.chain[1:], func(f *link) bool { return f.identity == l.identity })
}

// unsolved is the finding on a page of ours that comes back without a token: its
// widget could not be loaded, or did not work. That is a client's word and moves
// nothing, but it is a reason to ask the provider, who else might never be asked
// in an outage in which nobody can get a token.
func (h *Handler) unsolved(ctx context.Context, blocked bool) finding {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	h.chain[0].doubt(ctx)
	f := h.missing()
	if f.situation == "" && blocked {
		f = in(widgetBlocked)
	}
	return f
}

// judgeCleared judges a request that needs no token. A form post may still be
// that of a challenge page: a visitor may get a clearance in one tab while a
// page is open in another, and its form must not reach the app sealed.
func (h *Handler) judgeCleared(w http.ResponseWriter, r *http.Request, now time.Time) (finding, found, error) {
	f := finding{status: statusCleared}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), formContentType) || !navigates(r) || !sentBySameOrigin(r) || !h.beginsAsPage(r) {
		return f, found{}, nil
	}
	fd, err := h.extract(w, r)
	if _, isBad := errors.AsType[*badRequest](err); isBad { // what is ambiguous about a token is of no concern here
		return f, found{body: fd.body}, nil
	}
	if err != nil && h.Mode == modeSignal {
		return f, fd, nil // whoever reads the body meets the same error
	}
	if err != nil {
		return f, fd, err
	}
	return h.judgePage(r, fd, f, now)
}

// beginsAsPage reports whether the body begins as that of a page of ours: with a
// token's field. It is left in r to be read again.
func (h *Handler) beginsAsPage(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	p := peek(r.Body, maxFieldName)
	r.Body = p
	return slices.ContainsFunc(h.pageStarts, p.hasPrefix)
}

// maxFieldName is longer than the name of any provider's first field.
const maxFieldName = 64

const formContentType = "application/x-www-form-urlencoded"

// judgePage opens what a challenge page of ours has carried, where the request is
// such a page's. Otherwise, or where that may be forwarded, the finding stays f.
func (h *Handler) judgePage(r *http.Request, fd found, f finding, now time.Time) (finding, found, error) {
	switch {
	case fd.seal == "":
		return f, fd, nil
	case h.Mode == modeSignal:
		fd.page = h.leftOver(r, fd.seal, now)
		return f, fd, nil
	}
	bad := refused(http.StatusBadRequest, reasonBadRequest)
	if !sentBySameOrigin(r) { // promise 8: a seal opens only from our own page
		return bad, found{body: fd.body}, nil
	}
	c, err := h.open(r, fd.seal, now)
	switch {
	case errors.Is(err, errNoKeys):
		h.trouble.Warn("a challenge page's form cannot be opened; the visitor is asked to try again", zap.Error(err))
		return refused(http.StatusServiceUnavailable, reasonTryAgain), found{body: fd.body}, nil
	case err != nil || !c.returns() && !fd.none() && !fd.blocked:
		return bad, found{body: fd.body}, nil //nolint:nilerr // the finding says it
	}
	fd.page = c
	if c.Scope != h.scope { // the directive was changed while the page was open
		return failed(reasonTryAgain), fd, nil
	}
	return f, fd, nil
}

// leftOver opens, in mode signal, a page of a directive that enforced when it was
// made and does no more: nobody else would open it, and its form would reach the app
// sealed. It is nil for everything else, which goes on as it came.
func (h *Handler) leftOver(r *http.Request, seal string, now time.Time) *carried {
	if !sentBySameOrigin(r) {
		return nil
	}
	c, err := h.open(r, seal, now)
	if err != nil || !c.returns() || h.app.enforces(c.Scope) {
		return nil
	}
	return c
}

// missing is the finding on a request without a token.
func (h *Handler) missing() finding {
	return finding{
		status: statusMissing, reason: reasonTokenMissing,
		situation: h.chain[0].standing(time.Now()).situation(),
	}
}

// decide decides with the handler's policy and the primary's standing now.
func (h *Handler) decide(f finding) decision { return h.decideAs(h.Mode, f) }

// enforced is the same in mode enforce, whatever the mode: what a script of ours asks
// for is answered in signal, too.
func (h *Handler) enforced(f finding) decision { return h.decideAs(modeEnforce, f) }

func (h *Handler) decideAs(m mode, f finding) decision {
	if f.situation == "" { // policy has no say
		return decide(m, f, h.policy, standing{}, false, time.Time{})
	}
	now := time.Now()
	return decide(m, f, h.policy, h.chain[0].standing(now), h.nextFallback(now) != nil, now)
}
