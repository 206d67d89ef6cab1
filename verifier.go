package captcha

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// The reasons beside those of the provider contract.
const (
	reasonTokenMissing     = provider.TokenMissing
	reasonBadRequest       = provider.Reason("bad-request")
	reasonTooLarge         = provider.Reason("body-too-large")
	reasonEncoding         = provider.Reason("unsupported-encoding")
	reasonEarlyData        = provider.Reason("early-data")
	reasonTryAgain         = provider.Reason("try-again")
	reasonUnreachable      = provider.Reason("provider-unreachable")
	reasonClientReported   = provider.Reason("client-reported-outage")
	reasonProviderFailover = provider.Reason("provider-failover")
	reasonThrottled        = provider.Reason("throttled")
	reasonMisconfigured    = provider.Reason("misconfigured")
)

// status is the word for a finding that the app and the log are told.
type status string

const (
	statusPassed   status = "passed"
	statusCleared  status = "cleared"
	statusFailover status = "failover"
	statusFailed   status = "failed"
	statusMissing  status = "missing"
)

// finding is what was found out about one request.
type finding struct {
	status    status
	reason    provider.Reason
	refused   int       // HTTP status where the request itself is refused
	situation situation // where policy decides
	by        *link     // who judged the token; nil where nobody did
	score     *float64
	word      *provider.Token // claimed on the client's word alone: see settle
	proof     *provider.Token // of a fallback that passed: see adopt
}

func failed(reason provider.Reason) finding {
	return finding{status: statusFailed, reason: reason}
}

func refused(code int, reason provider.Reason) finding {
	return finding{status: statusFailed, reason: reason, refused: code}
}

// in is a finding that leaves the word to policy.
func in(s situation) finding {
	return finding{status: statusFailed, reason: policyTable[s].reason, situation: s}
}

// claimSlack is how long a claim outlives the token, for clocks that differ.
const claimSlack = time.Minute

// verify judges the token of a request, within verify_timeout. A client that goes
// away takes neither the claim nor the answer with it.
func (h *Handler) verify(client context.Context, req provider.Request, fd found) finding {
	now := time.Now()
	ctx := withDeadline(client, now.Add(time.Duration(h.VerifyTimeout)))
	defer ctx.end()
	primary := h.chain[0]
	at := primary.standing(now)
	req.Down = at.down
	l, token, f := h.parse(ctx, req, fd)
	if l == nil {
		return f
	}
	if l != primary {
		if !h.entitled(ctx, token, at, now) {
			return failed(provider.TokenInvalid)
		}
		req.Down = false
		if f = h.spend(ctx, l, req, token); f.status == statusPassed {
			proof := token
			f.proof = &proof
		}
		return f
	}
	if token.Role != "" { // a fallback's proof is never a primary's
		return failed(provider.TokenInvalid)
	}
	if s := at.situation(); s != "" {
		return in(s) // nobody is asked, and the token is not spent
	}
	return h.spend(ctx, l, req, token)
}

// parse finds out whose token the request carries. Where several providers of the
// chain could have made it, one that signed its challenge is certain.
func (h *Handler) parse(ctx context.Context, req provider.Request, fd found) (*link, provider.Token, finding) {
	var (
		by    *link
		token provider.Token
		no    = finding{status: statusMissing, reason: reasonTokenMissing}
	)
	for _, l := range h.chain {
		fields := fd.token(l)
		if fields == nil {
			continue
		}
		t, f := h.parseOne(ctx, l, req, fields)
		switch {
		case f.reason == "" && (by == nil || !t.Issued.IsZero() && token.Issued.IsZero()):
			by, token = l, t
		case f.reason != "" && no.status == statusMissing:
			no = f
		}
	}
	return by, token, no
}

// parseOne parses one provider's token. The finding is empty where that worked.
func (h *Handler) parseOne(ctx context.Context, l *link, req provider.Request, fields map[string]string) (provider.Token, finding) {
	var room [maxUsualToken]byte
	text := appendToken(room[:0], l, req, fields)
	if reason := h.app.shared.refusals.get(text); reason != "" {
		return provider.Token{}, finding{status: statusFailed, reason: reason, by: l}
	}
	token, err := l.provider.Parse(ctx, req, fields)
	if err == nil {
		return token, finding{}
	}
	no, isRefusal := errors.AsType[*provider.Refusal](err)
	switch {
	case isRefusal && no.Reason == provider.TokenMissing:
		return provider.Token{}, finding{status: statusMissing, reason: no.Reason}
	case isRefusal:
		h.logger.Debug("token refused", zap.String("provider", l.name), zap.String("reason", string(no.Reason)), zap.String("detail", no.Detail))
		h.app.shared.refusals.add(text, no.Reason)
		return provider.Token{}, finding{status: statusFailed, reason: no.Reason, by: l}
	}
	h.trouble.Warn("a token could not be read; the visitor is asked to try again", zap.String("provider", l.name), zap.Error(err))
	return provider.Token{}, failed(reasonTryAgain)
}

