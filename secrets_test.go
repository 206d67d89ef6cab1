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
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// secretSites are sites with a provider that has a secret, given in the
// environment; %s is the address of its fake.
var secretSites = map[string]struct{ options, field, token string }{
	"turnstile": {`provider turnstile {
			site_key public
			secret_key {env.CAPTCHA_TEST_SECRET}
			verify_url %s/siteverify
		}`, "cf-turnstile-response", "client-token-0123456789"},
	"trustcaptcha": {`provider trustcaptcha {
			site_key 11111111-2222-4333-8444-555555555555
			api_key {env.CAPTCHA_TEST_SECRET}
			api_url %s
		}`, "tc-verification-token", "eyJ2ZXJpZmljYXRpb25JZCI6IjFmNDNiOWZmLTRhNjYtNDJmZS1iZWFkLTc0ODAxNWNmODIyMyIsImV4cGlyZXNBdCI6IjIwOTYtMTEtMjFUMDI6MTI6MTkuNDU0WiJ9"},
	"geetest4": {`provider geetest4 {
			captcha_id 0123456789abcdef0123456789abcdef
			captcha_key {env.CAPTCHA_TEST_SECRET}
			api_url %s
		}`, "lot_number", "0123456789abcdef0123456789abcdef"},
	"mtcaptcha": {`provider mtcaptcha {
			site_key MTPublic-public
			secret_key {env.CAPTCHA_TEST_SECRET}
			verify_url %s/checktoken
		}`, "mtcaptcha-verifiedtoken", "client-token-0123456789"},
}

// Promise 11: secrets stay secret, whatever happens to the provider: in the log at
// debug level, in the admin API, in metrics, pages, documents and the adapted
// configuration. Tokens are not in the log.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "s3cr3t-0123456789abcdefghijklmnop"
	t.Setenv("CAPTCHA_TEST_SECRET", secret)
	for name, c := range secretSites {
		t.Run(name, func(t *testing.T) {
			fake := providertest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"success":false,"error-codes":["invalid-input-secret"],"status":"error","code":"50102"}`)
			}))
			site := fmt.Sprintf("captcha {\n\t\t"+c.options+"\n\t\tbypass_check passive {\n\t\t\ttimeout 300ms\n\t\t\tfails 1\n\t\t}\n\t}\n\t", fake.URL()) +
				"handle /metrics {\n\t\tmetrics\n\t}\n\treverse_proxy {app}\n\tlog"
			e := serve(t, site)
			var out bytes.Buffer
			out.Write(e.adapt("", site))
			body := url.Values{c.field: {c.token}, "captcha_output": {"x"}, "pass_token": {"y"}, "gen_time": {fmt.Sprint(time.Now().Unix())}}.Encode()
			for _, f := range []providertest.Fault{providertest.None, providertest.Status403, providertest.HTML, providertest.Refuse} {
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
			if bytes.Contains(log, []byte(c.token)) {
				t.Error("the log contains a token")
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
