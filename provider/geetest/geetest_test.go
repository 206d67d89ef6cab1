package geetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func (b *bench) document(t testing.TB, req provider.Request) document {
	t.Helper()
	raw, err := b.Challenge(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The digests were computed with md5sum, sha256sum and openssl dgst -hmac.
const (
	md5OfOriginAndKey    = "0d3525ebd125cf997411de260b75c872"
	sha256OfOriginAndKey = "b4cb2343372dbdd5d6014326ccb27f144b78ac6860ca67fbf0ce763a0391483b"
	hmacOfOrigin         = "77bcc9cc6d1557fcf66e95dcdc0fc849ad10bf15ee86564bec9fe2d5908b1a2a"

	testValidate = "7c4a8d09ca3762af61e59520943dc264"
	testSeccode  = testValidate + "|jordan"

	md5OfSeccode    = "d3b550cedf437607fc2ae17126473b44"
	sha256OfSeccode = "958048e57095af184c27b7b7d8b7fdd58e6fca524013ca57a034d08a47ffa100"
	hmacOfSeccode   = "7aeabdedaca4878a5773131e34daab3f268ff47cc82f9ebb5b5b89ceb976296b"
)

func TestRegister(t *testing.T) {
	for digest, want := range map[string]string{
		"md5": md5OfOriginAndKey, "sha256": sha256OfOriginAndKey, "hmac-sha256": hmacOfOrigin,
	} {
		b, _ := serve(t, &fake3{digest: digest}, func(p *Provider) { p.Digest = digest })
		raw, err := b.Challenge(context.Background(), b.request())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(raw), `{"success":1,"gt":"`+testID+`","challenge":"`+want+`","new_captcha":true}`; got != want {
			t.Errorf("%s: %s, want %s", digest, got, want)
		}
	}
}

func TestRegisterThatFails(t *testing.T) {
	for _, tt := range []struct {
		body string
		want provider.Class
	}{
		{`{"challenge":"0"}`, provider.Misconfigured},
		{`{"challenge":""}`, provider.Misconfigured},
		{`{"challenge":"5f2b9c1d7e3a48608c4d1e2f3a4b5c6"}`, provider.Misconfigured},
		{`{"challenge":"` + strings.Repeat("A", 32) + `"}`, provider.Misconfigured},
		{`{"status":"error","error_code":"error_31"}`, provider.Misconfigured},
		{`{"error_code":"32","challenge":"` + testOrigin + `"}`, provider.Misconfigured},
		{`{"error_code":42}`, provider.Misconfigured},
		{`{"error_code":"-34"}`, provider.Misconfigured},
		{`{"error_code":"00"}`, provider.Unavailable},
		{`{"challenge":0}`, provider.Unavailable},
		{`{"challenge":null}`, provider.Unavailable},
		{`{}`, provider.Unavailable},
		{`0`, provider.Unavailable},
		{`["challenge"]`, provider.Unavailable},
		{`<html>`, provider.Unavailable},
		{`{"challenge":"` + testOrigin + `"} x`, provider.Unavailable},
	} {
		f := &fake3{}
		f.register.Store(tt.body)
		b, s := serve(t, f)
		if _, err := b.Challenge(context.Background(), b.request()); classOf(t, err) != tt.want {
			t.Errorf("Challenge, %s: %v, want %s", tt.body, err, tt.want)
		}
		if err := b.Probe(context.Background()); classOf(t, err) != tt.want {
			t.Errorf("Probe, %s: %v, want %s", tt.body, err, tt.want)
		}
		if len(s.Calls()) != 3 {
			t.Errorf("%d calls", len(s.Calls()))
		}
	}
	b := newBench(t, "")
	if _, err := b.Challenge(context.Background(), b.request()); classOf(t, err) != provider.Unavailable {
		t.Error("unreachable:", err)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		digest, body string
		want         provider.Outcome
		reason       provider.Reason
		class        provider.Class
	}{
		{"md5", `{"seccode":"` + md5OfSeccode + `"}`, provider.Pass, "", ""},
		{"sha256", `{"seccode":"` + sha256OfSeccode + `"}`, provider.Pass, "", ""},
		{"sha256", `{"seccode":"` + md5OfSeccode + `"}`, provider.Pass, "", ""},
		{"hmac-sha256", `{"seccode":"` + hmacOfSeccode + `"}`, provider.Pass, "", ""},
		{"hmac-sha256", `{"seccode":"` + md5OfSeccode + `"}`, provider.Pass, "", ""},
		{"md5", `{"seccode":"` + sha256OfSeccode + `"}`, provider.Fail, provider.TokenInvalid, ""},
		{"sha256", `{"seccode":"` + hmacOfSeccode + `"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":"` + strings.ToUpper(md5OfSeccode) + `"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":"false"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":"true"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":""}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":"` + testSeccode + `"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"seccode":"` + md5OfSeccode + `","error_code":"error_22"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"error_code":"error_02"}`, provider.Fail, provider.TokenDuplicate, ""},
		{"md5", `{"error_code":"11"}`, provider.Fail, provider.TokenDuplicate, ""},
		{"md5", `{"error_code":51}`, provider.Fail, provider.TokenDuplicate, ""},
		{"md5", `{"error_code":"68"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"error_code":"later_9"}`, provider.Fail, provider.TokenInvalid, ""},
		{"md5", `{"error_code":"31"}`, 0, "", provider.Misconfigured},
		{"md5", `{"error_code":"00"}`, 0, "", provider.Unavailable},
		{"md5", `{"seccode":false}`, 0, "", provider.Unavailable},
		{"md5", `{"seccode":null}`, 0, "", provider.Unavailable},
		{"md5", `{"seccode":["` + md5OfSeccode + `"]}`, 0, "", provider.Unavailable},
		{"md5", `{"error_code":true}`, 0, "", provider.Unavailable},
		{"md5", `{"status":"error"}`, 0, "", provider.Unavailable},
		{"md5", `{}`, 0, "", provider.Unavailable},
		{"md5", `"` + md5OfSeccode + `"`, 0, "", provider.Unavailable},
		{"md5", md5OfSeccode, 0, "", provider.Unavailable},
	} {
		f := &fake3{digest: tt.digest}
		f.validate.Store(tt.body)
		b, _ := serve(t, f, func(p *Provider) { p.Digest = tt.digest })
		v, err := b.judge(b.request(), token3(md5OfOriginAndKey+"a9", testValidate, testSeccode))
		if v.Outcome != tt.want || v.Reason != tt.reason || classOf(t, err) != tt.class {
			t.Errorf("%s, %s: %+v, %v; want outcome %d, reason %q, class %q", tt.digest, tt.body, v, err, tt.want, tt.reason, tt.class)
		}
	}
}

func TestFaults(t *testing.T) {
	f := &fake3{pass: testSeccode, digest: "md5"}
	providertest.Suite{
		Protocol: f.protocol,
		New: func(t testing.TB, url string) provider.Provider {
			p := &Provider{Account: Account{CaptchaID: testID, CaptchaKey: testKey, APIURL: url + "/", BypassURL: url + "/v1/bypass_status.php"}}
			if err := providertest.Provision(t, p); err != nil {
				t.Fatal(err)
			}
			return p
		},
		Fields:  token3(md5OfOriginAndKey, testValidate, testSeccode),
		Secrets: []string{testKey},
	}.Run(t)
}

// Challenge and Status meet the same faults as Verify.
func TestFaultsOfChallengeAndStatus(t *testing.T) {
	b, s := serve(t, &fake3{})
	for fault, class := range providertest.Classes() {
		if fault == providertest.BadCertificate {
			continue // TestFaults
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		s.Inject(fault)
		if _, err := b.Challenge(ctx, b.request()); classOf(t, err) != class {
			t.Errorf("Challenge, %s: %v, want %s", fault, err, class)
		}
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
		if up, err := b.Status(ctx); up || err == nil {
			t.Errorf("Status, %s: %t, %v; no answer says nothing", fault, up, err)
		}
		cancel()
	}
	if len(s.Elsewhere()) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestStatusD47(t *testing.T) {
	for _, tt := range []struct {
		body    string
		up, err bool
	}{
		{`{"status":"success"}`, true, false},
		{`{"status":"fail"}`, false, false},
		{`{"status":"FAIL"}`, false, true},
		{`{"status":true}`, false, true},
		{`{"status":""}`, false, true},
		{`{}`, false, true},
		{`<!doctype html>`, false, true}, // the guide's method 2: bypass_url http://www.google.com
	} {
		f := &fake3{}
		f.status.Store(tt.body)
		b, _ := serve(t, f)
		if up, err := b.Status(context.Background()); up != tt.up || (err != nil) != tt.err {
			t.Errorf("%s: %t, %v", tt.body, up, err)
		}
	}
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		body string
		want provider.Class
	}{
		{`{"seccode":"false"}`, ""},
		{`{"error_code":"error_23"}`, ""},
		{`{"error_code":"00"}`, provider.Unavailable},
		{`{"error_code":"32"}`, provider.Misconfigured},
		{`{"seccode":"` + md5Hex(strings.Repeat("0", 32)+"|jordan") + `"}`, provider.Unavailable},
		{`{"seccode":7}`, provider.Unavailable},
	} {
		f := &fake3{}
		f.validate.Store(tt.body)
		b, _ := serve(t, f)
		if err := b.Probe(context.Background()); classOf(t, err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
}

// A token of GeeTest's that meets the outage is neither judged nor sent.
func TestNoCallWhileDown(t *testing.T) {
	b, s := serve(t, &fake3{pass: testSeccode})
	req := b.request()
	req.Down = true
	fields := token3(md5OfOriginAndKey, testValidate, testSeccode)
	v, err := b.judge(req, fields)
	if v.Outcome == provider.Pass || classOf(t, err) != provider.Unavailable || errors.Is(err, errOffline) {
		t.Error(v, err)
	}
	b.document(t, req)
	if n := len(s.Calls()); n > 0 {
		t.Errorf("%d calls", n)
	}
	// and counts again after it
	if v, err := b.judge(b.request(), fields); v.Outcome != provider.Pass {
		t.Error(v, err)
	}
}

// FuzzAnswers reads what GeeTest's API may answer. None passes, is a challenge or
// says that GeeTest is up unless encoding/json finds exactly that in it.
func FuzzAnswers(f *testing.F) {
	b := newBench(f, "")
	for _, s := range []string{
		`{"seccode":"false"}`, `{"seccode":"x"}`, `{"seccode":"` + md5OfSeccode + `"}`, `{"error_code":"error_32"}`, `{"challenge":"0"}`,
		`{"status":"success","result":"success","captcha_args":{"lot_number":"x"}}`, `{"code":-50005}`, `{"code":""}`, "", "null",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		answer := outbound.Answer{Status: 200, Body: text}
		v, err := b.read(answer, md5OfOriginAndKey, testSeccode)
		checkRead(t, text, v, err)
		if v.Outcome == provider.Pass && (member(text, "seccode") != md5OfSeccode || member(text, "error_code") != "" && !bytes.Contains(text, []byte("null"))) {
			t.Errorf("%s passes", text)
		}
		challenge, err := registered(answer)
		if err == nil && (len(challenge) != 32 || challenge != member(text, "challenge")) || err != nil && challenge != "" {
			t.Errorf("%s is the challenge %q (%v)", text, challenge, err)
		}
		if up, err := isUp(answer); up && (err != nil || member(text, "status") != "success") {
			t.Errorf("%s says that GeeTest is up", text)
		}
	})
}

// checkRead checks what every reading of an answer must be.
func checkRead(t *testing.T, text []byte, v provider.Verdict, err error) {
	t.Helper()
	if err != nil && (v.Outcome != provider.Fail || classOf(t, err) == "") || err == nil && v.Outcome == provider.Fail && v.Reason == "" {
		t.Errorf("%s: %+v, %v", text, v, err)
	}
	if len(v.Detail) > 120 || strings.ContainsFunc(v.Detail, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Contains(v.Detail, testKey) {
		t.Errorf("%s: the log gets %q", text, v.Detail)
	}
}

// member is a member of an object as encoding/json reads it, in any case and the
// last of its name: the string, or the spelling of anything else.
func member(text []byte, name string) (value string) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	for d.More() {
		key, err := d.Token()
		var raw json.RawMessage
		if err != nil || d.Decode(&raw) != nil {
			return ""
		}
		if k, ok := key.(string); !ok || !strings.EqualFold(k, name) || string(raw) == "null" {
			continue
		}
		if json.Unmarshal(raw, &value) != nil {
			value = string(raw)
		}
	}
	return value
}
