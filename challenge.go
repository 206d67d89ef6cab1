package captcha

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
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

// tryLater is the decision where the edge itself cannot do what it should.
var tryLater = decision{verb: verbDeny, reason: reasonTryAgain, status: http.StatusServiceUnavailable, retry: true}

// write answers with a page or a problem document, whichever the client can use.
// It returns no error: error routes must not see a request that is not decided.
func (a *answer) write(f found) error {
	if !navigates(a.r) {
		return a.problem()
	}
	if a.verb == verbDeny {
		return a.page(web.Page{Kind: web.Stop}, nil)
	}
	c, err := a.carried(f)
	if err != nil {
		a.h.logger.Debug("a request cannot be carried", zap.Error(err), zap.String("reference", a.reference))
		a.decision = decision{verb: verbDeny, reason: reasonBadRequest, status: http.StatusBadRequest}
		switch {
		case errors.Is(err, errNoRoom):
			a.decision = tryLater
		case tooSlow(err):
			a.status = http.StatusRequestTimeout
		}
		return a.page(web.Page{Kind: web.Stop}, nil)
	}
	defer c.release()
	return a.page(pageFor(a.r, c), c)
}

// pageFor says what a page may do with what it carries (docs/threat-model.md, promise 8).
func pageFor(r *http.Request, c *carried) web.Page {
	switch {
	case c.anotherSite() && !https(r):
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
	if f.page != nil { // where it came from travels through every later page
		f.page.Scope, f.page.Expires = a.h.scope, a.now.Add(sealTTL).Unix()
		return f.page, nil
	}
	c := a.h.carry(a.r, a.now)
	c.Once = c.From == elsewhere || a.status == http.StatusRequestEntityTooLarge
	if c.Once {
		return c, nil
	}
	read := false
	defer func() {
		if !read || c.Once { // also where reading has panicked
			c.release()
		}
	}()
	var err error
	c.Once, err = a.readBody(c)
	read = err == nil
	return c, err
}

var errTooSlow = errors.New("the body comes too slowly")

// tooSlow reports whether reading a body has ended because it came too slowly: for us,
// or for the server, which may have timeouts of its own.
func tooSlow(err error) bool {
	return errors.Is(err, errTooSlow) || errors.Is(err, os.ErrDeadlineExceeded)
}

// sealCost is how often a carried body is in memory while its page is made: the
// body, its seal, the seal's text, and the page.
const sealCost = 4

// readBody reads the whole body into c, unless it is longer than max_replay. Its
// room is taken as it comes.
func (a *answer) readBody(c *carried) (tooLong bool, err error) {
	limit := a.h.MaxReplay
	if a.r.ContentLength > limit {
		return true, nil
	}
	if a.r.Body == nil || a.r.Body == http.NoBody {
		return false, nil
	}
	memory, by := &a.h.app.shared.memory, shareOf(clientIP(a.r))
	var taken int64
	c.free = func() { memory.give(taken, by) }
	p := keepPace(a.w, a.r.Body)
	defer p.stop()
	body := pacedReader{a.r.Body, p}
	a.r.Body = &peeked{rest: a.r.Body} // the client is sending from now on
	first := int64(4 << 10)
	if n := a.r.ContentLength; 0 <= n && n < first {
		first = n + 1 // which shows its end
	}
	for {
		if len(c.body) == cap(c.body) {
			size := min(max(first, 4*int64(cap(c.body))), limit+1)
			more := sealCost * (size - int64(cap(c.body)))
			if !memory.take(more, taken, by) {
				return false, errNoRoom
			}
			taken += more
			c.body = append(make([]byte, 0, size), c.body...)
		}
		n, err := body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case int64(len(c.body)) > limit:
			c.body = nil
			return true, nil
		case err == io.EOF:
			return false, nil
		case err != nil && p.tooSlow():
			return false, errTooSlow
		case err != nil:
			return false, err
		}
	}
}

