package geetest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

const (
	testLot = "4dc3cfc2cdff448cad8d13107198d473"
	// openssl dgst -sha256 -hmac
	hmacOfLot   = "237a0fba6882835a69c6f023d838c0bdbc5f2c2fab5ab0b3b741fa2205b24362"
	hmacOfProbe = "7254adacbd95cc964fae70208ae1f90080b68be561fb7beffc3a26a67c81a3b7"
)

// fake4 is GeeTest's API of version 4. It passes the pass_token "good".
type fake4 struct {
	validate atomic.Value // body instead of the true one
	status   atomic.Value
}

func (f *fake4) protocol(s *providertest.Server) providertest.Answerer {
	truth := providertest.GeeTest4{ID: testID, Key: testKey, Passes: func(token string) bool { return token == "good" }}.Protocol(s)
	return func(c providertest.Call) (int, string) {
		if c.Path == "/status" {
			if c.Method != http.MethodGet || c.Query.Encode() != "gt="+testID+"&v=4" {
				s.Strict("%s %s %v", c.Method, c.Path, c.Query)
			}
			return 200, body(&f.status, `{"status":"success"}`)
		}
		form, _ := url.ParseQuery(string(c.Body))
		if want := map[string]string{testLot: hmacOfLot, strings.Repeat("0", 32): hmacOfProbe}[form.Get(fieldLot)]; form.Get("sign_token") != want {
			s.Strict("sign_token %s, want %s", form.Get("sign_token"), want)
		}
		status, answer := truth(c)
		return status, body(&f.validate, answer)
	}
}

type bench4 struct {
	*Provider4
	now time.Time
}

func serve4(t testing.TB, f *fake4) (*bench4, *providertest.Server) {
	t.Helper()
	s := providertest.Serve(t, f.protocol)
	b := &bench4{Provider4: &Provider4{Account{CaptchaID: testID, CaptchaKey: testKey, APIURL: s.URL()}}, now: testTime}
	if err := providertest.Provision(t, b.Provider4); err != nil {
		t.Fatal(err)
	}
	env, _ := providertest.NewEnv()
	env.Now = func() time.Time { return b.now }
	if err := b.Bind(env); err != nil {
		t.Fatal(err)
	}
	return b, s
}

func token4(lot, output, pass, made string) map[string]string {
	return map[string]string{fieldLot: lot, fieldOutput: output, fieldPass: pass, fieldTime: made}
}

func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func (b *bench4) judge(fields map[string]string) (provider.Verdict, error) {
	req := provider.Request{Host: "example.com", Received: b.now}
	token, err := b.Parse(context.Background(), req, fields)
	if err != nil {
		return provider.Verdict{}, err
	}
	return b.Verify(context.Background(), req, token)
}

