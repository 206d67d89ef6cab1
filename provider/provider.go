// Package provider is the contract between the captcha handler and whoever
// judges a solved CAPTCHA. A provider is a Caddy guest module in the namespace
// http.captcha.providers; anyone can add one in a repository of their own.
//
// A provider knows its own protocol and nothing else: no request chain, no
// policy, no other provider. It never decides that a token is spent; the host
// claims what Parse names, then asks Verify.
package provider

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// Namespace is the module namespace of providers.
const Namespace = "http.captcha.providers"

// Provider judges solved CAPTCHAs.
type Provider interface {
	// Fields names the form fields that together are one token, in the
	// order in which the provider's widget submits them.
	Fields() []string

	// Parse checks a token offline: shape, signature, expiry, binding. It asks
	// nobody. A *Refusal is the client's fault; any other error is a fault of
	// ours and never opens the door.
	Parse(ctx context.Context, req Request, fields map[string]string) (Token, error)

	// Verify judges a token that Parse accepted and the host has claimed. The
	// client's fault is a Verdict; an error means that there is no verdict.
	Verify(ctx context.Context, req Request, token Token) (Verdict, error)
}

// Challenger is the optional ability to issue a challenge document, such as
// ALTCHA's challenge JSON, that a widget or a script solves.
type Challenger interface {
	Challenge(ctx context.Context, req Request) (json.RawMessage, error)
}

// Binder is implemented by a provider that needs something from its host. Bind
// is called once, after the module was provisioned and before any request.
type Binder interface {
	Bind(Env)
}

// Env is what the host lends to a provider.
type Env struct {
	// Signer signs with keys that the host keeps, shares and rotates.
	Signer Signer
	// Now is the clock.
	Now func() time.Time
	// Node names this node in what it signs; the same after a restart.
	Node func() string
	// Since is when the host's memory of spent tokens begins. It is zero
	// where that memory outlives the process.
	Since func() time.Time
	// Logger is named after the provider.
	Logger *zap.Logger
}

// Signer computes message authentication codes with rotating keys.
type Signer interface {
	// KeyID names the key that signs now.
	KeyID(ctx context.Context) (string, error)
	// MAC returns the HMAC-SHA-256 of message under the named key. It returns
	// ErrUnknownKey for a key that does not exist or is no longer honoured.
	MAC(ctx context.Context, keyID string, message []byte) ([]byte, error)
}

// Request is what a provider may know of the request that carries a token.
type Request struct {
	// Host is the request's host, lower case, without port.
	Host string
	// ClientIP is the visitor's address as Caddy determined it; the zero Addr
	// where it is not known.
	ClientIP netip.Addr
	// Received is when the request's headers arrived.
	Received time.Time
}

// Token is a parsed token.
type Token struct {
	// Key is what is spent: the provider's own identifier of the solved
	// challenge. It is never empty, never logged and never taken from an
	// unverified text where the provider can verify offline.
	Key string
	// Expires is the last moment at which the provider could pass the token.
	Expires time.Time
	// Fields are the values that the client sent.
	Fields map[string]string
}

// Verdict is the answer on one token.
type Verdict struct {
	// Pass is true only where the provider said so, positively.
	Pass bool
	// Reason says why a token did not pass.
	Reason Reason
	// Score is the provider's own score; nil where it has none.
	Score *float64
}
