package altcha

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestV2Parameters(t *testing.T) {
	p := newProvider(t, nil)
	good := parametersV2()
	at := func(d time.Duration) string { return fmt.Sprintf(`"expiresAt":%d`, testTime.Add(d).Unix()) }
	expiry := at(10 * time.Minute)
	for _, tc := range []struct {
		name, old, new string
		want           provider.Reason
	}{
		{"good", "", "", ""},
		{"an upper-case prefix", `"keyPrefix":"0"`, `"keyPrefix":"A"`, ""},
		{"an odd prefix", `"keyPrefix":"0"`, `"keyPrefix":"00a"`, ""},
		{"now", expiry, at(0), ""},
		{"expired", expiry, at(-time.Second), provider.TokenExpired},
		{"too far ahead", expiry, at(maxLifetime + 2*maxSkew), provider.TokenInvalid},
		{"no expiry", expiry + ",", "", provider.TokenInvalid},
		{"a null expiry", expiry, `"expiresAt":null`, provider.TokenInvalid},
		{"an expiry of 0", expiry, `"expiresAt":0`, provider.TokenExpired},
		{"an expiry in text", expiry, `"expiresAt":"1795227000"`, provider.TokenInvalid},
		{"a fraction", expiry, expiry + ".5", provider.TokenInvalid},
		{"milliseconds", expiry, expiry + "000", provider.TokenInvalid},
		{"an empty prefix", `"keyPrefix":"0"`, `"keyPrefix":""`, provider.TokenInvalid},
		{"no prefix", `"keyPrefix":"0",`, ``, provider.TokenInvalid},
		{"a prefix that is no hex", `"keyPrefix":"0"`, `"keyPrefix":"g"`, provider.TokenInvalid},
		{"a prefix longer than the key", `"keyPrefix":"0"`, `"keyPrefix":"` + strings.Repeat("0", 65) + `"`, provider.TokenInvalid},
		{"an unknown parameter", `"cost":2`, `"cost":2,"counterMode":"string"`, provider.TokenInvalid},
		{"cost 0", `"cost":2`, `"cost":0`, provider.TokenInvalid},
		{"cost in text", `"cost":2`, `"cost":"2"`, provider.TokenInvalid},
		{"too dear", `"cost":2`, `"cost":1000001`, provider.TokenInvalid},
		{"no cost", `"cost":2,`, ``, provider.TokenInvalid},
		{"key of 0 bytes", `"keyLength":32`, `"keyLength":0`, provider.TokenInvalid},
		{"a huge key", `"keyLength":32`, `"keyLength":65`, provider.TokenInvalid},
		{"an odd nonce", `"nonce":"00ff"`, `"nonce":"00f"`, provider.TokenInvalid},
		{"an empty nonce", `"nonce":"00ff"`, `"nonce":""`, provider.TokenInvalid},
		{"a nonce of another type", `"nonce":"00ff"`, `"nonce":1`, provider.TokenInvalid},
		{"a salt that is no hex", `"salt":"ff00"`, `"salt":"xx"`, provider.TokenInvalid},
		{"SHA-1", `"SHA-256"`, `"SHA-1"`, provider.TokenInvalid},
		{"PBKDF2/SHA-1", `"SHA-256"`, `"PBKDF2/SHA-1"`, provider.TokenInvalid},
		{"no algorithm", `"algorithm":"SHA-256",`, "", provider.TokenInvalid},
		{"SCRYPT without memory", `"algorithm":"SHA-256"`, `"algorithm":"SCRYPT"`, provider.TokenInvalid},
		{"ARGON2ID without memory", `"algorithm":"SHA-256"`, `"algorithm":"ARGON2ID"`, provider.TokenInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parameters := strings.Replace(good, tc.old, tc.new, 1)
			if tc.old != "" && parameters == good {
				t.Fatal("the row changes nothing")
			}
			_, err := p.judge(forgeV2(parameters))
			wantReason(t, err, tc.want)
		})
	}
}

func TestDerivationBoundsD99D106(t *testing.T) {
	for _, tc := range []struct {
		d  derivation
		ok bool
	}{
		{derivation{algorithm: "SCRYPT", cost: 1 << 16, memoryCost: 8, parallelism: 1, keyLength: 32}, true},
		{derivation{algorithm: "SCRYPT", cost: 1 << 17, memoryCost: 8, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "SCRYPT", cost: 1 << 16, memoryCost: 8, parallelism: 5, keyLength: 32}, false},
		{derivation{algorithm: "SCRYPT", cost: 1000, memoryCost: 8, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "SCRYPT", cost: 1, memoryCost: 8, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "SCRYPT", cost: 16, memoryCost: -1, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "SCRYPT", cost: 2, memoryCost: 1 << 53, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 4, memoryCost: 65536, parallelism: 8, keyLength: 32}, true},
		{derivation{algorithm: "ARGON2ID", cost: 5, memoryCost: 65536, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 1, memoryCost: 65537, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 17, memoryCost: 64, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 1, memoryCost: 7, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 1, memoryCost: 64, parallelism: 9, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 1, memoryCost: 64, parallelism: 0, keyLength: 32}, false},
		{derivation{algorithm: "ARGON2ID", cost: 1, memoryCost: 64, parallelism: 1, keyLength: 3}, false},
		{derivation{algorithm: "PBKDF2/SHA-512", cost: maxIterations, parallelism: 1, keyLength: 64}, true},
		{derivation{algorithm: "PBKDF2", cost: 1, parallelism: 1, keyLength: 32}, false},
		{derivation{algorithm: "", cost: 1, parallelism: 1, keyLength: 32}, false},
	} {
		if wrong := tc.d.bounds(); (wrong == "") != tc.ok {
			t.Errorf("%+v: %q", tc.d, wrong)
		}
	}
}

