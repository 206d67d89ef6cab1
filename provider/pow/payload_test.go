package pow

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// respell returns the payload with one text in its JSON replaced.
func respell(t *testing.T, payload, old, new string) string {
	t.Helper()
	doc := decode(t, payload)
	if !strings.Contains(doc, old) {
		t.Fatalf("no %q in %s", old, doc)
	}
	return encode(strings.Replace(doc, old, new, 1))
}

// spelling is a proof in other words, and whether it still is that proof.
type spelling struct {
	name, payload string
	ok            bool
}

// spelled are the spellings that widgets and other clients have.
func spelled(t *testing.T, payload string) []spelling {
	doc := decode(t, payload)
	sub := func(old, new string) string { return respell(t, payload, old, new) }
	members := strings.Split(strings.Trim(doc, "{}"), ",")
	slices.Reverse(members)
	return []spelling{
		{"as it is", payload, true},
		{"took is an integer", sub(`"took":12.5`, `"took":646`), true},
		{"took is 0", sub(`"took":12.5`, `"took":0`), true},
		{"took has an exponent", sub(`"took":12.5`, `"took":-1.25E+1`), true},
		{"no took", sub(`,"took":12.5`, ""), true},
		{"other order", encode("{" + strings.Join(members, ",") + "}"), true},
		{"Go's escaped ampersand", encode(strings.ReplaceAll(doc, "&", `\u0026`)), true},
	}
}

// encoded are other spellings of the base64 around the JSON.
func encoded(t *testing.T, payload string) []spelling {
	doc := decode(t, payload)
	return []spelling{
		{"LF in base64", payload[:8] + "\n" + payload[8:], false},
		{"CR LF in base64", payload + "\r\n", false},
		{"space in base64", payload[:8] + " " + payload[8:], false},
		{"space before", " " + payload, false},
		{"padded", encode(respaced(doc, isPadded)), true},
		{"no padding", strings.TrimRight(encode(respaced(doc, isPadded)), "="), false},
		{"set bits behind the end", trailingBits(t, respaced(doc, isPadded)), false},
		{"slash in base64", encode(respaced(doc, hasSlash)), true},
		{"URL alphabet", strings.ReplaceAll(encode(respaced(doc, hasSlash)), "/", "_"), false},
		{"percent encoding", strings.ReplaceAll(payload, "=", "%3D") + "%3D", false},
		{"twice", payload + payload, false},
	}
}

// written are other spellings of the JSON.
func written(t *testing.T, payload string) []spelling {
	doc := decode(t, payload)
	sub := func(old, new string) string { return respell(t, payload, old, new) }
	return []spelling{
		{"whitespace", sub(`"number":`, `"number": `), false},
		{"leading whitespace", encode(" " + doc), false},
		{"newline behind", encode(doc + "\n"), false},
		{"second document", encode(doc + doc), false},
		{"byte order mark", encode("\ufeff" + doc), false},
		{"unknown member", sub(`{`, `{"x":1,`), false},
		{"empty name", sub(`{`, `{"":1,`), false},
		{"test", sub(`{`, `{"test":true,`), false},
		{"maxnumber", sub(`{`, `{"maxnumber":2000,`), false},
		{"maxNumber", sub(`{`, `{"maxNumber":2000,`), false},
		{"duplicate", sub(`{`, `{"number":1,`), false},
		{"equal duplicate", sub(`{`, `{"algorithm":"SHA-256",`), false},
		{"took twice", sub(`{`, `{"took":1,`), false},
		{"other case", sub(`"signature"`, `"Signature"`), false},
		{"escaped name", sub(`"salt"`, `"s\u0061lt"`), false},
		{"escaped value", sub("?expires", `\u003fexpires`), false},
		{"trailing comma", sub(`12.5}`, `12.5,}`), false},
		{"leading comma", sub(`{`, `{,`), false},
		{"no colon", sub(`"number":`, `"number"`), false},
		{"no end", encode(doc[:len(doc)-1]), false},
		{"salt without its end", sub(`&","signature"`, `","signature"`), false},
		{"longer salt", sub(`&","signature"`, `&&","signature"`), false},
		{"too long", encode(doc + strings.Repeat(" ", maxPayload)), false},
	}
}

// valued are other values of its members.
func valued(t *testing.T, payload string) []spelling {
	doc := decode(t, payload)
	sub := func(old, new string) string { return respell(t, payload, old, new) }
	challenge := doc[strings.Index(doc, `"challenge":`)+13:][:64]
	signature := doc[strings.Index(doc, `"signature":`)+13:][:64]
	upper := strings.ToUpper
	return []spelling{
		{"no algorithm", sub(`"algorithm":"SHA-256",`, ""), false},
		{"SHA-1", sub("SHA-256", "SHA-1"), false},
		{"SHA-512", sub("SHA-256", "SHA-512"), false},
		{"sha-256", sub("SHA-256", "sha-256"), false},
		{"challenge in upper case", sub(challenge, upper(challenge)), upper(challenge) == challenge},
		{"signature in upper case", sub(signature, upper(signature)), upper(signature) == signature},
		{"signature cut", sub(signature, signature[:62]), false},
		{"signature empty", sub(signature, ""), false},
		{"signature null", sub(`"`+signature+`"`, "null"), false},
		{"another signature", sub(signature, strings.Repeat("0", 64)), false},
		{"took is a string", sub(`12.5`, `"12.5"`), false},
		{"took is null", sub(`12.5`, `null`), false},
		{"took is no number", sub(`12.5`, `NaN`), false},
		{"took has a leading zero", sub(`12.5`, `012.5`), false},
		{"took ends in a dot", sub(`12.5`, `12.`), false},
		{"took ends in e", sub(`12.5`, `12e`), false},
		{"number is a string", sub(`"number":`, `"number":"`), false},
		{"number is negative", sub(`"number":`, `"number":-`), false},
		{"number has a leading zero", sub(`"number":`, `"number":0`), false},
		{"number has a plus", sub(`"number":`, `"number":+`), false},
		{"number has a fraction", sub(`,"salt"`, `.0,"salt"`), false},
		{"number has an exponent", sub(`,"salt"`, `e0,"salt"`), false},
		{"number is null", sub(`"number":`, `"number":null,"x":`), false},
		{"number is another", sub(`,"salt"`, `0,"salt"`), false},
		{"number is huge", sub(`,"salt"`, `00000000000000000000,"salt"`), false},
	}
}