func TestValidate4(t *testing.T) {
	for _, tt := range []struct {
		body   string
		want   provider.Outcome
		reason provider.Reason
		class  provider.Class
	}{
		{"", provider.Pass, "", ""},
		{`{"status":"success","result":"success"}`, provider.Pass, "", ""},
		{`{"status":"success","result":"success","captcha_args":null}`, provider.Pass, "", ""},
		{`{"status":"success","result":"success","captcha_args":{"lot_number":null}}`, provider.Pass, "", ""},
		{`{"status":"success","result":"success","captcha_args":{"lot_number":"` + strings.Repeat("0", 32) + `"}}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"success","result":"success","captcha_args":{"lot_number":""}}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"success","result":"success","captcha_args":{"lot_number":1}}`, 0, "", provider.Unavailable},
		{`{"status":"success","result":"success","captcha_args":"` + testLot + `"}`, 0, "", provider.Unavailable},
		{`{"status":"success","result":"fail","reason":"pass_token expire"}`, provider.Fail, provider.TokenExpired, ""},
		{`{"status":"success","result":"fail","reason":"pass_token repeat"}`, provider.Fail, provider.TokenDuplicate, ""},
		{`{"status":"success","result":"fail","reason":"pass_token error","captcha_args":[]}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"success","result":"fail"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","code":"-50304","msg":"lot_number not match"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","code":"-50003"}`, provider.Fail, provider.TokenDuplicate, ""},
		{`{"status":"error","code":"50305"}`, provider.Fail, provider.TokenExpired, ""},
		{`{"status":"error","code":-50308}`, provider.Fail, provider.TokenExpired, ""},
		{`{"status":"error","code":"-99999"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","code":"what"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","result":"success"}`, provider.Fail, provider.TokenInvalid, ""},
		{`{"status":"error","code":"-50101"}`, 0, "", provider.Misconfigured},
		{`{"status":"error","code":"50102"}`, 0, "", provider.Misconfigured},
		{`{"status":"error","code":50103}`, 0, "", provider.Misconfigured},
		{`{"status":"error","code":"-50104"}`, 0, "", provider.Misconfigured},
		{`{"status":"error","code":-50105}`, 0, "", provider.Misconfigured},
		{`{"status":"error","code":"-50000"}`, 0, "", provider.Unavailable},
		{`{"result":"success"}`, 0, "", provider.Unavailable},
		{`{"status":"fail","result":"success"}`, 0, "", provider.Unavailable},
		{`{"status":"success","result":"SUCCESS"}`, 0, "", provider.Unavailable},
		{`{"status":"success","result":true}`, 0, "", provider.Unavailable},
		{`{"status":true,"result":"success"}`, 0, "", provider.Unavailable},
		{`[{"status":"success","result":"success"}]`, 0, "", provider.Unavailable},
		{`{"status":"success","result":"success"}}`, 0, "", provider.Unavailable},
		{`null`, 0, "", provider.Unavailable},
	} {
		f := &fake4{}
		f.validate.Store(tt.body)
		b, _ := serve4(t, f)
		v, err := b.judge(token4(testLot, "b3V0cHV0_-+/=", "good", seconds(b.now)))
		if v.Outcome != tt.want || v.Reason != tt.reason || classOf(t, err) != tt.class {
			t.Errorf("%s: %+v, %v; want outcome %d, reason %q, class %q", tt.body, v, err, tt.want, tt.reason, tt.class)
		}
	}
}

func TestFaults4(t *testing.T) {
	f := &fake4{}
	providertest.Suite{
		Protocol: f.protocol,
		New: func(t testing.TB, url string) provider.Provider {
			p := &Provider4{Account{CaptchaID: testID, CaptchaKey: testKey, APIURL: url}}
			if err := providertest.Provision(t, p); err != nil {
				t.Fatal(err)
			}
			return p
		},
		Fields:  token4(testLot, "outputoutput", "good", seconds(time.Now())),
		Secrets: []string{testKey, hmacOfLot},
	}.Run(t)
}

