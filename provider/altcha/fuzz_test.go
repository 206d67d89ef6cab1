package altcha

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzSigned reads what an ALTCHA server may sign: the salt of v1, Sentinel's data
// and the parameters of v2. What is accepted says once, for any reader, when it
// expires, and costs no more than it may.
func FuzzSigned(f *testing.F) {
	at := fmt.Sprint(testExpires.Unix())
	for _, seed := range []string{
		goodSalt(), goodSalt() + "expires=" + at + "&", "00ff?expire=" + at + "&caddy=1.1.0011223344556677.&", "?expires=0&", "a?b?expires=" + at + ";&expire=01&", "00ff?%65xpires=1&", goodSalt() + "%65xpire=" + at + "&",
		goodData(), goodData() + "&expire=9999999999", "verified=true&score=NaN&expire=" + at, "verified=%74rue&score=-Inf&expire=" + at, "verified=true;&expire=+1",
		parametersV2(), strings.NewReplacer("SHA-256", "ARGON2ID", `"cost":2`, `"cost":2,"memoryCost":64`).Replace(parametersV2()),
		strings.NewReplacer("SHA-256", "SCRYPT", `"cost":2`, `"cost":16384,"memoryCost":8,"parallelism":1`).Replace(parametersV2()),
		strings.NewReplacer("SHA-256", "SCRYPT", `"cost":2`, `"cost":131072,"memoryCost":8`).Replace(parametersV2()),
		strings.Replace(parametersV2(), `"cost":2`, `"cost":2,"data":{"a":["\u2028",1e2]}`, 1),
	} {
		for kind := range uint8(3) {
			f.Add(kind, seed)
		}
	}
	p := newProvider(f, nil)
	for kind, good := range []string{goodSalt(), goodData(), parametersV2()} {
		payload, _ := signAny(uint8(kind), good)
		if _, err := p.parse(payload); err != nil {
			f.Fatalf("%s: %v", good, err)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		payload, expiry := signAny(kind%3, text)
		if payload == "" {
			return
		}
		token, err := p.parse(payload)
		if err != nil {
			return
		}
		if at, ok := expiry(); !ok || !time.Unix(at, 0).Add(maxUpload).Equal(token.Expires) {
			t.Fatalf("%q expires at %d (%v), not at %s", text, at, ok, token.Expires.Add(-maxUpload))
		}
		j := token.Data.(judgement)
		if j.score != nil && (math.IsNaN(*j.score) || math.IsInf(*j.score, 0)) {
			t.Fatalf("%q: score %g", text, *j.score)
		}
		if d := j.work; d != nil && (d.memory() > maxMemory || d.cost > maxIterations || d.keyLength > maxKeyLength || len(d.nonce)+len(d.salt) > 128) {
			t.Fatalf("%q: %+v", text, d)
		}
	})
}

// memory is how many bytes a derivation takes, without any chance to overflow.
func (d *derivation) memory() float64 {
	switch d.algorithm {
	case "SCRYPT":
		return 128 * float64(d.cost) * float64(d.memoryCost)
	case "ARGON2ID":
		return 1024 * float64(d.memoryCost)
	}
	return 0
}

// signAny signs text as something of a kind, and returns how others read when that
// expires. The payload is empty where text cannot be of that kind.
func signAny(kind uint8, text string) (payload string, expiry func() (int64, bool)) {
	if !utf8.ValidString(text) {
		return "", nil
	}
	quoted := string(value{kind: '"', text: text}.append(nil, javascript, false))
	switch kind {
	case 0:
		challenge := fmt.Sprintf("%x", sha256.Sum256([]byte(text+"7")))
		return encode(fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%s","number":7,"salt":%s,"signature":"%s"}`, challenge, quoted, sign(challenge))),
			func() (int64, bool) {
				_, query, _ := strings.Cut(text, "?")
				return expiryIn(query, "expires", "expire")
			}
	case 1:
		sum := sha256.Sum256([]byte(text))
		return encode(fmt.Sprintf(`{"algorithm":"SHA-256","signature":"%s","verificationData":%s,"verified":true}`, sign(string(sum[:])), quoted)),
			func() (int64, bool) { return expiryIn(text, "expire") }
	}
	doc, err := parseDocument([]byte(text))
	if err != nil || doc.kind != '{' {
		return "", nil
	}
	length, _ := doc.get("keyLength").integer()
	if h := hashes[doc.get("algorithm").text]; h != nil {
		length = min(length, int64(h().Size()))
	}
	key := doc.get("keyPrefix").text
	key += strings.Repeat("0", max(0, 2*int(min(length, maxKeyLength))-len(key)))
	return encode(fmt.Sprintf(`{"challenge":{"parameters":%s,"signature":"%s"},"solution":{"counter":0,"derivedKey":%s,"time":1}}`,
			doc.append(nil, javascript, false), sign(string(doc.append(nil, javascript, true))), value{kind: '"', text: strings.ToLower(key)}.append(nil, javascript, false))),
		func() (int64, bool) {
			d := json.NewDecoder(bytes.NewReader([]byte(text)))
			d.UseNumber()
			var all map[string]any
			if d.Decode(&all) != nil {
				return 0, false
			}
			at, ok := all["expiresAt"].(json.Number)
			n, err := strconv.ParseInt(string(at), 10, 64)
			return n, ok && err == nil
		}
}

// expiryIn reads the only one of some parameters of a query.
func expiryIn(query string, names ...string) (int64, bool) {
	var all []string
	values, _ := url.ParseQuery(query) // a malformed pair is dropped, the others count
	for _, name := range names {
		all = append(all, values[name]...)
	}
	if len(all) != 1 {
		return 0, false
	}
	at, err := strconv.ParseInt(all[0], 10, 64)
	return at, err == nil
}