// TestOneChallengeOneKey spells one proof in many ways: each is refused, or
// has the key of all others.
func TestOneChallengeOneKeyD55(t *testing.T) {
	b := newBench(t)
	payload := b.solved(t)
	want, err := b.parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(spelled(t, payload), encoded(t, payload), written(t, payload), valued(t, payload))
	for _, tc := range all {
		t.Run(tc.name, func(t *testing.T) {
			token, err := b.parse(tc.payload)
			if !tc.ok {
				wantReason(t, err, provider.TokenInvalid)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if token.Key != want.Key || !token.Expires.Equal(want.Expires) {
				t.Errorf("got %s, %s", token.Key, token.Expires)
			}
		})
	}
}

// respaced moves the proof through base64's groups of three bytes, by a longer
// took in front, until its encoding is as wanted.
func respaced(doc string, as func(string) bool) string {
	for took := "1"; ; took += "1" {
		moved := strings.Replace(doc, "{", `{"took":`+took+",", 1)
		if moved = strings.Replace(moved, `,"took":12.5`, "", 1); as(encode(moved)) {
			return moved
		}
	}
}

func isPadded(s string) bool { return strings.HasSuffix(s, "=") }

func hasSlash(s string) bool { return strings.Contains(s, "/") }

// trailingBits encodes doc so that bits are set which no byte holds.
func trailingBits(t *testing.T, doc string) string {
	t.Helper()
	s := encode(doc)
	end := strings.TrimRight(s, "=")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, end[len(end)-1])
	odd := end[:len(end)-1] + string(alphabet[last+1]) + s[len(end):]
	if got, err := base64.StdEncoding.DecodeString(odd); err != nil || string(got) != doc {
		t.Fatalf("not the same bytes: %v", err)
	}
	return odd
}

func FuzzPayload(f *testing.F) {
	b := newBench(f)
	good := b.forge(b.saltWith("", ""), "1234")
	doc := decode(f, good)
	for _, seed := range []string{
		"", "null", good, good + "\n", encode(doc + " "), encode(strings.Replace(doc, "}", `,"took":1.5}`, 1)),
		encode(strings.ReplaceAll(doc, "&", `\u0026`)), encode(strings.ReplaceAll(doc, "salt", "Salt")),
		encode(`{"challenge":null,"solution":null,"test":true}`), encode(`{"took":-0.1e+5`),
	} {
		f.Add(seed)
	}
	want, err := b.parse(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		token, err := b.parse(payload)
		if err != nil {
			if _, ok := errors.AsType[*provider.Refusal](err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		// Only the seed's challenge is signed, so nothing else can pass,
		// and it must be derivable from what was sent.
		if token.Key != want.Key || !token.Expires.Equal(want.Expires) {
			t.Fatalf("%q has another key", payload)
		}
		p, wrong := decodePayload(payload)
		if wrong != "" || b.forge(p.salt, p.number) != good {
			t.Fatalf("%q was accepted and cannot be derived again", payload)
		}
	})
}

// FuzzSalt reads a salt as appendSalt writes it, or not at all.
func FuzzSalt(f *testing.F) {
	for _, p := range []params{
		{expires: 1_800_000_000, issued: 1_799_999_000_000, cost: 50_000, host: hostTag("example.com"), node: nodeTag("n"), key: "0011223344556677"},
		{host: hostTag(""), node: nodeTag(""), key: "a.b_c-D", role: "fb:1:unreachable"},
	} {
		salt := string(appendSalt(nil, [saltRandom]byte{1, 2}, p))
		for _, change := range [][2]string{{"", ""}, {"&cost=", "&cost=0"}, {"&key", "&KEY"}, {"&node", "&&node"}, {"expires", "issued"}, {"&role=", "&role=%"}, {"?", "&"}} {
			f.Add(strings.Replace(salt, change[0], change[1], 1))
		}
		f.Add(salt + "7")
		f.Add(salt + salt)
	}
	f.Fuzz(func(t *testing.T, salt string) {
		p, ok := parseSalt(salt)
		if !ok {
			return
		}
		var random [saltRandom]byte
		if _, err := hex.Decode(random[:], []byte(salt[:2*saltRandom])); err != nil {
			t.Fatalf("%q: %v", salt, err)
		}
		if again := string(appendSalt(nil, random, p)); again != salt {
			t.Fatalf("%q would be written %q", salt, again)
		}
		// as the widgets read it
		query, err := url.ParseQuery(salt[2*saltRandom+1:])
		if err != nil || len(query["expires"]) != 1 || query.Get("expires") != strconv.FormatInt(p.expires, 10) {
			t.Fatalf("%q expires %q, not %d (%v)", salt, query["expires"], p.expires, err)
		}
	})
}
