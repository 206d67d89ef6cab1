package providertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Verdict stands in Suite.Classes for a fault that is no fault in a protocol,
// but a verdict, which must not be a pass.
const Verdict provider.Class = "verdict"

// Suite drives one provider through every fault.
type Suite struct {
	// Protocol makes the true protocol, which passes Fields, and refuses
	// the token of a probe. It reports violations with Strict.
	Protocol func(*Server) Answerer
	// New is the provider under test, told to call base: provisioned (see
	// Provision), not bound.
	New func(t testing.TB, base string) provider.Provider
	// Request carries the token. Its Host is example.com where it is empty.
	Request provider.Request
	// Fields are a token that passes.
	Fields map[string]string
	// Outcome is what the token comes to. Default: provider.Pass, as
	// provider.Fail cannot be asked for.
	Outcome provider.Outcome
	// Secrets are what must never be in an error or a log, beside the token's
	// fields.
	Secrets []string
	// Classes says where the protocol differs from Classes().
	Classes map[Fault]provider.Class
	// ProbeClasses says where a probe differs from a verification.
	ProbeClasses map[Fault]provider.Class
	// RetrySafe says that a token whose answer was lost may be asked about
	// again: the fault of a reset and of a timeout says Again.
	RetrySafe bool
	// Env is changed before the provider is bound; may be nil.
	Env func(*provider.Env)
}

// Answerer is a protocol as a function from call to answer: a status and a
// body, which is JSON where it starts with a brace.
type Answerer = func(call Call) (status int, body string)

// Run pins the class of every fault, for Verify and for Probe.
func (s Suite) Run(t *testing.T) {
	if s.Request.Host == "" {
		s.Request.Host = "example.com"
	}
	if s.Outcome == provider.Fail {
		s.Outcome = provider.Pass
	}
	for _, fault := range append([]Fault{None}, Faults()...) {
		t.Run(string(fault), func(t *testing.T) { s.run(t, fault) })
	}
}

func (s Suite) run(t *testing.T, fault Fault) {
	leak := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leak) }) // runs last
	server := Serve(t, s.Protocol)
	base := server.URL()
	if fault == BadCertificate {
		base = server.TLSURL()
	}
	p := s.New(t, base)
	env, logs := NewEnv()
	if s.Env != nil {
		s.Env(&env)
	}
	if b, ok := p.(provider.Binder); ok {
		if err := b.Bind(env); err != nil {
			t.Fatal(err)
		}
	}
	server.Inject(fault)
	s.verify(t, fault, p)
	if prober, ok := p.(provider.Prober); ok {
		s.probe(t, fault, prober)
	}
	if calls := server.Elsewhere(); len(calls) > 0 {
		t.Errorf("a redirect was followed: %+v", calls)
	}
	for _, entry := range logs.All() {
		s.noSecret(t, fmt.Sprint("the log: ", entry.Message, entry.ContextMap()))
	}
}

func (s Suite) verify(t *testing.T, fault Fault, p provider.Provider) {
	t.Helper()
	ctx, cancel := deadline(fault)
	defer cancel()
	token, err := p.Parse(ctx, s.Request, s.Fields)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	if token.Key == "" {
		t.Error("Parse: the token has no claim key")
	}
	verdict, err := p.Verify(ctx, s.Request, token)
	s.noSecret(t, "the detail: "+verdict.Detail)
	if fault == None {
		if err != nil || verdict.Outcome != s.Outcome {
			t.Fatalf("without a fault: %+v, %v", verdict, err)
		}
		return
	}
	if verdict.Outcome == provider.Pass || verdict.Outcome == provider.ProviderFailover {
		t.Errorf("passed: %+v", verdict)
	}
	want := s.class(fault, s.Classes)
	s.check(t, fault, want, err)
	var f *provider.Fault
	if want == Verdict || !errors.As(err, &f) {
		return
	}
	switch fault {
	case Refuse:
		if !f.Again {
			t.Error("nothing was sent, so the token may be asked about again")
		}
	case Reset, Hang, SlowDrip:
		if f.Again != s.RetrySafe {
			t.Errorf("Again = %t, want %t", f.Again, s.RetrySafe)
		}
	}
}

