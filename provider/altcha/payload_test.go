package altcha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

func TestGolden(t *testing.T) {
	p := newProvider(t, nil)
	other := newProvider(t, func(p *Provider) { p.HMACKey = strings.Repeat("k", 32) })
	keys := map[string]string{}
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			token, err := p.judge(g.payload)
			if err != nil {
				t.Fatal(err)
			}
			if want := testExpires.Add(maxUpload); !token.Expires.Equal(want) || !token.Issued.IsZero() || token.Role != "" {
				t.Errorf("got %+v", token)
			}
			// Two spellings of one payload are spent together.
			if twin := keys[token.Key]; twin != "" && twin+", spelt by Go" != g.name {
				t.Errorf("has the key of %s", twin)
			}
			keys[token.Key] = g.name
			_, err = other.judge(g.payload)
			wantReason(t, err, provider.TokenInvalid)
			late := request()
			late.Received = testExpires.Add(time.Second)
			_, err = p.Parse(context.Background(), late, map[string]string{field: g.payload})
			wantReason(t, err, provider.TokenExpired)
		})
	}
}

// What clients send where there is no proof, the widgets' test payloads among it
// (PROVIDERS.md, part 2).
func TestNoProof(t *testing.T) {
	p := newProvider(t, nil)
	for _, allow := range []bool{false, true} {
		bind(t, p, func(env *provider.Env) { env.AllowTestKeys = allow })
		for payload, want := range map[string]provider.Reason{
			"": provider.TokenMissing, " \n": provider.TokenMissing, //nolint:gocritic // blank is missing too
			"undefined": provider.TokenInvalid, ".ERROR": provider.TokenInvalid,
			encode("null"): provider.TokenInvalid, encode("[]"): provider.TokenInvalid, encode("{}"): provider.TokenInvalid,
			encode(`{"challenge":null,"solution":null,"test":true}`):                                                               provider.TokenInvalid,
			encode(`{"algorithm":"SHA-256","challenge":"","number":0,"salt":"1a1fbca7c13","signature":"","test":true,"took":435}`): provider.TokenInvalid,
			encode(`{"challenge":null,"solution":null}`):                                                                           provider.TokenInvalid,
			encode(`{"challenge":{"parameters":{},"signature":""},"solution":{"counter":0,"derivedKey":""}}`):                      provider.TokenInvalid,
			// Made by the widget 3.2.2 for another key, in v1.
			"eyJhbGdvcml0aG0iOiJTSEEtMjU2IiwiY2hhbGxlbmdlIjoiMDA2NDQ2ZGFlMDEzZTUzZWY1ZDVlOTdhOTc0YjQyMTczNTBmODU5MmRkNDk2ZjJhOTUyNjI1MTRkZmJkNmQ2OCIsIm51bWJlciI6MTE4NCwic2FsdCI6Ijc0MzM0ZWUyYjk5ZTAyMmQ4NTc4MGNmZj9leHBpcmVzPTE3OTUyMjYyMjAmIiwic2lnbmF0dXJlIjoiMjFiNjc1ODhiYzVlM2ZhMmU3Njg3YjgyMmM3ODUxZGQ5OGE3OGIzYjEzN2Y0OWUwMmRlMjE0OTNmMjNjNTEyZiIsInRvb2siOjEyMi42fQ==": provider.TokenInvalid,
		} {
			_, err := p.judge(payload)
			wantReason(t, err, want)
			if len(payload) > 8 && strings.Contains(err.Error(), payload) {
				t.Errorf("the payload is told: %v", err)
			}
		}
	}
	_, err := p.Parse(context.Background(), request(), nil)
	wantReason(t, err, provider.TokenMissing)
	if _, err := p.Verify(context.Background(), request(), provider.Token{}); err == nil {
		t.Error("a token of nobody's passes")
	}
}

