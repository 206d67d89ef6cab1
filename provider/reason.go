package provider

import "errors"

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