// TestV2Solution answers a genuine challenge wrongly.
func TestV2SolutionD104D105(t *testing.T) {
	p := newProvider(t, nil)
	doc := decode(t, forgeV2(parametersV2()))
	challenge, rest, _ := strings.Cut(doc, `"solution":`)
	_, key, _ := strings.Cut(rest, `"derivedKey":"`)
	key = key[:64]
	// The key of counter 0xffffffff, which begins with no 0: equality alone,
	// as in libraries that do not look at the prefix, would let it pass.
	v, _ := parseDocument([]byte(parametersV2()))
	d, _ := newDerivation(v)
	honest := ""
	for d.counter = 1 << 31; honest == "" || strings.HasPrefix(honest, "0"); d.counter++ {
		derived, _ := d.derive()
		honest = fmt.Sprintf("%x", derived)
	}
	for name, solution := range map[string]string{
		"a key without the prefix":    fmt.Sprintf(`{"counter":%d,"derivedKey":"%s"}`, d.counter-1, honest),
		"a made-up key":               `{"counter":0,"derivedKey":"` + strings.Repeat("0", 64) + `"}`,
		"the key with another number": `{"counter":4294967295,"derivedKey":"` + key + `"}`,
		"beyond 32 bits":              `{"counter":4294967296,"derivedKey":"` + key + `"}`,
		"a negative counter":          `{"counter":-1,"derivedKey":"` + key + `"}`,
		"a fraction":                  `{"counter":0.5,"derivedKey":"` + key + `"}`,
		"a counter in text":           `{"counter":"0","derivedKey":"` + key + `"}`,
		"an upper-case key":           `{"counter":0,"derivedKey":"` + strings.ToUpper(key) + `"}`,
		"a short key":                 `{"counter":0,"derivedKey":"0"}`,
		"an empty key":                `{"counter":0,"derivedKey":""}`,
		"a null key":                  `{"counter":0,"derivedKey":null}`,
		"no key":                      `{"counter":0}`,
		"an empty solution":           `{}`,
		"no object":                   `[]`,
		"null":                        `null`,
		"one member more":             `{"counter":0,"derivedKey":"` + key + `","x":1}`,
		"time in text":                `{"counter":0,"derivedKey":"` + key + `","time":"1"}`,
	} {
		_, err := p.judge(encode(challenge + `"solution":` + solution + `}`))
		if err == nil {
			t.Errorf("%s passes", name)
		}
	}
	for name, change := range map[string][2]string{
		"an easier challenge": {`"cost":2`, `"cost":1`},
		"a later expiry":      {`"expiresAt":17`, `"expiresAt":18`},
		"another order":       {`"algorithm":"SHA-256","cost":2`, `"cost":2,"algorithm":"SHA-256"`},
	} {
		_, err := p.judge(encode(strings.Replace(doc, change[0], change[1], 1)))
		if pass := name == "another order"; (err == nil) != pass {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A derivation waits for its turn, and not for ever.
func TestDerivationWaitsD99(t *testing.T) {
	p := newProvider(t, nil)
	token, err := p.parse(forgeV2(parametersV2()))
	if err != nil {
		t.Fatal(err)
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = p.Verify(ctx, request(), token)
	wantClass(t, err, provider.Unavailable)
	for range cap(slots) {
		<-slots
	}
	if v, err := p.Verify(context.Background(), request(), token); err != nil || v.Outcome != provider.Pass {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestCanonical compares with what JSON.stringify of sorted objects and Go's
// encoding/json write.
func TestCanonical(t *testing.T) {
	in := "{\"b\":[1.50,{\"z\":null,\"a\":true}],\"10\":1,\"9\":2,\"01\":3,\"é\":\"<&>\\\"\\\\\\u2028\\u0001\\n\\u007f\",\"\U0001f600\":1,\"\ufb01\":2}"
	doc, err := parseDocument([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	js := "{\"9\":2,\"10\":1,\"01\":3,\"b\":[1.50,{\"a\":true,\"z\":null}],\"é\":\"<&>\\\"\\\\\u2028\\u0001\\n\u007f\",\"\U0001f600\":1,\"\ufb01\":2}"
	if got := string(doc.append(nil, javascript, true)); got != js {
		t.Errorf("JavaScript:\n%s, want\n%s", got, js)
	}
	golang_ := "{\"01\":3,\"10\":1,\"9\":2,\"b\":[1.50,{\"a\":true,\"z\":null}],\"é\":\"\\u003c\\u0026\\u003e\\\"\\\\\\u2028\\u0001\\n\u007f\",\"\ufb01\":2,\"\U0001f600\":1}"
	if got := string(doc.append(nil, golang, true)); got != golang_ {
		t.Errorf("Go:\n%s, want\n%s", got, golang_)
	}
	for _, bad := range []string{"", "{", "[", `{"a":1,"a":2}`, `{"a":1}x`, `{"a"}`, `{1:2}`, strings.Repeat("[", 40) + strings.Repeat("]", 40)} {
		if _, err := parseDocument([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// The widgets' btoa writes é as one byte.
func TestLatin1(t *testing.T) {
	parameters := strings.Replace(parametersV2(), `"expiresAt"`, `"data":{"x":"é"},"expiresAt"`, 1)
	payload := forgeV2(parameters)
	p := newProvider(t, nil)
	want, err := p.judge(payload)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.judge(encode(strings.ReplaceAll(decode(t, payload), "é", "\xe9")))
	if err != nil || got.Key != want.Key {
		t.Errorf("got %s, %v; want %s", got.Key, err, want.Key)
	}
}