// TestSpelling: the same proof in other words is refused, or spent as the same.
func TestSpellingD55(t *testing.T) {
	p := newProvider(t, nil)
	for _, good := range []string{forgeV1(goodSalt(), "12"), forgeV2(parametersV2()), forgeSentinel(goodData())} {
		want, err := p.judge(good)
		if err != nil {
			t.Fatal(err)
		}
		doc := decode(t, good)
		for name, payload := range map[string]string{
			"line break":       good[:8] + "\r\n" + good[8:],
			"space":            good + " ",
			"no padding":       strings.TrimRight(encode(doc+strings.Repeat(" ", 2-len(doc)%3)), "="),
			"whitespace":       encode(strings.Replace(doc, ":", ": ", 1)),
			"behind":           encode(doc + "\n"),
			"second document":  encode(doc + doc),
			"byte order mark":  encode("\ufeff" + doc),
			"unknown member":   encode(strings.Replace(doc, "{", `{"x":1,`, 1)),
			"test":             encode(strings.Replace(doc, "{", `{"test":false,`, 1)),
			"duplicate":        encode(strings.Replace(doc, `"signature"`, `"signature":"","signature"`, 1)),
			"case":             encode(strings.Replace(doc, `"signature"`, `"Signature"`, 1)),
			"escaped name":     encode(strings.Replace(doc, `"signature"`, `"\u0073ignature"`, 1)),
			"upper-case proof": encode(strings.Replace(doc, sig(doc), strings.ToUpper(sig(doc)), 1)),
			"short proof":      encode(strings.Replace(doc, sig(doc), sig(doc)[:62], 1)),
			"another proof":    encode(strings.Replace(doc, sig(doc), strings.Repeat("0", 64), 1)),
			"no proof":         encode(strings.Replace(doc, `"`+sig(doc)+`"`, `null`, 1)),
			"too long":         encode(doc + strings.Repeat(" ", maxPayload)),
			"deep":             encode(strings.Replace(doc, "{", `{"x":`+strings.Repeat("[", 50)+strings.Repeat("]", 50)+`,`, 1)),
		} {
			_, err := p.judge(payload)
			if err == nil {
				t.Errorf("%s of %s passes", name, doc)
			} else {
				wantReason(t, err, provider.TokenInvalid)
			}
		}
		again, err := p.judge(encode(strings.ReplaceAll(doc, "&", `\u0026`)))
		if err != nil || again.Key != want.Key {
			t.Errorf("in Go's spelling: %s, %v; want %s", again.Key, err, want.Key)
		}
	}
}

// sig is the signature in a payload's JSON.
func sig(doc string) string {
	_, rest, _ := strings.Cut(doc, `"signature":"`)
	return rest[:64]
}

func TestV1(t *testing.T) {
	p := newProvider(t, nil)
	at := func(d time.Duration) string { return fmt.Sprint(testTime.Add(d).Unix()) }
	for _, tc := range []struct {
		name, salt, number string
		want               provider.Reason
	}{
		{"good", goodSalt(), "12", ""},
		{"number 0", goodSalt(), "0", ""},
		{"more parameters", "00ff?ctx=a+b&expires=" + at(time.Minute) + "&x=%C3%A9&", "12", ""},
		{"expire", "00ff?expire=" + at(time.Minute) + "&", "12", ""},
		{"now", "00ff?expires=" + at(0) + "&", "12", ""},
		{"24 hours", "00ff?expires=" + at(maxLifetime) + "&", "12", ""},
		{"expired", "00ff?expires=" + at(-time.Second) + "&", "12", provider.TokenExpired},
		{"too far ahead", "00ff?expires=" + at(maxLifetime+2*maxSkew) + "&", "12", provider.TokenInvalid},
		{"milliseconds", "00ff?expires=" + at(0) + "000&", "12", provider.TokenInvalid},
		{"no & at the end (CVE-2025-68113)", "00ff?expires=" + at(time.Minute), "12", provider.TokenInvalid},
		{"spliced", "00ff?expires=" + at(time.Minute) + "&1", "2", provider.TokenInvalid},
		{"no expiry", "00ff?x=1&", "12", provider.TokenInvalid},
		{"no parameters", "00ff", "12", provider.TokenInvalid},
		{"only an end", "00ff?&", "12", provider.TokenInvalid},
		{"no random part", "?expires=" + at(time.Minute) + "&", "12", provider.TokenInvalid},
		{"two expiries", "00ff?expires=" + at(time.Minute) + "&expires=" + at(time.Hour) + "&", "12", provider.TokenInvalid},
		{"two names for it", "00ff?expire=" + at(time.Minute) + "&expires=" + at(time.Hour) + "&", "12", provider.TokenInvalid},
		{"two spellings of it", "00ff?expires=" + at(time.Minute) + "&%65xpires=" + at(time.Hour) + "&", "12", provider.TokenInvalid},
		{"a malformed name", "00ff?expires=" + at(time.Minute) + "&%xpires=" + at(time.Hour) + "&", "12", ""},
		{"a negative expiry", "00ff?expires=-1&", "12", provider.TokenInvalid},
		{"a fraction", "00ff?expires=" + at(time.Minute) + ".5&", "12", provider.TokenInvalid},
		{"NaN", "00ff?expires=NaN&", "12", provider.TokenInvalid},
		{"a space", "00 ff?expires=" + at(time.Minute) + "&", "12", provider.TokenInvalid},
		{"not ours", "00ff?expires=" + at(time.Minute) + "&caddy=x&", "12", provider.TokenInvalid},
		{"a leading zero", goodSalt(), "012", provider.TokenInvalid},
		{"a fraction of a number", goodSalt(), "1.0", provider.TokenInvalid},
		{"an exponent", goodSalt(), "1e1", provider.TokenInvalid},
		{"a negative number", goodSalt(), "-1", provider.TokenInvalid},
		{"a long number", goodSalt(), "1234567890123456", provider.TokenInvalid},
		{"a number as text", goodSalt(), `"12"`, provider.TokenInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := p.judge(forgeV1(tc.salt, tc.number))
			wantReason(t, err, tc.want)
		})
	}
}

