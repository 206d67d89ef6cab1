package pow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

func TestParse(t *testing.T) {
	b := newBench(t)
	doc, _ := b.Challenge(context.Background(), b.request())
	payload := powtest.Solve(doc)
	token, err := b.parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, signature, _ := strings.Cut(string(doc), `"signature":"`); token.Key != "pow:"+strings.TrimSuffix(signature, `"}`) {
		t.Errorf("key is %s in %s", token.Key, doc)
	}
	if want := time.Unix(testTime.Add(DefaultExpires).Unix(), 0).Add(time.Hour); !token.Expires.Equal(want) {
		t.Errorf("expires %s, want %s", token.Expires, want)
	}
	if token.Fields["altcha"] != payload || len(token.Fields) != 1 {
		t.Errorf("fields are %v", token.Fields)
	}
}

// What clients send where there is no proof, the widgets' own test payloads
// among it.
func TestParseNoProofD105(t *testing.T) {
	b := newBench(t)
	for _, tc := range []struct {
		payload string
		want    provider.Reason
	}{
		{"", provider.TokenMissing},
		{" \t", provider.TokenMissing},
		{"undefined", provider.TokenInvalid},
		{"null", provider.TokenInvalid},
		{".ERROR", provider.TokenInvalid},
		{encode(`null`), provider.TokenInvalid},
		{encode(`{}`), provider.TokenInvalid},
		{encode(`[]`), provider.TokenInvalid},
		{encode(`{"challenge":null,"solution":null,"test":true}`), provider.TokenInvalid},
		{encode(`{"algorithm":"SHA-256","challenge":"","number":0,"salt":"1a1fbca7c13","signature":"","test":true,"took":435}`), provider.TokenInvalid},
		{encode(`{"challenge":{"parameters":{"algorithm":"SHA-256","nonce":"00","salt":"00","cost":1,"keyLength":32,"keyPrefix":"000"},"signature":""},"solution":{"counter":0,"derivedKey":"","time":84.5}}`), provider.TokenInvalid},
		{encode(`{"algorithm":"SHA-256","verificationData":"verified=true","signature":"00","verified":true}`), provider.TokenInvalid},
		// Verified by a real widget 3.2.2, for another server.
		{"eyJhbGdvcml0aG0iOiJTSEEtMjU2IiwiY2hhbGxlbmdlIjoiMDA2NDQ2ZGFlMDEzZTUzZWY1ZDVlOTdhOTc0YjQyMTczNTBmODU5MmRkNDk2ZjJhOTUyNjI1MTRkZmJkNmQ2OCIsIm51bWJlciI6MTE4NCwic2FsdCI6Ijc0MzM0ZWUyYjk5ZTAyMmQ4NTc4MGNmZj9leHBpcmVzPTE3OTUyMjYyMjAmIiwic2lnbmF0dXJlIjoiMjFiNjc1ODhiYzVlM2ZhMmU3Njg3YjgyMmM3ODUxZGQ5OGE3OGIzYjEzN2Y0OWUwMmRlMjE0OTNmMjNjNTEyZiIsInRvb2siOjEyMi42fQ==", provider.TokenInvalid},
	} {
		_, err := b.parse(tc.payload)
		wantReason(t, err, tc.want)
		if tc.payload != "" && strings.Contains(err.Error(), tc.payload) {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
	_, err := b.Parse(context.Background(), b.request(), nil)
	wantReason(t, err, provider.TokenMissing)
}

// TestSplicing moves digits over the border between salt and number
// (CVE-2025-68113), and adds and repeats parameters.
func TestSplicingD107(t *testing.T) {
	b := newBench(t)
	good := b.saltWith("", "")
	if _, err := b.parse(b.forge(good, "1234")); err != nil {
		t.Fatalf("the test's own salt is refused: %v", err)
	}
	for _, tc := range []struct{ name, salt, number string }{
		{"a digit moved into the salt", good + "1", "234"},
		{"no end", strings.TrimSuffix(good, "&"), "1234"},
		{"no parameters", strings.Repeat("ab", 12), "1234"},
		{"no parameters but an end", strings.Repeat("ab", 12) + "?&", "1234"},
		{"one more", good + "x=1&", "1234"},
		{"one before", strings.Replace(good, "?", "?x=1&", 1), "1234"},
		{"second expires", good + "expires=9999999999&", "1234"},
		{"other order", strings.Replace(good, "cost=1000&", "", 1) + "cost=1000&", "1234"},
		{"other case", strings.Replace(good, "cost=", "Cost=", 1), "1234"},
		{"short random part", good[2:], "1234"},
		{"upper-case random part", "AB" + good[2:], "1234"},
		{"empty", "", "1234"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := b.parse(b.forge(tc.salt, tc.number))
			wantReason(t, err, provider.TokenInvalid)
		})
	}
}

// TestTampered changes a genuine proof into another that would fit as well, and
// keeps its signature.
func TestTamperedD106(t *testing.T) {
	b := newBench(t)
	payload := b.forge(b.saltWith("", ""), "1234")
	salt := b.saltWith("", "")
	for _, tc := range []struct{ name, old, new string }{
		{"another number", `"number":1234`, `"number":1235`},
		{"a shorter number", `"number":1234`, `"number":123`},
		{"another random part", "abab", "abac"},
		{"a later expiry", salt, b.saltWith("expires", strconv.FormatInt(b.now.Add(time.Hour).Unix(), 10))},
		{"issued later", salt, b.saltWith("issued", strconv.FormatInt(b.now.UnixMilli()+1, 10))},
		{"more work", salt, b.saltWith("cost", "5000")},
		{"another node", salt, b.saltWith("node", nodeTag("node-b"))},
		{"another challenge", `"challenge":"`, `"challenge":"` + strings.Repeat("0", 64) + `","x":"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := b.parse(respell(t, payload, tc.old, tc.new))
			wantReason(t, err, provider.TokenInvalid)
		})
	}
	// A challenge solved by another browser, under this one's signature.
	doc, other := decode(t, payload), decode(t, b.forge(salt, "1236"))
	at := strings.Index(doc, `"signature"`)
	_, err := b.parse(encode(other[:at] + doc[at:]))
	wantReason(t, err, provider.TokenInvalid)
}

// TestTerms signs impossible and unfitting terms with the real key.
func TestTermsD111(t *testing.T) {
	b := newBench(t)
	at := func(d time.Duration) string { return strconv.FormatInt(b.now.Add(d).Unix(), 10) }
	ms := func(d time.Duration) string { return strconv.FormatInt(b.now.Add(d).UnixMilli(), 10) }
	for _, tc := range []struct {
		name, param, value string
		want               provider.Reason
	}{
		{"fits", "", "", ""},
		{"more work", "cost", "1001", ""},
		{"less work", "cost", "999", provider.TokenInvalid},
		{"no work", "cost", "0", provider.TokenInvalid},
		{"negative work", "cost", "-1000", provider.TokenInvalid},
		{"padded work", "cost", "01000", provider.TokenInvalid},
		{"too much to be true", "cost", "1000000000000000", provider.TokenInvalid},
		{"other host", "host", hostTag("example.net"), provider.TokenInvalid},
		{"no host", "host", "", provider.TokenInvalid},
		{"unknown key", "key", "fedcba9876543210", provider.TokenInvalid},
		{"no key", "key", "", provider.TokenInvalid},
		{"no node", "node", "", provider.TokenInvalid},
		{"other node", "node", nodeTag("node-b"), ""},
		{"expires missing", "expires", "", provider.TokenInvalid},
		{"expires at the last moment", "expires", at(time.Second), ""},
		{"expired", "expires", at(-time.Second), provider.TokenInvalid}, // before it was issued
		{"expires in milliseconds", "expires", ms(10 * time.Minute), provider.TokenInvalid},
		{"expires is a float", "expires", at(time.Minute) + ".5", provider.TokenInvalid},
		{"expires is negative", "expires", "-1", provider.TokenInvalid},
		{"expires is NaN", "expires", "NaN", provider.TokenInvalid},
		{"expires has a leading zero", "expires", "0" + at(time.Minute), provider.TokenInvalid},
		{"lives a day", "expires", at(24 * time.Hour), ""},
		{"lives longer", "expires", at(24*time.Hour + time.Second), provider.TokenInvalid},
		{"issued in seconds", "issued", at(0), provider.TokenInvalid},
		{"issued in the near future", "issued", ms(time.Minute), ""},
		{"issued in the future", "issued", ms(time.Minute + time.Millisecond), provider.TokenInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := b.parse(b.forge(b.saltWith(tc.param, tc.value), "1234"))
			if tc.want != "" {
				wantReason(t, err, tc.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	b.Difficulty = 617
	_, err := b.parse(b.forge(b.saltWith("cost", "617"), "1234"))
	if err != nil {
		t.Errorf("the greatest number: %v", err)
	}
	_, err = b.parse(b.forge(b.saltWith("cost", "617"), "1235"))
	wantReason(t, err, provider.TokenInvalid)
}

func TestHarderDirectiveD111(t *testing.T) {
	b := newBench(t)
	payload := b.solved(t)
	b.Difficulty = 2 * MinDifficulty
	_, err := b.parse(payload)
	wantReason(t, err, provider.TokenInvalid)
}

func TestExpiryD108(t *testing.T) {
	b := newBench(t)
	payload := b.solved(t)
	expires := time.Unix(testTime.Add(DefaultExpires).Unix(), 0)
	for _, tc := range []struct {
		name          string
		received, now time.Time
		want          provider.Reason
	}{
		{"at once", testTime, testTime, ""},
		{"at the last moment", expires, expires, ""},
		{"a moment late", expires.Add(1), expires.Add(1), provider.TokenExpired},
		{"slow upload", expires, expires.Add(time.Hour), ""},
		{"stalled upload", expires, expires.Add(time.Hour + 1), provider.TokenExpired},
		{"no time of arrival", time.Time{}, expires.Add(1), provider.TokenExpired},
		{"no time of arrival, in time", time.Time{}, expires, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.now = tc.now
			_, err := b.Parse(context.Background(), provider.Request{Host: "example.com", Received: tc.received},
				map[string]string{"altcha": payload})
			if tc.want != "" {
				wantReason(t, err, tc.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSignerErrors(t *testing.T) {
	b := newBench(t)
	payload := b.solved(t)
	fault := errors.New("keys are away")
	b.env.Signer = &testSigner{err: fault}
	_, err := b.parse(payload)
	var refusal *provider.Refusal
	if !errors.Is(err, fault) || errors.As(err, &refusal) {
		t.Errorf("got %v, want the signer's own error", err)
	}
	b.env.Signer = &testSigner{secret: "another key"}
	_, err = b.parse(payload)
	wantReason(t, err, provider.TokenInvalid)
}

func TestNodesD116(t *testing.T) {
	b := newBench(t)
	core, logs := observer.New(zap.InfoLevel)
	b.env.Logger = zap.New(core)
	payload := b.solved(t)

	b.since = testTime.Truncate(time.Millisecond)
	if _, err := b.parse(payload); err != nil {
		t.Errorf("issued at the very beginning: %v", err)
	}
	b.since = testTime.Add(time.Millisecond)
	_, err := b.parse(payload)
	wantReason(t, err, provider.TokenExpired)
	b.node = "node-b"
	for range 3 {
		if _, err := b.parse(payload); err != nil {
			t.Errorf("another node's: %v", err)
		}
	}
	entries := logs.TakeAll()
	if len(entries) != 1 || entries[0].Level != zap.WarnLevel || !strings.Contains(entries[0].Message, "store redis") {
		t.Errorf("logged %v, want one warning", entries)
	}
	for i := range 100 {
		if _, err := b.parse(b.forge(b.saltWith("node", fmt.Sprintf("%08x", i)), "1")); err != nil {
			t.Fatal(err)
		}
	}
	if got := logs.Len(); got != maxNodes-1 {
		t.Errorf("%d nodes logged, want no more than %d in all", got, maxNodes)
	}

	b.since = time.Time{} // a shared store
	logs.TakeAll()
	b.foreign = new(nodeSet)
	for _, node := range []string{"node-a", "node-b"} {
		b.node = node
		if _, err := b.parse(payload); err != nil {
			t.Error(err)
		}
	}
	if logs.Len() != 0 {
		t.Errorf("logged %v with a shared store", logs.All())
	}
}

func BenchmarkParse(b *testing.B) {
	p := newBench(b)
	req := p.request()
	fields := map[string]string{"altcha": p.solved(b)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(context.Background(), req, fields); err != nil {
			b.Fatal(err)
		}
	}
}
