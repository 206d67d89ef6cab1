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

// Prober is the ability to be asked for its health. The probe carries nothing
// that a client chose: it asks the same endpoint as Verify, with our real
// credentials, about a fixed token that nobody could have been given.
type Prober interface {
	// Probe returns nil where the provider answers in its protocol, and a
	// *Fault of the right class otherwise. Misconfigured is only what the
	// protocol documents as such, or a certificate that does not verify.
	Probe(ctx context.Context) error
}

// StatusAPI is the ability to ask a provider what it says of its own health. One
// that has it with some configurations only has a method HasStatusAPI() bool too.
type StatusAPI interface {
	// Status returns false where the provider says that it is down. An error
	// is no answer, which says nothing.
	Status(ctx context.Context) (up bool, err error)
}

// Presenter is the ability to be solved on a page that loads the provider's
// own widget.
type Presenter interface {
	Widget() Widget
}

// Widget is what a page needs in order to show a provider's widget.
type Widget struct {
	// SiteKey is the public key of the site; empty where the provider has none.
	SiteKey string
	// Script is the URL of the provider's script; empty where it has none.
	Script string
	// Module says that Script is an ECMAScript module.
	Module bool
	// Markup is trusted HTML of ours, placed inside the page's form, where the
	// widget appears and where it puts its fields. Values in it are escaped.
	Markup string
	// Glue is trusted JavaScript of ours: the body of a function
	// (captcha) => { … } that runs once Script has loaded, for widgets that do
	// not fill in the fields of the form by themselves. captcha.challenge is
	// the provider's challenge document, captcha.siteKey the site key,
	// captcha.lang the page's language, captcha.set({field: value, …}) hands
	// over a token, captcha.fail() says that the widget cannot work.
	Glue string
	// CSP lists what the widget needs beyond a page that loads nothing, by
	// directive: {"script-src": {"https://…"}, "frame-src": …}.
	CSP map[string][]string
}

// Binder is implemented by a provider that needs something from its host. Bind
// is called once, after the module was provisioned and before any request. Its
// error is an error of the configuration.
type Binder interface {
	Bind(Env) error
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
	// Shared says that this memory is that of all nodes: what any of them has
	// issued before Since may be spent. Otherwise only what this node has.
	Shared bool
	// AllowTestKeys says that the provider's published test keys, ids and
	// tokens are accepted. Otherwise such a key in the configuration is an
	// error of Bind, and such a token is refused.
	AllowTestKeys bool
	// Logger is named after the provider.
	Logger *zap.Logger
}

// WithDefaults returns the Env with a harmless stand-in for whatever the host
// left out, except for the signer: without one nothing can be signed.
func (e Env) WithDefaults() Env {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Node == nil {
		e.Node = func() string { return "" }
	}
	if e.Since == nil {
		e.Since = func() time.Time { return time.Time{} }
	}
	if e.Logger == nil {
		e.Logger = zap.NewNop()
	}
	return e
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
	// Role is signed into a challenge by a provider that signs its challenges,
	// and comes back in the Token: empty for a primary's, else for which
	// provider and situation this one is the fallback. At most 64 characters
	// of [0-9A-Za-z._:-].
	Role string
	// Down says that the provider is confirmed to be down.
	Down bool
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
	// Issued is when the challenge was issued, and Role the role that it was
	// issued in; zero where the provider does not sign its challenges.
	Issued time.Time
	Role   string
	// Data is the provider's own, from Parse to Verify; what must be the same
	// when a token is asked about again, such as an idempotency key, is here.
	Data any
}

// Outcome is what a verdict says. The zero value is not a pass.
type Outcome uint8

const (
	// Fail is a token that is the client's fault.
	Fail Outcome = iota
	// Pass is a token of which the provider said so, positively.
	Pass
	// ClientReported is a token in which the widget, on the client's word,
	// says that it could not reach the provider, although the provider
	// answers here.
	ClientReported
	// ProviderFailover is a pass of which the provider says that it gave it
	// because of trouble on its own side.
	ProviderFailover
)

// Verdict is the answer on one token.
type Verdict struct {
	Outcome Outcome
	// Reason says why a token did not pass.
	Reason Reason
	// Detail is for the log: never a token, never a secret.
	Detail string
	// Unknown is the code by which the provider refused the token, where its
	// protocol, as far as it is known here, has no such code. Such a token is
	// the client's fault as well, but it is counted apart and the code is
	// logged, because somebody should look whether the protocol has changed.
	// Never a token, never a secret; see outbound.Visible.
	Unknown string
	// Score is the provider's own score; nil where it has none.
	Score *float64
}
