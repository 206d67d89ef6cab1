package trustcaptcha

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestParseRegular(t *testing.T) {
	p := newProvider(t, "", nil)
	for _, tc := range []struct{ name, doc string }{
		{"as the gateway gives it", `{"verificationId":"` + testID + `","expiresAt":"2026-11-21T02:10:00.000Z"}`},
		{"upper case", `{"verificationId":"` + strings.ToUpper(testID) + `"}`},
		{"no expiry", `{"verificationId":"` + testID + `"}`},
		{"an expiry of another form", `{"verificationId":"` + testID + `","expiresAt":1795226301}`},
		{"not a failover", `{"verificationId":"` + testID + `","clientFailover":false}`},
		{"null", `{"verificationId":"` + testID + `","clientFailover":null}`},
		{"a failover of another name", `{"verificationId":"` + testID + `","ClientFailover":true}`},
		{"an early expiry", `{"verificationId":"` + testID + `","expiresAt":"2026-11-21T01:57:21Z"}`},
		{"a late expiry", `{"verificationId":"` + testID + `","expiresAt":"2126-11-21T01:57:21Z"}`},
		{"expired within the skew", `{"verificationId":"` + testID + `","expiresAt":"2026-11-21T01:56:30Z"}`},
		{"unknown members", `{"verificationId":"` + testID + `","unknownField":"foo","anotherJunk":42,"nested":{"x":1}}`},
		{"of version 2", `{"apiEndpoint":"https://evil.example","verificationId":"` + testID + `","encryptedAccessToken":"token"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := p.parse(encode(tc.doc))
			if err != nil {
				t.Fatal(err)
			}
			// One key, however the id is written, and a memory that no
			// client shortens.
			if token.Key != "trustcaptcha:"+testID || !token.Expires.Equal(testTime.Add(remember)) {
				t.Errorf("got %s until %s", token.Key, token.Expires)
			}
			if c := token.Data.(claim); c.failover || c.id != testID {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestParseRefused(t *testing.T) {
	p := newProvider(t, "", failover)
	good := regular(testID)
	doc := func(members string) string { return encode(`{"verificationId":"` + testID + `",` + members + `}`) }
	for _, tc := range []struct {
		name, raw string
		want      provider.Reason
	}{
		{"nothing", "", provider.TokenMissing},
		{"space", " \t", provider.TokenMissing},
		{"null", "null", provider.TokenInvalid},
		{"a line break", good[:8] + "\n" + good[8:], provider.TokenInvalid},
		{"no padding", strings.TrimRight(encode(`{"verificationId":"`+testID+`"} `), "="), provider.TokenInvalid},
		{"the URL alphabet", "e-_-", provider.TokenInvalid},
		{"too long", encode(strings.Repeat(" ", maxToken) + "{}"), provider.TokenInvalid},
		{"no JSON", encode("x"), provider.TokenInvalid},
		{"JSON null", encode("null"), provider.TokenInvalid},
		{"an array", encode("[]"), provider.TokenInvalid},
		{"two documents", encode("{}{}"), provider.TokenInvalid},
		{"no id", encode("{}"), provider.TokenInvalid},
		{"a null id", encode(`{"verificationId":null}`), provider.TokenInvalid},
		{"another case of the name", encode(`{"verificationID":"` + testID + `"}`), provider.TokenInvalid},
		{"a traversal", encode(`{"verificationId":"../../v2/verifications/x"}`), provider.TokenInvalid},
		{"a traversal behind a test id", encode(`{"verificationId":"00000000-0000-0000-0000-000000000000/../x"}`), provider.TokenInvalid},
		{"an id with a query", encode(`{"verificationId":"` + testID + `?x"}`), provider.TokenInvalid},
		{"an id in braces", encode(`{"verificationId":"{` + testID + `}"}`), provider.TokenInvalid},
		{"an id without hyphens", encode(`{"verificationId":"` + strings.ReplaceAll(testID, "-", "") + `"}`), provider.TokenInvalid},
		{"a hyphen elsewhere", encode(`{"verificationId":"7a5909d5b-fc1-4f81-b9a9-3bd115b1ea73"}`), provider.TokenInvalid},
		{"failover as text", doc(`"clientFailover":"true"`), provider.TokenInvalid},
		{"failover as number", doc(`"clientFailover":1`), provider.TokenInvalid},
		{"expired, it says", doc(`"expiresAt":"2026-11-21T01:50:00Z"`), provider.TokenExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.parse(tc.raw)
			wantReason(t, err, tc.want)
			if len(tc.raw) > 8 && strings.Contains(err.Error(), tc.raw) {
				t.Errorf("the token is told: %v", err)
			}
		})
	}
	_, err := p.Parse(context.Background(), request(), nil)
	wantReason(t, err, provider.TokenMissing)
}

// The tokens of the tests of TrustCaptcha's library for Rust 3.0.0, and the
// rest of their range.
func TestTestIDsD61(t *testing.T) {
	p := newProvider(t, "", nil)
	tokens := []string{
		"eyJ2ZXJpZmljYXRpb25JZCI6IjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCJ9",
		"eyJ2ZXJpZmljYXRpb25JZCI6IjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwNCJ9",
	}
	for digit := range "0123456789" {
		tokens = append(tokens, regular(testIDs+string(rune('0'+digit))))
	}
	for _, raw := range tokens {
		_, err := p.parse(raw)
		wantReason(t, err, provider.TokenInvalid)
	}
	if _, err := p.parse(regular(testIDs + "a")); err != nil {
		t.Errorf("an id beside the range: %v", err)
	}
	p.env.AllowTestKeys = true
	for _, raw := range tokens {
		if _, err := p.parse(raw); err != nil {
			t.Errorf("with allow_test_keys: %v", err)
		}
	}
}

func TestParseClientFailoverD40(t *testing.T) {
	_, err := newProvider(t, "", nil).parse(realFailover)
	wantReason(t, err, provider.TokenInvalid) // off by default

	p := newProvider(t, "", failover)
	token, err := p.parse(realFailover)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Date(2026, 11, 21, 2, 12, 19, 454e6, time.UTC)
	if token.Key != "trustcaptcha:"+realID || !token.Expires.Equal(expires.Add(maxUpload)) {
		t.Errorf("got %s until %s", token.Key, token.Expires)
	}
	if c := token.Data.(claim); !c.failover {
		t.Errorf("got %+v", c)
	}
	at := func(d time.Duration) string { return testTime.Add(d).Format(time.RFC3339Nano) }
	for _, tc := range []struct {
		name, expires string
		want          provider.Reason
	}{
		{"now", `"` + at(0) + `"`, ""},
		{"16 minutes ahead", `"` + at(maxAhead) + `"`, ""},
		{"another zone", `"2026-11-21T03:10:00+01:00"`, ""},
		{"expired", `"` + at(-time.Millisecond) + `"`, provider.TokenExpired},
		{"too far ahead", `"` + at(maxAhead+time.Second) + `"`, provider.TokenInvalid},
		{"years ahead", `"2099-01-01T00:00:00Z"`, provider.TokenInvalid},
		{"a number", `1795226301`, provider.TokenInvalid},
		{"no zone", `"2026-11-21T02:10:00"`, provider.TokenInvalid},
		{"null", `null`, provider.TokenInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.parse(encode(`{"verificationId":"` + realID + `","expiresAt":` + tc.expires + `,"clientFailover":true}`))
			if tc.want == "" && err != nil {
				t.Fatal(err)
			}
			if tc.want != "" {
				wantReason(t, err, tc.want)
			}
		})
	}
	_, err = p.parse(encode(`{"verificationId":"` + realID + `","clientFailover":true}`))
	wantReason(t, err, provider.TokenInvalid)

	// A slow upload counts from when it began, and not for ever.
	req := provider.Request{Received: expires.Add(-time.Second)}
	for after, want := range map[time.Duration]bool{time.Minute: true, maxUpload + time.Second: false} {
		p.env.Now = func() time.Time { return expires.Add(after) }
		if _, err := p.Parse(context.Background(), req, map[string]string{field: realFailover}); (err == nil) != want {
			t.Errorf("%s after the expiry: %v", after, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	p := newProvider(f, "", failover)
	for _, seed := range []string{"", "null", realFailover, regular(testID), regular(testID) + "\n", regular(testIDs + "0"), encode("{}"), encode(`{"verificationId":"` + testID + `/.."}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := p.parse(raw)
		if err != nil {
			if _, ok := errors.AsType[*provider.Refusal](err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		id := token.Data.(claim).id
		if again, ok := parseUUID(id); !ok || again != id || token.Key != "trustcaptcha:"+id || isTestID(id) {
			t.Fatalf("%q has the id %q", raw, id)
		}
		if token.Expires.Before(testTime) || token.Expires.After(testTime.Add(remember)) {
			t.Fatalf("%q expires %s", raw, token.Expires)
		}
	})
}
