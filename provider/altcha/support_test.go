package altcha

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

const testKey = "an hmac key for tests, 32 bytes or more"

var (
	testTime    = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	testExpires = testTime.Add(10 * time.Minute)
)

// newProvider is a provider changed by change, on the clock of the tests.
func newProvider(t testing.TB, change func(*Provider)) *Provider {
	t.Helper()
	p := &Provider{HMACKey: testKey}
	if change != nil {
		change(p)
	}
	if err := providertest.Provision(t, p); err != nil {
		t.Fatal(err)
	}
	bind(t, p, nil)
	return p
}

func bind(t testing.TB, p *Provider, change func(*provider.Env)) {
	t.Helper()
	env, _ := providertest.NewEnv()
	env.Now = func() time.Time { return testTime }
	if change != nil {
		change(&env)
	}
	if err := p.Bind(env); err != nil {
		t.Fatal(err)
	}
}

func request() provider.Request {
	return provider.Request{Host: "example.com", Received: testTime}
}

func (p *Provider) parse(raw string) (provider.Token, error) {
	return p.Parse(context.Background(), request(), map[string]string{field: raw})
}

// judge parses and verifies a payload; the error is a refusal in either.
func (p *Provider) judge(raw string) (provider.Token, error) {
	token, err := p.parse(raw)
	if err != nil {
		return token, err
	}
	v, err := p.Verify(context.Background(), request(), token)
	if err == nil && v.Outcome != provider.Pass {
		err = provider.Refuse(v.Reason, v.Detail)
	}
	return token, err
}

func encode(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }

func decode(t testing.TB, payload string) string {
	t.Helper()
	doc, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// sign is the HMAC-SHA-256 of message with testKey, in hex.
func sign(message string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(testKey), []byte(message)))
}

// forgeV1 signs a salt of the test's own making, and solves it.
func forgeV1(salt, number string) string {
	challenge := fmt.Sprintf("%x", sha256.Sum256([]byte(salt+number)))
	return encode(fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%s","number":%s,"salt":"%s","signature":"%s","took":1.5}`,
		challenge, number, salt, sign(challenge)))
}

func goodSalt() string { return fmt.Sprintf("00ff?expires=%d&", testExpires.Unix()) }

// parametersV2 are good parameters, in the order of their canonical form.
func parametersV2() string {
	return fmt.Sprintf(`{"algorithm":"SHA-256","cost":2,"expiresAt":%d,"keyLength":32,"keyPrefix":"0","nonce":"00ff","salt":"ff00"}`, testExpires.Unix())
}

// forgeV2 signs parameters, which have to be in canonical form, and solves them
// where they can be solved.
func forgeV2(parameters string) string {
	counter, key := uint32(0), strings.Repeat("0", 64)
	if doc, err := parseDocument([]byte(parameters)); err == nil {
		if d, wrong := newDerivation(doc); wrong == "" {
			for {
				d.counter = counter
				derived, _ := d.derive()
				if key = hex.EncodeToString(derived); strings.HasPrefix(key, d.prefix) {
					break
				}
				counter++
			}
		}
	}
	return encode(fmt.Sprintf(`{"challenge":{"parameters":%s,"signature":"%s"},"solution":{"counter":%d,"derivedKey":"%s","time":84.5}}`,
		parameters, sign(parameters), counter, key))
}

// forgeSentinel signs verification data.
func forgeSentinel(data string) string {
	sum := sha256.Sum256([]byte(data))
	return encode(fmt.Sprintf(`{"algorithm":"SHA-256","signature":"%s","verificationData":"%s","verified":true}`, sign(string(sum[:])), data))
}

func goodData() string {
	return fmt.Sprintf("classification=GOOD&expire=%d&score=0.5&verified=true", testExpires.Unix())
}

func wantReason(t testing.TB, err error, want provider.Reason) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var refusal *provider.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != want {
		t.Errorf("got %v, want the refusal %s", err, want)
	}
}

func wantClass(t testing.TB, err error, want provider.Class) {
	t.Helper()
	var fault *provider.Fault
	if !errors.As(err, &fault) || fault.Class != want {
		t.Errorf("got %v, want the fault %s", err, want)
	}
}

func unmarshal(in string) (*Provider, error) {
	p := new(Provider)
	err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(in))
	return p, err
}