func (s Suite) probe(t *testing.T, fault Fault, p provider.Prober) {
	t.Helper()
	ctx, cancel := deadline(fault)
	defer cancel()
	err := p.Probe(ctx)
	if fault == None {
		if err != nil {
			t.Errorf("Probe of a healthy provider: %v", err)
		}
		return
	}
	want := s.class(fault, s.ProbeClasses)
	if _, own := s.ProbeClasses[fault]; !own {
		want = s.class(fault, s.Classes)
	}
	if want == Verdict {
		if err != nil {
			t.Errorf("Probe: %v", err)
		}
		return
	}
	s.check(t, fault, want, err)
}

func (s Suite) class(fault Fault, own map[Fault]provider.Class) provider.Class {
	if c, ok := own[fault]; ok {
		return c
	}
	return classes[fault]
}

func (s Suite) check(t *testing.T, fault Fault, want provider.Class, err error) {
	t.Helper()
	if want == Verdict {
		if err != nil {
			t.Errorf("no verdict: %v", err)
		}
		return
	}
	var f *provider.Fault
	if !errors.As(err, &f) {
		t.Fatalf("%v (%T) is no *provider.Fault, want class %s", err, err, want)
	}
	if f.Class != want {
		t.Errorf("class = %s (%v), want %s", f.Class, f.Err, want)
	}
	if fault == Status429 && want == provider.Throttled && f.RetryAfter != RetryAfter {
		t.Errorf("RetryAfter = %s, want %s", f.RetryAfter, RetryAfter)
	}
	s.noSecret(t, err.Error())
}

// noSecret looks for tokens, secrets and queries in what people may read.
func (s Suite) noSecret(t *testing.T, text string) {
	t.Helper()
	secrets := append([]string(nil), s.Secrets...)
	for _, value := range s.Fields {
		secrets = append(secrets, value)
	}
	for _, secret := range secrets {
		if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			t.Errorf("%q is told in %q", secret, text)
		}
	}
	if strings.Contains(text, "://") && strings.Contains(text, "?") {
		t.Errorf("a URL with its query is told in %q", text)
	}
}

// deadline ends the faults that end with the client's patience.
func deadline(fault Fault) (context.Context, context.CancelFunc) {
	if fault == Hang || fault == SlowDrip {
		return context.WithTimeout(context.Background(), 150*time.Millisecond)
	}
	return context.WithTimeout(context.Background(), bounded)
}

// Provision provisions and validates a provider, and cleans it up at the end
// of the test.
func Provision(t testing.TB, p provider.Provider) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if c, ok := p.(caddy.CleanerUpper); ok {
		t.Cleanup(func() {
			if err := c.Cleanup(); err != nil {
				t.Errorf("Cleanup: %v", err)
			}
		})
	}
	if m, ok := p.(caddy.Provisioner); ok {
		if err := m.Provision(ctx); err != nil {
			return err
		}
	}
	if m, ok := p.(caddy.Validator); ok {
		return m.Validate()
	}
	return nil
}

// NewEnv is a host for a provider under test, and what is logged there.
func NewEnv() (provider.Env, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return provider.Env{
		Signer: signer{},
		Now:    time.Now,
		Node:   func() string { return "node" },
		Since:  func() time.Time { return time.Time{} },
		Logger: zap.New(core),
	}, logs
}

// signer has one key for ever.
type signer struct{}

func (signer) KeyID(context.Context) (string, error) { return "key-1", nil }

func (signer) MAC(_ context.Context, id string, message []byte) ([]byte, error) {
	if id != "key-1" {
		return nil, provider.ErrUnknownKey
	}
	h := hmac.New(sha256.New, []byte("a key for tests, and for nothing else"))
	h.Write(message)
	return h.Sum(nil), nil
}