func TestProbe4(t *testing.T) {
	for _, tt := range []struct {
		body string
		want provider.Class
	}{
		{"", ""},
		{`{"status":"error","code":"-50005"}`, ""},
		{`{"status":"error","code":"-50304"}`, ""},
		{`{"status":"error","code":"-50102"}`, provider.Misconfigured},
		{`{"status":"error","code":"-50000"}`, provider.Unavailable},
		{`{"status":"success","result":"success"}`, provider.Unavailable},
		{`{}`, provider.Unavailable},
	} {
		f := &fake4{}
		f.validate.Store(tt.body)
		b, _ := serve4(t, f)
		if err := b.Probe(context.Background()); classOf(t, err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
}

func TestParse4D23D38(t *testing.T) {
	b, s := serve4(t, &fake4{})
	now := seconds(testTime)
	for _, tt := range []struct {
		lot, output, pass, made string
		want                    provider.Reason
	}{
		{testLot, "o", "p", now, ""},
		{testLot, "o", "p", now + "000", ""}, // milliseconds
		{testLot, "o", "p", seconds(testTime.Add(-maxAge)), ""},
		{testLot, "o", "p", seconds(testTime.Add(maxAhead)), ""},
		{testLot, strings.Repeat("o", maxOutput), strings.Repeat("p", maxPass), now, ""},
		{"", "", "", "", provider.TokenMissing},
		{testLot, "o", "p", " ", provider.TokenMissing},
		{strings.ToUpper(testLot), "o", "p", now, provider.TokenInvalid},
		{testLot + "0", "o", "p", now, provider.TokenInvalid},
		{testLot[1:] + "g", "o", "p", now, provider.TokenInvalid},
		{testLot, strings.Repeat("o", maxOutput+1), "p", now, provider.TokenInvalid},
		{testLot, "o&sign_token=x", "p", now, provider.TokenInvalid},
		{testLot, "o", strings.Repeat("p", maxPass+1), now, provider.TokenInvalid},
		{testLot, "o", "p\n", now, provider.TokenInvalid},
		{testLot, "o", "p", "abc", provider.TokenInvalid},
		{testLot, "o", "p", "-777896000", provider.TokenInvalid},
		{testLot, "o", "p", now + ".5", provider.TokenInvalid},
		{testLot, "o", "p", "0", provider.TokenInvalid},
		{testLot, "o", "p", strings.Repeat("9", 40), provider.TokenInvalid},
		{testLot, "o", "p", seconds(testTime.Add(maxAhead + time.Second)), provider.TokenInvalid},
		{testLot, "o", "p", seconds(testTime.Add(-maxAge - time.Second)), provider.TokenExpired},
	} {
		req := provider.Request{Received: testTime}
		token, err := b.Parse(context.Background(), req, token4(tt.lot, tt.output, tt.pass, tt.made))
		if reasonOf(err) != tt.want || (err != nil) != (tt.want != "") {
			t.Errorf("%q, %.40q, %.40q, %q: %v, want %q", tt.lot, tt.output, tt.pass, tt.made, err, tt.want)
		}
		if err == nil && (token.Key != "geetest4:"+testLot || token.Expires.Before(testTime.Add(maxAge+maxUpload))) {
			t.Errorf("%+v", token)
		}
	}
	b.now = testTime.Add(maxAge + maxUpload + time.Second)
	if _, err := b.Parse(context.Background(), provider.Request{Received: testTime}, token4(testLot, "o", "p", now)); reasonOf(err) != provider.TokenExpired {
		t.Error(err)
	}
	if len(s.Calls()) > 0 {
		t.Error("Parse called")
	}
}

func TestNoCallWhileDown4(t *testing.T) {
	b, s := serve4(t, &fake4{})
	token, err := b.Parse(context.Background(), provider.Request{}, token4(testLot, "o", "good", seconds(b.now)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(context.Background(), provider.Request{Down: true}, token); classOf(t, err) != provider.Unavailable || len(s.Calls()) > 0 {
		t.Error(err, s.Calls())
	}
	if v, err := b.Verify(context.Background(), provider.Request{}, token); v.Outcome != provider.Pass {
		t.Error(v, err)
	}
}

func TestStatus4(t *testing.T) {
	b, s := serve4(t, &fake4{})
	if up, err := b.Status(context.Background()); up || !errors.Is(err, errNoStatusAPI) || b.HasStatusAPI() {
		t.Error(up, err)
	}
	b.bypass = s.URL() + "/status?v=4"
	if up, err := b.Status(context.Background()); !up || err != nil || !b.HasStatusAPI() {
		t.Error(up, err)
	}
}

func FuzzParse4(f *testing.F) {
	b, _ := serve4(f, &fake4{})
	f.Add(testLot, "o", "p", seconds(testTime))
	f.Add(testLot, "", "p", "9999999999")
	f.Fuzz(func(t *testing.T, lot, output, pass, made string) {
		token, err := b.Parse(context.Background(), provider.Request{Received: testTime}, token4(lot, output, pass, made))
		if err != nil {
			if reasonOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if token.Key != "geetest4:"+lot || len(lot) != 32 {
			t.Errorf("%+v", token)
		}
	})
}

// FuzzAnswer4 is FuzzAnswers for version 4.
func FuzzAnswer4(f *testing.F) {
	for _, s := range []string{
		`{"status":"success","result":"success"}`, `{"status":"error","code":"-50005"}`, `{"status":"success","result":"fail","reason":"pass_token expire"}`,
		`{"status":"success","result":"success","captcha_args":{"lot_number":"` + testLot + `"}}`, `{"status":"error","code":-50101}`, `{"status":"error","code":"\u001b` + testKey + `"}`,
		`{"status":"success","result":"success","captcha_args":{"lot_number":"x"}}`, `{"status":"success","RESULT":"fail","result":"success","captcha_args":[]}`,
	} {
		f.Add([]byte(s))
	}
	b, _ := serve4(f, &fake4{})
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := b.read(outbound.Answer{Status: 200, Body: text}, token4(testLot, "o", "p", seconds(testTime)))
		checkRead(t, text, v, err)
		if v.Outcome != provider.Pass {
			return
		}
		if member(text, "status") != "success" || member(text, "result") != "success" {
			t.Errorf("%s passes", text)
		}
		if lot := member([]byte(member(text, "captcha_args")), "lot_number"); lot != "" && lot != testLot {
			t.Errorf("%s passes, and is about %q", text, lot)
		}
	})
}
