package pow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

const testKeyID = "0123456789abcdef"

var testTime = time.Date(2026, 5, 4, 12, 0, 0, 250e6, time.UTC)

// testSigner signs with one key; err is what it answers instead.
type testSigner struct {
	secret string
	err    error
}

func (s *testSigner) KeyID(context.Context) (string, error) { return testKeyID, s.err }

func (s *testSigner) MAC(_ context.Context, id string, msg []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if id != testKeyID {
		return nil, fmt.Errorf("wrapped: %w", provider.ErrUnknownKey)
	}
	h := hmac.New(sha256.New, []byte(s.secret))
	h.Write(msg)
	return h.Sum(nil), nil
}

// bench is a provider on a clock that tests turn.
type bench struct {
	*Provider
	now   time.Time
	since time.Time
	node  string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{Provider: &Provider{Difficulty: MinDifficulty, foreign: new(nodeSet)}, now: testTime, node: "node-a"}
	if err := b.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := b.Bind(provider.Env{
		Signer: &testSigner{secret: strings.Repeat("k", 32)},
		Now:    func() time.Time { return b.now },
		Node:   func() string { return b.node },
		Since:  func() time.Time { return b.since },
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) request() provider.Request {
	return provider.Request{Host: "example.com", Received: b.now}
}

func (b *bench) parse(payload string) (provider.Token, error) {
	return b.Parse(context.Background(), b.request(), map[string]string{"altcha": payload})
}

// solved returns the payload of a fresh challenge.
func (b *bench) solved(t testing.TB) string {
	t.Helper()
	doc, err := b.Challenge(context.Background(), b.request())
	if err != nil {
		t.Fatal(err)
	}
	return powtest.Solve(doc)
}

// forge signs a salt of the test's own making with the real key, and solves it.
func (b *bench) forge(salt, number string) string {
	sum := sha256.Sum256([]byte(salt + number))
	challenge := hex.EncodeToString(sum[:])
	mac, _ := b.env.Signer.MAC(context.Background(), testKeyID, []byte(challenge))
	return encode(fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%s","number":%s,"salt":"%s","signature":"%x"}`,
		challenge, number, salt, mac))
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

// saltWith is a valid salt in which one parameter has another value.
func (b *bench) saltWith(name, value string) string {
	values := map[string]string{
		"expires": strconv.FormatInt(b.now.Add(10*time.Minute).Unix(), 10),
		"issued":  strconv.FormatInt(b.now.UnixMilli(), 10),
		"cost":    "1000",
		"host":    hostTag("example.com"),
		"node":    nodeTag(b.node),
		"key":     testKeyID,
	}
	if name != "" {
		values[name] = value
	}
	salt := strings.Repeat("ab", 12) + "?"
	for _, n := range []string{"expires", "issued", "cost", "host", "node", "key"} {
		salt += n + "=" + values[n] + "&"
	}
	return salt
}

func wantReason(t *testing.T, err error, want provider.Reason) {
	t.Helper()
	var refusal *provider.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want the refusal %s", err, want)
	}
	if refusal.Reason != want {
		t.Fatalf("got %v, want reason %s", refusal, want)
	}
}

func TestModule(t *testing.T) {
	info := new(Provider).CaddyModule()
	if info.ID != "http.captcha.providers.pow" {
		t.Errorf("id is %s", info.ID)
	}
	if _, err := caddy.GetModule(string(info.ID)); err != nil {
		t.Error(err)
	}
	p := info.New().(*Provider)
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if p.Difficulty != DefaultDifficulty || time.Duration(p.Expires) != DefaultExpires {
		t.Errorf("defaults are %+v", p)
	}
	if got := p.Fields(); len(got) != 1 || got[0] != "altcha" {
		t.Errorf("fields are %v", got)
	}
	verdict, err := p.Verify(context.Background(), provider.Request{}, provider.Token{})
	if err != nil || verdict.Outcome != provider.Pass {
		t.Errorf("Verify answers %+v, %v", verdict, err)
	}
}

func TestUnbound(t *testing.T) {
	p := new(Provider)
	_ = p.Provision(caddy.Context{})
	if _, err := p.Challenge(context.Background(), provider.Request{}); err == nil {
		t.Error("a challenge without a signer")
	}
	b := newBench(t)
	_, err := p.Parse(context.Background(), b.request(), map[string]string{"altcha": b.solved(t)})
	var refusal *provider.Refusal
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("a token without a signer: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		difficulty int
		expires    time.Duration
		want       string
	}{
		{MinDifficulty, time.Minute, ""},
		{MaxDifficulty, MaxExpires, ""},
		{MinDifficulty - 1, time.Minute, "difficulty 999 is out of range"},
		{MaxDifficulty + 1, time.Minute, "from 1000 to 50000000"},
		{-1, time.Minute, "difficulty -1"},
		{MinDifficulty, MaxExpires + 1, "from 1s to 24h"},
		{MinDifficulty, -1, "expires -1ns is out of range"},
		{MinDifficulty, time.Millisecond, "such as 10m"},
	} {
		err := (&Provider{Difficulty: tc.difficulty, Expires: caddy.Duration(tc.expires)}).Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%d, %s: got %v, want %q", tc.difficulty, tc.expires, err, tc.want)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for _, tc := range []struct {
		name, in   string
		difficulty int
		expires    time.Duration
		err        string
	}{
		{name: "bare", in: "pow"},
		{name: "empty block", in: "pow {\n}"},
		{name: "all", in: "pow {\n difficulty 5000\n expires 1d\n}", difficulty: 5000, expires: 24 * time.Hour},
		{name: "argument", in: "pow fast", err: `got "fast": write its options in a block`},
		{name: "unknown", in: "pow {\n speed 1\n}", err: "unrecognized subdirective 'speed': pow has difficulty and expires"},
		{name: "twice", in: "pow {\n difficulty 5000\n difficulty 5000\n}", err: "already specified"},
		{name: "expires twice", in: "pow {\n expires 5m\n expires 5m\n}", err: "already specified"},
		{name: "no value", in: "pow {\n difficulty\n}", err: "takes one value, got 0: write a number of hashes"},
		{name: "two values", in: "pow {\n expires 1m 2m\n}", err: "takes one value, got 2: write a duration"},
		{name: "no number", in: "pow {\n difficulty high\n}", err: `difficulty "high" is not a number`},
		{name: "zero", in: "pow {\n difficulty 0\n}", err: "difficulty 0 is out of range"},
		{name: "too easy", in: "pow {\n difficulty 10\n}", err: "from 1000 to"},
		{name: "no unit", in: "pow {\n expires 10\n}", err: "a number with its unit, such as 10m"},
		{name: "too long", in: "pow {\n expires 25h\n}", err: "from 1s to 24h"},
		{name: "zero time", in: "pow {\n expires 0\n}", err: "from 1s to 24h"},
		{name: "env number", in: "pow {\n difficulty {env.POW}\n}", err: "read when the Caddyfile is adapted: write {$POW}"},
		{name: "env duration", in: "pow {\n expires {env.POW}\n}", err: "write {$POW}"},
		{name: "file number", in: "pow {\n difficulty {file./run/n}\n}", err: "write {$NAME}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := new(Provider)
			err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want %q", err, tc.err)
				}
				if !strings.Contains(err.Error(), "Testfile:") {
					t.Errorf("the line is not named: %v", err)
				}
				return
			}
			if err != nil || p.Difficulty != tc.difficulty || time.Duration(p.Expires) != tc.expires {
				t.Fatalf("got %+v, %v", p, err)
			}
		})
	}
}
