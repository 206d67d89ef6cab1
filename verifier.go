package captcha

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
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
	situation situation // where there is no verdict for a reason that policy knows
	score     *float64
}

func failed(reason provider.Reason) finding {
	return finding{status: statusFailed, reason: reason}
}

func refused(code int, reason provider.Reason) finding {
	return finding{status: statusFailed, reason: reason, refused: code}
}

// claimSlack is how long a claim outlives the token, for clocks that differ.
const claimSlack = time.Minute

// verify judges a token: parse it, claim it exactly once, ask the provider.
func (h *Handler) verify(ctx context.Context, req provider.Request, fields map[string]string) finding {
	key := h.tokenKey(req, fields)
	if reason := h.app.shared.refusals.get(key); reason != "" {
		return failed(reason)
	}
	token, err := h.provider.Parse(ctx, req, fields)
	var no *provider.Refusal
	if errors.As(err, &no) {
		if no.Reason == provider.TokenMissing {
			return finding{status: statusMissing, reason: no.Reason}
		}
		h.logger.Debug("token refused", zap.String("reason", string(no.Reason)), zap.String("detail", no.Detail))
		h.app.shared.refusals.add(key, no.Reason)
		return failed(no.Reason)
	}
	if err != nil {
		return h.noVerdict("parsing a token", err)
	}
	// a client that goes away does not take the claim or the answer with it
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	claimed, err := h.app.store.Claim(ctx, token.Key, token.Expires.Add(claimSlack))
	if err != nil {
		h.logger.Error("claiming a token failed; the visitor is asked to try again", zap.Error(err))
		return failed(reasonTryAgain)
	}
	if !claimed {
		return failed(provider.TokenDuplicate)
	}
	return h.ask(ctx, req, token, key)
}

// ask asks the provider about a claimed token.
func (h *Handler) ask(ctx context.Context, req provider.Request, token provider.Token, key tokenKey) finding {
	verdict, err := h.provider.Verify(ctx, req, token)
	if err == nil {
		switch verdict.Outcome {
		case provider.Pass:
			return finding{status: statusPassed, score: verdict.Score}
		case provider.ClientReported: // its token stays claimed
			return finding{status: statusFailed, reason: reasonClientReported, situation: clientReported}
		case provider.ProviderFailover:
			return finding{status: statusFailed, reason: reasonProviderFailover, situation: providerFailover, score: verdict.Score}
		}
	}
	if releaseErr := h.app.store.Release(ctx, token.Key); releaseErr != nil {
		h.logger.Warn("letting go of a claim failed; the token stays spent", zap.Error(releaseErr))
	}
	if err != nil {
		return h.noVerdict("verifying a token", err)
	}
	h.app.shared.refusals.add(key, verdict.Reason)
	return finding{status: statusFailed, reason: verdict.Reason, score: verdict.Score}
}

// noVerdict sorts an error that is not the client's fault. Whatever is not
// certain ends in "please try again"; nothing here opens the door.
func (h *Handler) noVerdict(what string, err error) finding {
	var fault *provider.Fault
	if errors.As(err, &fault) {
		switch fault.Class {
		case provider.Misconfigured:
			h.logger.Error("the provider refuses our configuration", zap.Error(err))
			return finding{status: statusFailed, reason: reasonMisconfigured, situation: misconfigured}
		case provider.Throttled:
			h.logger.Warn("the provider says that it is asked too much", zap.Error(err))
			return finding{status: statusFailed, reason: reasonThrottled, situation: throttled}
		}
	}
	h.logger.Warn(what+" gave no verdict; the visitor is asked to try again", zap.Error(err))
	return failed(reasonTryAgain)
}

// verifyTimeout bounds the claim and the provider's answer on one token.
const verifyTimeout = 5 * time.Second

// tokenKey hashes a token with the provider and the host that it was sent to.
func (h *Handler) tokenKey(req provider.Request, fields map[string]string) tokenKey {
	hash := sha256.New()
	write := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		hash.Write(n[:])
		hash.Write([]byte(s))
	}
	write(h.identity)
	write(req.Host)
	for _, name := range h.provider.Fields() {
		write(fields[name])
	}
	return tokenKey(hash.Sum(nil))
}
