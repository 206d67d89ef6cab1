package captcha

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/web"
)

// answer is an answer of ours in the making.
type answer struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request
	now       time.Time
	reference string
	decision
}

// newAnswer makes the answer to a request that is not forwarded. The reference
// stands in the page or problem document and in the log.
func (h *Handler) newAnswer(w http.ResponseWriter, r *http.Request, d decision, now time.Time) *answer {
	a := &answer{h: h, w: w, r: r, now: now, reference: rand.Text()[:10], decision: d}
	note(r, a)
	return a
}

// write answers with a page or a problem document, whichever the client can
// use. The returned error is a fault of ours or of the connection.
func (a *answer) write(f found) error {
	if !navigates(a.r) {
		return a.problem()
	}
	if a.verb == verbDeny {
		return a.page(web.Page{Kind: web.Stop}, nil)
	}
	c, err := a.carried(f)
	switch {
	case errors.Is(err, errSeal):
		a.decision = decision{verb: verbDeny, reason: reasonBadRequest, status: http.StatusBadRequest}
		return a.page(web.Page{Kind: web.Stop}, nil)
	case errors.Is(err, errNoRoom), errors.Is(err, errNoKeys):
		a.decision = decision{verb: verbDeny, reason: reasonTryAgain, status: http.StatusServiceUnavailable, retry: true}
		return a.page(web.Page{Kind: web.Stop}, nil)
	case err != nil:
		return a.h.fault(err)
	}
	defer c.release()
	return a.page(pageFor(a.r, c), c)
}

// pageFor says what a page may do with what it carries (DESIGN.md, promise 8).
func pageFor(r *http.Request, c *carried) web.Page {
	switch {
	case c.From == elsewhere && !https(r):
		// the clearance would need SameSite=None, which needs https
		return web.Page{Kind: web.Stop, InsecureElsewhere: true}
	case c.Once:
		return web.Page{Kind: web.Redeem, Elsewhere: c.From == elsewhere}
	case c.From == sameSite:
		return web.Page{Kind: web.Confirm, From: c.Origin}
	default:
		return web.Page{Kind: web.Submit}
	}
}

// carried returns what the page has to bring back: what an earlier page
// brought, or this request with its body, or, where the body is too large or
// must not be submitted again, only what a one-time clearance is bound to.
func (a *answer) carried(f found) (*carried, error) {
	if f.seal != "" {
		return a.h.open(a.r, f.seal, a.now)
	}
	c := a.h.carry(a.r, a.now)
	c.Once = c.From == elsewhere || a.status == http.StatusRequestEntityTooLarge
	if c.Once {
		return c, nil
	}
	var err error
	c.Once, err = a.readBody(c)
	if err != nil {
		c.release()
	}
	return c, err
}

// readBody reads the whole body into c, unless it is longer than max_replay.
func (a *answer) readBody(c *carried) (tooLong bool, err error) {
	limit := a.h.MaxReplay
	if a.r.ContentLength > limit {
		return true, nil
	}
	if a.r.Body == nil || a.r.Body == http.NoBody {
		return false, nil
	}
	room := limit
	if a.r.ContentLength >= 0 {
		room = a.r.ContentLength
	}
	memory := &a.h.app.shared.memory
	if !memory.take(room) {
		return false, errNoRoom
	}
	c.free = func() { memory.give(room) }
	p := keepPace(a.w, a.r.Body)
	defer p.stop()
	c.body, err = io.ReadAll(io.LimitReader(pacedReader{a.r.Body, p}, limit+1))
	if err != nil {
		return false, err
	}
	if int64(len(c.body)) > limit {
		c.body = nil
		return true, nil
	}
	return false, nil
}

// page writes a page. With c, the page carries it.
func (a *answer) page(p web.Page, c *carried) error {
	p.AcceptLanguage, p.Host = a.r.Header.Get("Accept-Language"), a.r.Host
	p.Title, p.Contact = a.h.title, a.h.contact
	p.Reason, p.Reference = string(a.reason), a.reference
	if c != nil && p.Kind != web.Stop {
		l, doc, err := a.document()
		if err == nil {
			p.Field, p.Challenge = l.provider.Fields()[0], doc
			p.Seal, err = a.h.seal(a.r.Context(), c)
		}
		if err != nil {
			a.h.logger.Warn("no challenge can be made", zap.Error(err), zap.String("reference", a.reference))
			a.decision = decision{verb: verbDeny, reason: reasonTryAgain, status: http.StatusServiceUnavailable, retry: true}
			p.Kind, p.Reason = web.Stop, string(a.reason)
		}
	}
	page, err := a.h.template.Render(p)
	if err != nil {
		return err
	}
	hdr := a.head("text/html; charset=utf-8")
	hdr.Set("Content-Language", page.Language)
	hdr.Set("Content-Security-Policy", page.CSP)
	hdr.Set("X-Frame-Options", "DENY")
	hdr.Set("Cross-Origin-Opener-Policy", "same-origin")
	hdr.Set("Referrer-Policy", "same-origin")
	return a.send(page.HTML)
}

