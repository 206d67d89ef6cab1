package geetest

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

var local = regexp.MustCompile(`^[0-9a-z]{32}$`)

func TestLocalChallenge(t *testing.T) {
	b := newBench(t, "")
	seen := make(map[string]bool)
	for range 500 { // in one second
		doc := b.document(t, provider.Request{Host: "example.com", Down: true})
		if doc.Success != 0 || doc.GT != testID || !doc.NewCaptcha || !local.MatchString(doc.Challenge) {
			t.Fatalf("%+v", doc)
		}
		if seen[doc.Challenge] {
			t.Fatal("twice:", doc.Challenge)
		}
		seen[doc.Challenge] = true
		token, err := b.Parse(context.Background(), b.request(), offlineAnswer(doc.Challenge))
		if err != nil {
			t.Fatal(err)
		}
		if !token.Issued.Equal(testTime) || token.Role != "" || token.Data != ours || !token.Expires.Equal(testTime.Add(70*time.Minute)) {
			t.Fatalf("%+v", token)
		}
	}
}

// The claim key follows from geetest_challenge alone, and from nothing that a
// client may vary.
func TestOneClaimKey(t *testing.T) {
	b := newBench(t, "")
	key := func(fields map[string]string) string {
		token, err := b.Parse(context.Background(), b.request(), fields)
		if err != nil {
			t.Fatal(err)
		}
		return token.Key
	}
	want := key(token3(md5OfOriginAndKey, testValidate, testSeccode))
	for _, fields := range []map[string]string{
		token3(md5OfOriginAndKey, testValidate, "x"),
		token3(md5OfOriginAndKey, "0", testSeccode),
		token3(md5OfOriginAndKey+"a9", testValidate, testSeccode), // the slide widget
		token3(md5OfOriginAndKey+"z", testValidate, testSeccode),
		{fieldChallenge: md5OfOriginAndKey, fieldValidate: testValidate, fieldSeccode: testSeccode, "more": "x"},
	} {
		if got := key(fields); got != want || !strings.Contains(got, md5OfOriginAndKey) {
			t.Errorf("%v: %q, want %q", fields, got, want)
		}
	}
	if a, b := key(token3(sha256OfOriginAndKey, "v", "s")), key(token3(sha256OfOriginAndKey+"7k", "v", "s")); a != b {
		t.Error(a, b)
	}
}

func TestForgedLocalChallengesD40(t *testing.T) {
	b := newBench(t, "")
	good := b.local(t, "example.com")
	foreign := newBench(t, "", func(p *Provider) { p.CaptchaID = "another" })
	foreignKey := newBench(t, "")
	foreignKey.signer.current = keyB
	flips := []string{
		foreign.local(t, "example.com"),
		foreignKey.local(t, "example.com"),
		b.local(t, "example.org"),
		"z" + strings.Repeat("z", 31), // more than 160 bits
		"z" + strings.Repeat("0", 31),
		"0123456789abcdefghijklmnopqrstuv",
		good + "aa",
	}
	for i := range good {
		for _, c := range "0z" {
			if rune(good[i]) != c {
				flips = append(flips, good[:i]+string(c)+good[i+1:])
			}
		}
	}
	for _, challenge := range flips {
		req := b.request()
		token, err := b.Parse(context.Background(), req, offlineAnswer(challenge))
		if err != nil || token.Data == ours || !token.Issued.IsZero() {
			t.Fatalf("%s: %+v, %v", challenge, token, err)
		}
		req.Down = true
		v, err := b.Verify(context.Background(), req, token)
		if err != nil || v.Outcome != provider.Fail || v.Reason != provider.TokenInvalid {
			t.Errorf("%s: %+v, %v", challenge, v, err)
		}
	}
}

func TestLocalChallengeInTime(t *testing.T) {
	for _, tt := range []struct {
		name            string
		arrived, judged time.Duration
		reason          provider.Reason
	}{
		{"at once", 0, 0, ""},
		{"at the last moment", lifetime, lifetime, ""},
		{"a second late", lifetime + time.Second, lifetime + time.Second, provider.TokenExpired},
		{"a slow upload", lifetime, lifetime + maxUpload, ""},
		{"a stalled upload", 0, lifetime + maxUpload + time.Second, provider.TokenExpired},
		{"the clock behind", -maxSkew, -maxSkew, ""},
		// From here on it is not even recognised: its low bits mean another time.
		{"the clock too far behind", -maxSkew - time.Second, -maxSkew - time.Second, "none"},
		{"as the low bits come round", 65536 * time.Second, 65536 * time.Second, "none"},
	} {
		b := newBench(t, "")
		challenge := b.local(t, "example.com")
		req := provider.Request{Host: "example.com", Received: testTime.Add(tt.arrived), Down: true}
		b.now = testTime.Add(tt.judged)
		token, err := b.Parse(context.Background(), req, offlineAnswer(challenge))
		got := reasonOf(err)
		if err == nil && token.Data != ours {
			got = "none"
		}
		if got != tt.reason {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.reason)
		}
	}
}

