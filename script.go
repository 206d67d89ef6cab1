package captcha

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// asksForPuzzle reports whether r is a script that asks for a challenge.
func asksForPuzzle(w http.ResponseWriter, r *http.Request) bool {
	return r.Method == http.MethodPost && len(r.Header["Captcha-Request"]) > 0 &&
		strings.EqualFold(r.Header.Get("Captcha-Request"), "challenge") && noBody(w, r)
}

// noBody reports whether the request's body is empty, of known length or not.
func noBody(w http.ResponseWriter, r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return true
	}
	if r.ContentLength > 0 {
		return false
	}
	p := keepPace(w, r.Body)
	defer p.stop()
	body := peek(r.Body, 1)
	if len(body.start) == 0 {
		return body.err == io.EOF
	}
	r.Body = body
	return false
}

// answerPuzzle gives a script the challenge that it asked for.
func (h *Handler) answerPuzzle(w http.ResponseWriter, r *http.Request, now time.Time) error {
	// the active provider's, as a challenge to a request without a token is
	d := h.enforced(h.missing())
	if d.verb != verbChallenge { // nothing to solve: the request itself is let in, or not
		d = decision{verb: verbChallenge}
	}
	d.status, d.reason = http.StatusOK, ""
	a := h.newAnswer(w, r, d, now)
	body, err := a.captcha()
	if err != nil {
		a.noChallenge(err)
		return a.problem()
	}
	a.head("application/json")
	return a.send(body)
}

// redeem answers the script of our own page that has solved a challenge in
// order to get a one-time clearance.
func (h *Handler) redeem(w http.ResponseWriter, r *http.Request, now time.Time) error {
	f, c, err := h.judgeRedeem(w, r, now)
	if err != nil {
		return h.fault(w, r, err, now)
	}
	if d := h.clearOnce(w, r, f, c, h.enforced(f), now); d.verb != verbForward {
		return h.newAnswer(w, r, d, now).problem()
	}
	return done(w)
}

// sendBack answers a page of ours that carries no form and comes back without a
// token, because its widget did not work, where the request itself would be let in:
// the visitor is to send it again.
func (h *Handler) sendBack(w http.ResponseWriter, r *http.Request, f finding, c *carried, d decision, now time.Time) error {
	switch d = h.clearOnce(w, r, f, c, d, now); {
	case d.verb != verbForward:
		return h.newAnswer(w, r, d, now).write(found{})
	case !navigates(r):
		return done(w)
	}
	d.status = http.StatusOK
	return h.newAnswer(w, r, d, now).page(web.Page{Kind: web.Stop, Cleared: true}, nil)
}

// clearOnce gives a one-time clearance for what a page of ours does not carry to a
// visitor who has passed, or whom policy lets in as it would the request itself. Who
// has a clearance already needs none.
func (h *Handler) clearOnce(w http.ResponseWriter, r *http.Request, f finding, c *carried, d decision, now time.Time) decision {
	if d.verb == verbForward && f.status != statusCleared {
		if err := h.grantOnce(w, r, c, now); err != nil {
			h.trouble.Warn("no one-time clearance could be signed", zap.Error(err))
			d = tryLater
		}
	}
	if d.failover != "" && d.verb == verbForward {
		f.status, f.reason = statusFailover, d.reason
	}
	h.settle(r.Context(), f, d)
	h.observe(r, nil, f, d)
	return d
}

// done is the answer to a script that has got what it wanted.
func done(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// judgeRedeem verifies the token and opens the seal of a redemption.
func (h *Handler) judgeRedeem(w http.ResponseWriter, r *http.Request, now time.Time) (finding, *carried, error) {
	bad := refused(http.StatusBadRequest, reasonBadRequest)
	if earlyData(r) {
		return refused(http.StatusTooEarly, reasonEarlyData), nil, nil
	}
	if !sentBySameOrigin(r) {
		return bad, nil, nil
	}
	defer found{}.end(r, false, nil) // nobody else gets the body, whatever becomes of this
	fd, err := h.extract(w, r)
	if no, isBad := errors.AsType[*badRequest](err); isBad {
		return no.finding, nil, nil
	}
	if err != nil {
		return finding{}, nil, err
	}
	// a seal of another scope will do: the directive was changed while the page was
	// open, and the proof and the clearance are those of this one
	c, err := h.open(r, fd.seal, now)
	if err != nil || !c.Once || fd.none() {
		return bad, nil, nil
	}
	return h.verify(r.Context(), h.request(r, now), fd), c, nil
}

func redeems(r *http.Request) bool {
	return r.Method == http.MethodPost && len(r.Header["Captcha-Redeem"]) > 0
}
