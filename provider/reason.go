package provider

import (
	"errors"
	"time"
)

// ErrUnknownKey is returned by a Signer for a key that it does not have.
var ErrUnknownKey = errors.New("unknown signing key")

// Reason is why a request was not forwarded. The values are part of the
// interface: they stand in problem documents, logs and request headers.
type Reason string

// The reasons that concern a token.
const (
	TokenMissing   Reason = "token-missing"
	TokenInvalid   Reason = "token-invalid"
	TokenExpired   Reason = "token-expired"
	TokenDuplicate Reason = "token-duplicate"

	ScoreTooLow      Reason = "score-too-low"
	HostnameMismatch Reason = "hostname-mismatch"
	ActionMismatch   Reason = "action-mismatch"
)

// Refusal is an error of Parse that is the client's fault.
type Refusal struct {
	Reason Reason
	// Detail is for the log. It never contains a token.
	Detail string
}

// Refuse returns a *Refusal.
func Refuse(reason Reason, detail string) error {
	return &Refusal{Reason: reason, Detail: detail}
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Detail }

// Class tells the errors of Verify apart. None of them is a verdict, and none
// of them ever passes a visitor by itself.
type Class string

const (
	// Unavailable is no answer: connection error, timeout, 5xx, or an answer
	// that is not the provider's protocol.
	Unavailable Class = "unavailable"
	// Misconfigured is the provider refusing us: a wrong secret, an unknown
	// site key, a certificate that does not verify.
	Misconfigured Class = "misconfigured"
	// Throttled is the provider saying that we ask too much.
	Throttled Class = "throttled"
)

// Fault is an error of Verify of a known class. An error that is not a Fault
// counts as Unavailable.
type Fault struct {
	Class Class
	// Err is for the log. It contains neither token nor secret.
	Err error
	// Again says that the same token may safely be asked about once more: the
	// provider cannot have spent it, or gives the same answer twice.
	Again bool
	// RetryAfter is how long a throttled provider asks us to wait; 0 where it
	// does not say.
	RetryAfter time.Duration
}

func (f *Fault) Error() string { return string(f.Class) + ": " + f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }
