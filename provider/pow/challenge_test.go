package pow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"

	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// Byte for byte what altcha-lib 1.4.1 writes, but for the salt's parameters.
var challengeShape = regexp.MustCompile(`^\{"algorithm":"SHA-256","challenge":"[0-9a-f]{64}","maxnumber":2000,` +
	`"salt":"[0-9a-f]{24}\?expires=(\d+)&issued=(\d+)&cost=1000&host=a379a6f6eeafb9a5&node=[0-9a-f]{8}&key=0123456789abcdef&",` +
	`"signature":"[0-9a-f]{64}"\}$`)

func TestChallenge(t *testing.T) {
	b := newBench(t)
	doc, err := b.Challenge(context.Background(), b.request())
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(doc) {
		t.Errorf("not JSON: %s", doc)
	}
	got := challengeShape.FindSubmatch(doc)
	if got == nil {
		t.Fatalf("unexpected document %s", doc)
	}
	if want := fmt.Sprint(testTime.Add(DefaultExpires).Unix()); string(got[1]) != want {
		t.Errorf("expires is %s, want %s", got[1], want)
	}
	if want := fmt.Sprint(testTime.UnixMilli()); string(got[2]) != want {
		t.Errorf("issued is %s, want %s", got[2], want)
	}
	again, _ := b.Challenge(context.Background(), b.request())
	if string(again) == string(doc) {
		t.Error("two challenges are the same")
	}
}

func TestChallengeErrors(t *testing.T) {
	b := newBench(t)
	fault := errors.New("keys are away")
	b.env.Signer = &testSigner{err: fault}
	if _, err := b.Challenge(context.Background(), b.request()); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	b.env.Signer = oddSigner{}
	if _, err := b.Challenge(context.Background(), b.request()); err == nil {
		t.Error("a key id that would split the salt was used")
	}
}

type oddSigner struct{ provider.Signer }

func (oddSigner) KeyID(context.Context) (string, error) { return "a&b", nil }

func TestMaxLifetimeRoundTrip(t *testing.T) {
	b := newBench(t)
	b.Expires = 24 * 3600 * 1e9
	b.now = testTime.Add(999 * time.Millisecond)
	if _, err := b.parse(b.solved(t)); err != nil {
		t.Error(err)
	}
}

func TestUniform(t *testing.T) {
	var seen [4]int
	for range 4000 {
		seen[uniform(3)]++
	}
	for n, times := range seen {
		if times < 800 || times > 1200 {
			t.Errorf("%d came %d times of 4000", n, times)
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	p := newBench(b)
	req := p.request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Challenge(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRoleComesBack(t *testing.T) {
	b := newBench(t)
	for _, role := range []string{"", "fb:unreachable:0123456789abcdef:0123456789abcdef", strings.Repeat("x", maxRole)} {
		req := b.request()
		req.Role = role
		doc, err := b.Challenge(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		token, err := b.parse(powtest.Solve(doc))
		if err != nil || token.Role != role || !token.Issued.Equal(b.now.Truncate(time.Millisecond)) {
			t.Errorf("role %q came back as %q, issued %v: %v", role, token.Role, token.Issued, err)
		}
	}
	for _, role := range []string{"a&b", "a b", "ä", strings.Repeat("x", maxRole+1)} {
		req := b.request()
		req.Role = role
		if _, err := b.Challenge(t.Context(), req); err == nil {
			t.Errorf("role %q was signed", role)
		}
	}
}