// page writes a page. With c, the page carries it.
func (a *answer) page(p web.Page, c *carried) error {
	p.AcceptLanguage, p.Host = a.r.Header.Get("Accept-Language"), a.r.Host
	p.Title, p.Contact = a.h.title, a.h.contact
	p.Reason, p.Reference = string(a.reason), a.reference
	if c != nil && p.Kind != web.Stop {
		if err := a.fill(&p, c); err != nil {
			a.noChallenge(err)
			p.Kind = web.Stop
		}
		p.Reason = string(a.reason)
	}
	room := pageRooms.Get().(*[]byte)
	defer pageRooms.Put(room)
	page, err := a.h.template.RenderInto(*room, p)
	if err != nil {
		a.h.trouble.Error("the challenge page cannot be rendered", zap.Error(err), zap.String("reference", a.reference))
		a.decision = tryLater
		return a.problem()
	}
	if p.Kind == web.Stop {
		a.verb = verbDeny // there is nothing to solve
	}
	notInjected(a.w)
	a.w = belowHeaders(a.w)
	hdr := a.head("text/html; charset=utf-8")
	hdr.Set("Content-Language", page.Language)
	hdr.Set("Content-Security-Policy", page.CSP)
	hdr.Set("X-Frame-Options", "DENY")
	hdr.Set("Cross-Origin-Opener-Policy", "same-origin")
	hdr.Set("Referrer-Policy", "same-origin")
	return a.send(page.HTML)
}

// pageRooms are used again. A page without much to carry fits in.
var pageRooms = bufferPool(32 << 10)

// fill puts the challenge into a page, and what the page carries.
func (a *answer) fill(p *web.Page, c *carried) error {
	l, doc, err := a.document()
	if err != nil {
		return err
	}
	p.Field, p.Challenge, p.Fields, p.Widget = l.fields[0], doc, l.fields, l.shown()
	if doc == nil && p.Widget == nil {
		return errors.New("the provider has neither a challenge document nor a widget")
	}
	p.BlockedFallback = a.h.policy.actions[widgetBlocked] == fallback && !a.fallback && a.h.nextFallback(a.now) != nil
	p.Seal, err = a.h.seal(a.r.Context(), c)
	return err
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
	doc, err := l.issue(ctx, issuer, req)
	if err == nil || a.fallback {
		return l, doc, err
	}
	// it could not be asked for a challenge: the probe tells whether it is down
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	s := l.doubt(ctx).situation()
	if s == "" {
		return nil, nil, err
	}
	d := a.h.enforced(in(s))
	switch d.verb {
	case verbForward: // this request is not; the next ones are
		d = tryLater
	case verbChallenge: // for what it was for
		d.status, d.reason = a.status, a.reason
	}
	a.decision = d
	if !d.fallback {
		return nil, nil, err
	}
	return a.document()
}

// noChallenge makes the answer one that a client may try again later, unless policy
// has denied the request meanwhile.
func (a *answer) noChallenge(err error) {
	a.h.trouble.Warn("no challenge can be made", zap.Error(err), zap.String("reference", a.reference))
	if a.verb != verbDeny || a.status == http.StatusUnsupportedMediaType {
		a.decision = tryLater
	}
}

const (
	// issueTime is how long a provider may take to issue a challenge.
	issueTime = 2 * time.Second
	// confirmTime is how long a visitor who can get no challenge waits for the
	// probe's word.
	confirmTime = 5 * time.Second
)

// issue asks a provider for its challenge document.
func (l *link) issue(ctx context.Context, issuer provider.Challenger, req provider.Request) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, issueTime)
	defer cancel()
	by, err := l.enter(ctx, req.ClientIP)
	if err != nil {
		return nil, err
	}
	defer l.leave(by)
	return issuer.Challenge(ctx, req)
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
	if a.solvable() {
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
	_, err := a.w.Write(body) //nolint:gosec // html/template or encoding/json made it
	if err != nil {
		// the client went away; the status is sent
		a.h.logger.Debug("writing an answer failed", zap.Error(err))
	}
	return nil
}