// spend claims a token, exactly once, and asks its provider. An answer that was
// lost is asked for once more where that is safe.
func (h *Handler) spend(ctx context.Context, l *link, req provider.Request, token provider.Token) finding {
	claimed, since, err := h.app.store.spend(ctx, token.Key, token.Expires.Add(claimSlack))
	switch {
	case errors.Is(err, errStoreAway):
		return refused(http.StatusServiceUnavailable, reasonTryAgain)
	case err != nil:
		h.storeTrouble("claiming a token failed; the visitor is asked to try again", err)
		return failed(reasonTryAgain)
	case !claimed:
		return finding{status: statusFailed, reason: provider.TokenDuplicate, by: l}
	case forgotten(token.Issued, since):
		return finding{status: statusFailed, reason: provider.TokenExpired, by: l}
	}
	verdict, err := h.ask(ctx, l, req, token)
	if again, s := h.noVerdict(ctx, l, err); s != "" {
		h.release(ctx, token)
		if l != h.chain[0] {
			return failed(reasonTryAgain) // with the next one that can serve
		}
		return in(s)
	} else if again {
		verdict, err = h.ask(ctx, l, req, token)
	}
	if err != nil {
		h.release(ctx, token)
		h.trouble.Warn("a verification gave no verdict; the visitor is asked to try again", zap.String("provider", l.name), zap.Error(err))
		return failed(reasonTryAgain)
	}
	return h.outcome(ctx, l, req, token, verdict)
}

// ask asks a provider about a token, and counts the answer.
func (h *Handler) ask(ctx context.Context, l *link, req provider.Request, token provider.Token) (provider.Verdict, error) {
	by, err := l.enter(ctx, req.ClientIP)
	if err != nil {
		return provider.Verdict{}, err
	}
	defer l.leave(by)
	start := time.Now()
	verdict, err := l.provider.Verify(ctx, req, token)
	outcome := "fail"
	switch {
	case err != nil:
		outcome = string(faultOf(err).Class)
	case verdict.Outcome == provider.Pass:
		outcome = outcomePass
	case verdict.Outcome == provider.Fail && verdict.Unknown != "":
		outcome = "unknown_code"
		h.reportUnknown(l, verdict.Unknown, token)
	}
	if err == nil && l.health != nil {
		l.health.met()
	}
	h.app.reporter.metrics.verified(l, outcome, time.Since(start))
	return verdict, err
}

// faultOf is what prevented a verdict. What a provider does not class is its
// unavailability.
func faultOf(err error) *provider.Fault {
	if f, ok := errors.AsType[*provider.Fault](err); ok {
		return f
	}
	return &provider.Fault{Class: provider.Unavailable, Err: err}
}

// noVerdict sorts what prevented a verdict: into a situation that the edge's own
// probe has confirmed, or into one more try, or into neither.
func (h *Handler) noVerdict(ctx context.Context, l *link, err error) (again bool, s situation) {
	if err == nil || errors.Is(err, errCrowded) {
		return false, ""
	}
	f := faultOf(err)
	if f.Class == provider.Throttled { // decides this request; the probe, whether others too
		if l.health != nil {
			l.health.doubt()
		}
		return false, throttled
	}
	// the client's token could have caused the complaint: the probe decides
	s = l.doubt(ctx).situation()
	return s == "" && f.Again, s
}

// release lets go of a claim: the token met no verdict.
func (h *Handler) release(ctx context.Context, token provider.Token) {
	if err := h.app.store.Release(context.WithoutCancel(ctx), token.Key); err != nil {
		h.storeTrouble("letting go of a claim failed; the token stays spent", err)
	}
}

// storeTrouble reports a failure of the store. That it does not answer, the keeper
// has reported, once.
func (h *Handler) storeTrouble(message string, err error) {
	if !errors.Is(err, errNoAnswer) && !errors.Is(err, errStoreAway) {
		h.app.storeFailed()
		h.trouble.Error(message, zap.Error(err))
	}
}

// settle lets go of the claim of a token that only the client vouches for, unless
// it has opened a request. Such tokens cost nothing to make: kept, they would fill
// the memory of spent ones until nobody's was accepted any more.
func (h *Handler) settle(ctx context.Context, f finding, d decision) {
	if f.word != nil && (d.verb != verbForward || d.failover == "") {
		h.release(ctx, *f.word)
	}
}

// outcome turns a verdict into a finding.
func (h *Handler) outcome(ctx context.Context, l *link, req provider.Request, token provider.Token, v provider.Verdict) finding {
	f := finding{status: statusFailed, reason: v.Reason, by: l, score: v.Score}
	switch v.Outcome {
	case provider.Pass:
		f.status, f.reason = statusPassed, ""
	case provider.ClientReported: // one request, if any
		word := token
		f.reason, f.situation, f.word = reasonClientReported, clientReported, &word
	case provider.ProviderFailover:
		f.reason, f.situation = reasonProviderFailover, providerFailover
	default:
		h.logger.Debug("token failed", zap.String("provider", l.name), zap.String("reason", string(v.Reason)), zap.String("detail", v.Detail))
		h.release(ctx, token)
		h.app.shared.refusals.add(appendToken(nil, l, req, token.Fields), v.Reason)
	}
	return f
}

// appendToken appends what names a token: it, its provider, and the host that it was
// sent to. Most are a few hundred bytes, for which maxUsualToken is enough.
func appendToken(text []byte, l *link, req provider.Request, fields map[string]string) []byte {
	text = append(text, l.digest[:]...)
	write := func(s string) {
		text = binary.BigEndian.AppendUint64(text, uint64(len(s)))
		text = append(text, s...)
	}
	write(req.Host)
	for _, name := range l.fields {
		write(fields[name])
	}
	return text
}

const maxUsualToken = 1 << 10
