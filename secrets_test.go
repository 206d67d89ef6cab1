package captcha

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// secretSites are sites with a provider that has a secret, given in the
// environment; %s is the address of its fake.
var secretSites = func() map[string]secretSite {
	const odd = "client-token-0123456789"
	geetest := " {\n\tcaptcha_id 0123456789abcdef0123456789abcdef\n\tcaptcha_key {env.CAPTCHA_TEST_SECRET}\n\tapi_url %[1]s"
	all := map[string]secretSite{
		"trustcaptcha": {" {\n\tsite_key 11111111-2222-4333-8444-555555555555\n\tapi_key {env.CAPTCHA_TEST_SECRET}\n\tapi_url %[1]s\n}",
			url.Values{"tc-verification-token": {providertest.TrustToken("1f43b9ff-4a66-42fe-bead-748015cf8223", time.Now().Add(10*time.Minute), false)}}},
		"geetest": {geetest + "\n\tbypass_url %[1]s/status\n}", url.Values{
			"geetest_challenge": {"00112233445566778899aabbccddeeff"}, "geetest_validate": {odd}, "geetest_seccode": {odd + "|jordan"},
		}},
		"geetest4": {geetest + "\n}", url.Values{
			"lot_number": {"0123456789abcdef0123456789abcdef"}, "captcha_output": {odd}, "pass_token": {odd}, "gen_time": {fmt.Sprint(time.Now().Unix())},
		}},
		"altcha": {" {\n\thmac_key {env.CAPTCHA_TEST_SECRET}\n\tchallenge_url %[1]s/challenge\n}", url.Values{"altcha": {odd}}},
	}
	for _, r := range providertest.Siteverifies {
		r.Key = "public"
		all[r.Name] = secretSite{" {\n\tsite_key public\n\tsecret_key {env.CAPTCHA_TEST_SECRET}\n\tverify_url %[1]s/siteverify\n}", url.Values{r.Field: {r.Good()}}}
	}
	return all
}()

type secretSite struct {
	options string
	token   url.Values
}

// told makes answers that tell everything that they can: in the place of a code
// the secret, and whatever was sent.
func told(secret string) http.Handler {
	answers := []string{
		`{"success":false,"error-codes":["invalid-input-secret"],"status":"error","code":"50102"}`,
		`{"success":false,"valid":false,"verified":false,"error-codes":[%[1]q],"error":%[1]q,"fail_codes":[%[1]q],"message":%[1]q,"code":%[1]q,` +
			`"status":"error","error_code":%[1]q,"challenge":%[1]q,"tokenProperties":{"valid":false,"invalidReason":%[1]q}}`,
	}
	var calls atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := answers[0]
		if calls.Add(1)%2 == 0 {
			answer = fmt.Sprintf(answers[1], secret+" "+r.URL.String()+" "+fmt.Sprint(r.Header)+" "+string(body))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
}

// Promise 11: secrets stay secret, whatever happens to the provider: in the log at
// debug level, in the admin API, in metrics, pages, documents and the adapted
// configuration. Tokens are not in the log.
func TestSecretsStaySecretD71D120(t *testing.T) {
	const secret = "s3cr3t-0123456789abcdefghijklmnop"
	t.Setenv("CAPTCHA_TEST_SECRET", secret)
	for name, c := range secretSites {
		t.Run(name, func(t *testing.T) {
			fake := providertest.New(t, told(secret))
			site := fmt.Sprintf("captcha {\n\t\tprovider "+name+c.options+"\n\t\tbypass_check passive {\n\t\t\ttimeout 300ms\n\t\t\tfails 1\n\t\t}\n\t}\n\t", fake.URL()) +
				"handle /metrics {\n\t\tmetrics\n\t}\n\treverse_proxy {app}\n\tlog"
			e := serve(t, site)
			var out bytes.Buffer
			out.Write(e.adapt("", site))
			body := c.token.Encode()
			for _, f := range []providertest.Fault{providertest.None, providertest.None, providertest.Status403, providertest.HTML, providertest.Refuse} {
				fake.Inject(f)
				r := e.post("/x", formType, body)
				out.Write(r.body)
				fmt.Fprint(&out, r.Header)
				out.Write(e.browse("same-origin", "/x", formType, body).body)
				for _, h := range allHealths() {
					h.mu.Lock()
					h.doubted = time.Time{} // ask again at once
					h.mu.Unlock()
				}
			}
			e.app.take()
			out.Write(e.do(e.request("GET", "/metrics", "", "")).body)
			_, admin := call(t, "GET", "/captcha/status", "")
			out.Write(admin)
			enc := zapcore.NewMapObjectEncoder()
			if err := e.handler().MarshalLogObject(enc); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(&out, enc.Fields)
			log, err := os.ReadFile(filepath.Join(e.dir, "log"))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range c.token {
				if name != "gen_time" && bytes.Contains(log, []byte(value[0])) {
					t.Errorf("the log contains the token's %s", name)
				}
			}
			out.Write(log)
			if strings.Contains(out.String(), secret) {
				i := strings.Index(out.String(), secret)
				t.Errorf("a secret got out: …%s…", out.String()[max(0, i-200):i+10])
			}
			if len(fake.Calls()) == 0 {
				t.Error("the provider was never asked: this test proves nothing")
			}
		})
	}
}