// document returns the provider whose challenge the visitor gets, and its
// challenge document; nil where it has none.
func (a *answer) document() (*link, []byte, error) {
	ctx := a.r.Context()
	l, role, err := a.h.issuer(ctx, a.decision, a.now)
	if err != nil {
		return nil, nil, err
	}
	issuer, ok := l.provider.(provider.Challenger)
	if !ok {
		return l, nil, nil
	}
	req := a.h.request(a.r, a.now)
	req.Role, req.Down = role, l.standing(a.now).down
	doc, err := issuer.Challenge(ctx, req)
	return l, doc, err
}

// staleHeaders are response headers that handlers before us may have set for a
// page that is not sent.
var staleHeaders = []string{
	"Content-Encoding", "Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Expires",
	"Content-Security-Policy-Report-Only", "Content-Disposition",
}

// head sets the headers that all answers of ours have.
func (a *answer) head(contentType string) http.Header {
	hdr := a.w.Header()
	for _, name := range staleHeaders {
		hdr.Del(name)
	}
	hdr.Set("Content-Type", contentType)
	hdr.Set("Cache-Control", "no-store")
	hdr.Set("X-Content-Type-Options", "nosniff")
	if a.verb == verbChallenge {
		hdr.Set("Captcha-Required", a.issuerName())
	}
	if a.retry {
		hdr.Set("Retry-After", retryAfter)
	}
	a.h.allowOrigin(hdr, a.r)
	return hdr
}

// issuerName names the provider whose challenge the visitor gets.
func (a *answer) issuerName() string {
	if l := a.h.nextFallback(a.now); a.fallback && l != nil {
		return l.name
	}
	return a.h.chain[0].name
}

// retryAfter is how many seconds a client should wait that is refused for a
// lack of room.
const retryAfter = "10"

// send lets the client finish sending, and answers.
func (a *answer) send(body []byte) error {
	drain(a.w, a.r)
	a.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	a.w.WriteHeader(a.status)
	_, err := a.w.Write(body)
	if err != nil { // the client went away; the status is sent
		a.h.logger.Debug("writing an answer failed", zap.Error(err))
	}
	return nil
}

// asksForPuzzle reports whether r is a script that asks for a challenge.
func asksForPuzzle(r *http.Request) bool {
	return r.Method == http.MethodPost && len(r.Header["Captcha-Request"]) > 0 &&
		strings.EqualFold(r.Header.Get("Captcha-Request"), "challenge") && noBody(r)
}

// noBody reports whether the request's body is empty, of known length or not.
func noBody(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return true
	}
	if r.ContentLength > 0 {
		return false
	}
	one := make([]byte, 1)
	n, err := io.ReadFull(r.Body, one)
	if err != nil {
		return err == io.EOF
	}
	r.Body = &heldBody{rest: r.Body, budgets: new(budgets), mem: one, inMem: int64(n)}
	return false
}

// answerPuzzle gives a script the challenge that it asked for.
func (h *Handler) answerPuzzle(w http.ResponseWriter, r *http.Request, now time.Time) error {
	// the active provider's, as a challenge to a request without a token is
	d := decide(modeEnforce, h.missing(), h.policy, h.chain[0].standing(now), h.nextFallback(now) != nil, now)
	if d.verb != verbChallenge { // nothing to solve: the request itself is let in, or not
		d = decision{verb: verbChallenge}
	}
	d.status, d.reason = http.StatusOK, ""
	a := h.newAnswer(w, r, d, now)
	body, err := a.captcha()
	if err != nil {
		a.decision = decision{verb: verbDeny, reason: reasonTryAgain, status: http.StatusServiceUnavailable, retry: true}
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
		return err
	}
	if f.status == statusPassed {
		if err := h.grantOnce(w, r, c, now); err == nil {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		f = refused(http.StatusServiceUnavailable, reasonTryAgain)
	}
	d := decide(modeEnforce, f, h.policy, h.chain[0].standing(now), h.nextFallback(now) != nil, now)
	return h.newAnswer(w, r, d, now).problem()
}

// judgeRedeem verifies the token and opens the seal of a redemption.
func (h *Handler) judgeRedeem(w http.ResponseWriter, r *http.Request, now time.Time) (finding, *carried, error) {
	bad := refused(http.StatusBadRequest, reasonBadRequest)
	if !sentBySameOrigin(r) || earlyData(r) {
		return bad, nil, nil
	}
	fd, err := h.extract(w, r)
	defer fd.release()
	var no *badRequest
	if errors.As(err, &no) {
		return no.finding, nil, nil
	}
	if err != nil {
		return finding{}, nil, err
	}
	c, err := h.open(r, fd.seal, now)
	if err != nil || !c.Once || fd.none() {
		return bad, nil, nil
	}
	return h.verify(r.Context(), h.request(r, now), fd), c, nil
}

func redeems(r *http.Request) bool {
	return r.Method == http.MethodPost && len(r.Header["Captcha-Redeem"]) > 0
}