// The memory of spent tokens may be younger than a challenge.
func TestLocalChallengeFromBeforeARestart(t *testing.T) {
	b := newBench(t, "")
	challenge := b.local(t, "example.com")
	b.since = testTime.Add(500 * time.Millisecond)
	if _, err := b.Parse(context.Background(), b.request(), offlineAnswer(challenge)); err != nil {
		t.Error(err)
	}
	b.now = testTime.Add(5 * time.Second)
	b.since = b.now
	if _, err := b.Parse(context.Background(), b.request(), offlineAnswer(challenge)); reasonOf(err) != provider.TokenExpired {
		t.Error(err)
	}
}

func TestSigner(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, "")
	old := b.local(t, "example.com")
	b.signer.current, b.signer.honoured = keyB, []string{keyA}
	if token, err := b.Parse(ctx, b.request(), offlineAnswer(old)); err != nil || token.Data != ours {
		t.Error("after a rotation:", token, err)
	}
	b.signer.honoured = nil
	if token, err := b.Parse(ctx, b.request(), offlineAnswer(old)); err != nil || token.Data != offline {
		t.Error("with a key that is gone:", token, err)
	}
	// Another signer's ids are no hex: its current key is found.
	b.signer.current = "key-1"
	named := b.local(t, "example.com")
	if token, err := b.Parse(ctx, b.request(), offlineAnswer(named)); err != nil || token.Data != ours {
		t.Error(token, err)
	}
	b.signer.current = "key-2"
	if token, err := b.Parse(ctx, b.request(), offlineAnswer(named)); err != nil || token.Data != offline {
		t.Error(token, err)
	}
	b.signer.err = errors.New("storage")
	var r *provider.Refusal
	if _, err := b.Parse(ctx, b.request(), offlineAnswer(named)); err == nil || errors.As(err, &r) {
		t.Error("a fault of ours:", err)
	}
	if _, err := b.Challenge(ctx, provider.Request{Down: true}); err == nil {
		t.Error("no error")
	}
	b.env.Signer = nil
	if _, err := b.Challenge(ctx, provider.Request{Down: true}); !errors.Is(err, errNoSigner) {
		t.Error(err)
	}
	if _, err := b.Parse(ctx, b.request(), offlineAnswer(named)); !errors.Is(err, errNoSigner) {
		t.Error(err)
	}
}

// The statuses of register and of validate, and who made the challenge. captured
// is what the widget of 2020 submitted (PROVIDERS.md, part 2), aa4bc671… what
// the server SDK of 2019 takes for that challenge.
func TestStatusChangesBetweenRegisterAndValidateD50(t *testing.T) {
	const captured = "0123456789abcdefghijklmnopqrstuv"
	f := &fake3{pass: testSeccode}
	b, s := serve(t, f)
	mine := b.local(t, "example.com")
	genuine := b.document(t, b.request()).Challenge
	registered := len(s.Calls())
	for _, tt := range []struct {
		name   string
		fields map[string]string
		down   bool
		want   provider.Outcome
		class  provider.Class
		calls  int
	}{
		{"up, up", token3(genuine, testValidate, testSeccode), false, provider.Pass, "", 1},
		{"up, up, forged", token3(genuine, testValidate, "x|jordan"), false, provider.Fail, "", 1},
		{"up, down", token3(genuine, testValidate, testSeccode), true, provider.Fail, provider.Unavailable, 0},
		{"down, down", offlineAnswer(mine), true, provider.Fail, provider.Unavailable, 0},
		{"down, up", offlineAnswer(mine), false, provider.ClientReported, "", 0},
		{"down, down, md5", token3(mine, md5Hex(mine), "x|jordan"), true, provider.Fail, provider.Unavailable, 0},
		{"down, up, md5", token3(mine, md5Hex(mine), "x|jordan"), false, provider.ClientReported, "", 0},
		{"the browser fell back, up", offlineAnswer(genuine), false, provider.ClientReported, "", 0},
		{"the browser fell back, down", offlineAnswer(genuine), true, provider.Fail, "", 0},
		{"captured, up", token3(captured, captured, captured+"|jordan"), false, provider.ClientReported, "", 0},
		{"captured, down", token3(captured, captured, captured+"|jordan"), true, provider.Fail, "", 0},
		{"captured, md5, up", token3(captured, "aa4bc671", captured+"|jordan"), false, provider.Fail, "", 1},
		{"2019, up", token3(captured, md5Hex(captured), md5Hex(captured)+"|jordan"), false, provider.ClientReported, "", 0},
		{"2019, down", token3(captured, md5Hex(captured), md5Hex(captured)+"|jordan"), true, provider.Fail, "", 0},
		{"the demos take anything, up", token3(captured, "y", "z"), false, provider.Fail, "", 1},
		{"the demos take anything, down", token3(captured, "y", "z"), true, provider.Fail, provider.Unavailable, 0},
		{"a true seccode under an offline answer", token3(genuine, genuine, testSeccode), false, provider.ClientReported, "", 0},
	} {
		before := len(s.Calls())
		req := b.request()
		req.Down = tt.down
		v, err := b.judge(req, tt.fields)
		if v.Outcome != tt.want || classOf(t, err) != tt.class {
			t.Errorf("%s: %+v, %v; want outcome %d, class %q", tt.name, v, err, tt.want, tt.class)
		}
		if isOurs := tt.fields[fieldChallenge] == mine; errors.Is(err, errOffline) != (isOurs && tt.down) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := len(s.Calls()) - before; n != tt.calls {
			t.Errorf("%s: %d calls, want %d", tt.name, n, tt.calls)
		}
	}
	if registered != 1 {
		t.Errorf("%d calls to register, want 1", registered)
	}
	if got := md5Hex(captured); !strings.HasPrefix(got, "aa4bc671") {
		t.Error(got)
	}
}

