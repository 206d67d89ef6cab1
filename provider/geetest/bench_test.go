package geetest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	testID  = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	testKey = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"

	testOrigin = "5f2b9c1d7e3a48608c4d1e2f3a4b5c6d"
)

var testTime = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// rotating signs with one key and honours others, as the keyring does.
type rotating struct {
	current  string
	honoured []string
	err      error
}

func (s *rotating) KeyID(context.Context) (string, error) { return s.current, s.err }

func (s *rotating) MAC(_ context.Context, id string, message []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if id != s.current && !slices.Contains(s.honoured, id) {
		return nil, fmt.Errorf("wrapped: %w", provider.ErrUnknownKey)
	}
	h := hmac.New(sha256.New, []byte("secret of "+id))
	h.Write(message)
	return h.Sum(nil), nil
}

const keyA, keyB = "00112233445566aa", "ffeeddccbbaa9988"

// bench is a provider of version 3 on a clock that tests turn.
type bench struct {
	*Provider
	now    time.Time
	since  time.Time
	signer *rotating
}

// newBench makes a provider that calls api, or, without one, nobody.
func newBench(t testing.TB, api string, change ...func(*Provider)) *bench {
	t.Helper()
	if api == "" {
		api = "http://127.0.0.1:1" // refuses
	}
	b := &bench{
		Provider: &Provider{Account: Account{CaptchaID: testID, CaptchaKey: testKey, APIURL: api, BypassURL: api + "/v1/bypass_status.php"}},
		now:      testTime, signer: &rotating{current: keyA},
	}
	for _, c := range change {
		c(b.Provider)
	}
	if err := providertest.Provision(t, b.Provider); err != nil {
		t.Fatal(err)
	}
	env, _ := providertest.NewEnv()
	env.Signer, env.Now, env.Since = b.signer, func() time.Time { return b.now }, func() time.Time { return b.since }
	if err := b.Bind(env); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) request() provider.Request {
	return provider.Request{Host: "example.com", Received: b.now}
}

func token3(challenge, validate, seccode string) map[string]string {
	return map[string]string{fieldChallenge: challenge, fieldValidate: validate, fieldSeccode: seccode}
}

// offlineAnswer is what the widget of 2020 makes of a challenge by itself.
func offlineAnswer(challenge string) map[string]string {
	return token3(challenge, challenge, challenge+"|jordan")
}

// judge parses and verifies.
func (b *bench) judge(req provider.Request, fields map[string]string) (provider.Verdict, error) {
	token, err := b.Parse(context.Background(), req, fields)
	if err != nil {
		return provider.Verdict{}, err
	}
	return b.Verify(context.Background(), req, token)
}

// local issues a local challenge.
func (b *bench) local(t testing.TB, host string) string {
	t.Helper()
	return b.document(t, provider.Request{Host: host, Down: true}).Challenge
}

func classOf(t testing.TB, err error) provider.Class {
	t.Helper()
	var f *provider.Fault
	if err != nil && !errors.As(err, &f) {
		t.Fatalf("%v (%T) is no *provider.Fault", err, err)
	}
	if f == nil {
		return ""
	}
	return f.Class
}

func reasonOf(err error) provider.Reason {
	if r, ok := errors.AsType[*provider.Refusal](err); ok {
		return r.Reason
	}
	return ""
}

// fake3 is GeeTest's API of version 3. It solves nothing: pass is the seccode
// that it passes, and the fields that are set change what it answers.
type fake3 struct {
	pass     string
	digest   string
	register atomic.Value // body instead of the true one
	validate atomic.Value
	status   atomic.Value
}

func (f *fake3) protocol(s *providertest.Server) providertest.Answerer {
	truth := providertest.GeeTest{
		ID: testID, Key: testKey, Digest: f.digest,
		Challenge: func() string { return testOrigin },
		Passes:    func(_, seccode string) bool { return f.pass != "" && seccode == f.pass },
	}.Protocol(s)
	instead := map[string]*atomic.Value{"/register.php": &f.register, "/validate.php": &f.validate, "/v1/bypass_status.php": &f.status}
	return func(c providertest.Call) (int, string) {
		status, answer := truth(c)
		if changed := instead[c.Path]; changed != nil {
			answer = body(changed, answer)
		}
		return status, answer
	}
}

func body(instead *atomic.Value, otherwise string) string {
	if s, _ := instead.Load().(string); s != "" {
		return s
	}
	return otherwise
}

// serve starts the fake and a provider that calls it.
func serve(t testing.TB, f *fake3, change ...func(*Provider)) (*bench, *providertest.Server) {
	t.Helper()
	if f.digest == "" {
		f.digest = "md5"
	}
	s := providertest.Serve(t, f.protocol)
	return newBench(t, s.URL(), change...), s
}