func TestV1Members(t *testing.T) {
	p := newProvider(t, nil)
	doc := decode(t, forgeV1(goodSalt(), "12"))
	for name, change := range map[string][2]string{
		"SHA-1":              {`"SHA-256"`, `"SHA-1"`},
		"SHA-512":            {`"SHA-256"`, `"SHA-512"`},
		"lower case":         {`"SHA-256"`, `"sha-256"`},
		"another number":     {`"number":12`, `"number":13`},
		"another salt":       {"00ff", "00fe"},
		"took is text":       {`"took":1.5`, `"took":"1"`},
		"algorithm a number": {`"SHA-256"`, `256`},
		"no salt":            {`"salt":`, `"pepper":`},
	} {
		_, err := p.judge(encode(strings.Replace(doc, change[0], change[1], 1)))
		if err == nil {
			t.Errorf("%s passes", name)
		}
	}
	for _, took := range []string{"0", "646", "122.6", "1e3"} {
		if _, err := p.judge(encode(strings.Replace(doc, "1.5", took, 1))); err != nil {
			t.Errorf("took %s: %v", took, err)
		}
	}
	if _, err := p.judge(encode(strings.Replace(doc, `,"took":1.5`, "", 1))); err != nil {
		t.Errorf("no took: %v", err)
	}
}

func TestSentinel(t *testing.T) {
	p := newProvider(t, nil)
	token, err := p.parse(forgeSentinel(goodData()))
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Verify(context.Background(), request(), token)
	if err != nil || v.Outcome != provider.Pass || v.Score == nil || *v.Score != 0.5 || v.Detail != "classification GOOD" {
		t.Errorf("got %+v, %v", v, err)
	}
	at := testExpires.Unix()
	for data, want := range map[string]provider.Reason{
		fmt.Sprintf("expire=%d&verified=true", at):                "",
		fmt.Sprintf("expire=%d&verified=true&score=NaN", at):      "",
		fmt.Sprintf("expire=%d&verified=false", at):               provider.TokenInvalid,
		fmt.Sprintf("expire=%d&verified=1", at):                   provider.TokenInvalid,
		fmt.Sprintf("expire=%d", at):                              provider.TokenInvalid,
		fmt.Sprintf("expire=%d&verified=false&verified=true", at): provider.TokenInvalid,
		"verified=true":          provider.TokenInvalid,
		"expire=&verified=true":  provider.TokenInvalid,
		"expire=0&verified=true": provider.TokenExpired,
		fmt.Sprintf("expire=%d&expire=%d&verified=true", at, at):  provider.TokenInvalid,
		fmt.Sprintf("expire=%d&verified=true", at+int64(48*3600)): provider.TokenInvalid,
		fmt.Sprintf("expire=%d&verified=true&x=%%zz", at):         provider.TokenInvalid,
		fmt.Sprintf("expire=%d&verified=true&x=1;2", at):          provider.TokenInvalid,
	} {
		token, err := p.judge(forgeSentinel(data))
		wantReason(t, err, want)
		if err == nil && token.Data.(judgement).score != nil {
			t.Errorf("%s has a score", data)
		}
	}
	doc := decode(t, forgeSentinel(goodData()))
	for name, change := range map[string][2]string{
		"not verified outside": {`"verified":true`, `"verified":false`},
		"verified as text":     {`"verified":true`, `"verified":"true"`},
		"verified as 1":        {`"verified":true`, `"verified":1`},
		"SHA-1":                {`"SHA-256"`, `"SHA-1"`},
		"another score":        {"score=0.5", "score=0.1"},
		"id is a number":       {`{`, `{"id":1,`},
	} {
		if _, err := p.judge(encode(strings.Replace(doc, change[0], change[1], 1))); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	// The id is not signed: it may be absent or another, and counts for nothing.
	for _, id := range []string{"a", "b"} {
		again, err := p.judge(encode(strings.Replace(doc, "{", `{"id":"`+id+`","apiKey":"key_1",`, 1)))
		if err != nil || again.Key != token.Key {
			t.Errorf("id %s: %s, %v", id, again.Key, err)
		}
	}
}

func FuzzPayload(f *testing.F) {
	p := newProvider(f, nil)
	genuine := map[string]bool{}
	for _, g := range golden {
		f.Add(g.payload)
		token, err := p.parse(g.payload)
		if err != nil {
			f.Fatal(err)
		}
		genuine[token.Key] = true
	}
	f.Add("")
	f.Add(encode(`{"challenge":null,"solution":null,"test":true}`))
	f.Fuzz(func(t *testing.T, payload string) {
		token, err := p.parse(payload)
		if err != nil {
			if _, ok := errors.AsType[*provider.Refusal](err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if !genuine[token.Key] { // nothing else is signed
			t.Fatalf("%q is accepted as %s", payload, token.Key)
		}
	})
}