// An answer to our challenge that no offline widget gives is refused at once.
func TestOddAnswerToALocalChallenge(t *testing.T) {
	b := newBench(t, "")
	mine := b.local(t, "example.com")
	if _, err := b.Parse(context.Background(), b.request(), token3(mine, "x", "y")); reasonOf(err) != provider.TokenInvalid {
		t.Error(err)
	}
}

func TestParseD23(t *testing.T) {
	long := strings.Repeat("a", 300)
	b := newBench(t, "")
	for _, tt := range []struct {
		challenge, validate, seccode string
		want                         provider.Reason
	}{
		{md5OfOriginAndKey, testValidate, testSeccode, ""},
		{sha256OfOriginAndKey, testValidate, testSeccode, ""},
		{"", "", "", provider.TokenMissing}, // the hidden inputs before the widget is solved
		{" ", "\t", "\n", provider.TokenMissing},
		{md5OfOriginAndKey, "", "", provider.TokenMissing},
		{md5OfOriginAndKey, testValidate, "", provider.TokenMissing},
		{"", testValidate, testSeccode, provider.TokenMissing},
		{md5OfOriginAndKey[1:], testValidate, testSeccode, provider.TokenInvalid},
		{md5OfOriginAndKey + "abc", testValidate, testSeccode, provider.TokenInvalid},
		{sha256OfOriginAndKey + "abc", testValidate, testSeccode, provider.TokenInvalid},
		{strings.ToUpper(md5OfOriginAndKey), testValidate, testSeccode, provider.TokenInvalid},
		{md5OfOriginAndKey + " ", testValidate, testSeccode, provider.TokenInvalid},
		{md5OfOriginAndKey, testValidate + "&gt=x", testSeccode, provider.TokenInvalid},
		{md5OfOriginAndKey, long, testSeccode, provider.TokenInvalid},
		{md5OfOriginAndKey, testValidate, long, provider.TokenInvalid},
		{md5OfOriginAndKey, testValidate, "x&captchaid=y", provider.TokenInvalid},
		{md5OfOriginAndKey, testValidate, "x\r\n", provider.TokenInvalid},
	} {
		_, err := b.Parse(context.Background(), b.request(), token3(tt.challenge, tt.validate, tt.seccode))
		if reasonOf(err) != tt.want || (err != nil) != (tt.want != "") {
			t.Errorf("%q, %q, %q: %v, want %q", tt.challenge, tt.validate, tt.seccode, err, tt.want)
		}
	}
	if _, err := b.Parse(context.Background(), b.request(), nil); reasonOf(err) != provider.TokenMissing {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	b := newBench(f, "")
	mine := b.local(f, "example.com")
	f.Add(md5OfOriginAndKey, testValidate, testSeccode)
	f.Add(mine, mine, mine+"|jordan")
	f.Add(mine, md5Hex(mine), "x")
	f.Add("z", "", "|")
	f.Fuzz(func(t *testing.T, challenge, validate, seccode string) {
		token, err := b.Parse(context.Background(), b.request(), token3(challenge, validate, seccode))
		if err != nil {
			if reasonOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if token.Key == "" || !strings.HasPrefix("geetest:"+challenge, token.Key) {
			t.Errorf("key %q of %q", token.Key, challenge)
		}
		// A worker's seeds are signed too, each by its own process.
		isOurs := token.Data == ours
		if isOurs == token.Issued.IsZero() || isOurs && (!local.MatchString(challenge) || !madeOffline(challenge, validate)) {
			t.Errorf("%+v", token)
		}
		req := b.request()
		req.Down = true
		v, err := b.Verify(context.Background(), req, token)
		if v.Outcome == provider.Pass || v.Outcome == provider.ProviderFailover || errors.Is(err, errOffline) != isOurs {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestNoSecretInLogs(t *testing.T) {
	f := &fake3{}
	f.validate.Store(`{"error_code":"77","error":"` + testKey + testSeccode + `"}`)
	b, _ := serve(t, f)
	env, logs := providertest.NewEnv()
	if err := b.Bind(env); err != nil {
		t.Fatal(err)
	}
	v, err := b.judge(provider.Request{}, token3(md5OfOriginAndKey, testValidate, testSeccode))
	if err != nil || v.Outcome != provider.Fail || v.Unknown != "77" || v.Detail != "validate refuses with code 77" || logs.Len() != 0 {
		t.Error(v, err, logs.All())
	}
}
