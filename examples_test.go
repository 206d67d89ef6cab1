package captcha_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-captcha/caddy-captcha"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
	_ "github.com/caddy-captcha/caddy-captcha/store/redis"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// example says of a folder which paths it protects and which it does not, and on
// which pages the form of newEcho gets the fields of a token and on which not.
// Where outage is set, the example runs with providers that do not answer.
type example struct {
	protected, open []string
	injected, still []string
	before          func(t *testing.T)
	special         func(t *testing.T, site string)
	outage          func(t *testing.T, site string)
}

// examples are the folders but for those of applications.
var examples = map[string]example{
	"quickstart": {protected: []string{"/send/comment", "/send/upload"}, open: []string{"/elsewhere"}, special: tryQuickstart},
	"spa-api":    {protected: []string{"/login", "/signup"}, open: []string{"/items"}, special: trySinglePageApp},
	"whole-site": {
		protected: []string{"/", "/login", "/webhooks", "/webhooks/../login", "/saml/acs/..%2f..%2flogin"},
		open:      []string{"/webhooks/stripe", "/payment/notify", "/saml/acs", "/healthz", "/oauth/token"},
	},
	"signal":    {special: trySignal},
	"fleet":     {before: startExampleRedis, open: []string{"/other"}, special: tryFleet},
	"clearance": {protected: []string{"/login", "/posts/1", "/messages"}, open: []string{"/search"}, special: tryClearance},
	"uploads":   {protected: []string{"/upload"}, special: tryUpload},
	"own-page":  {protected: []string{"/contact"}, open: []string{"/other"}, special: tryOwnPage},
	"json":      {protected: []string{"/login", "/contact/us"}, open: []string{"/other"}},

	"turnstile":         {outage: tryTurnstile, open: []string{"/other"}},
	"trustcaptcha":      {outage: tryTrustCaptcha, open: []string{"/other"}},
	"geetest":           {outage: tryGeeTest, open: []string{"/other"}},
	"high-availability": {outage: tryHighAvailability, open: []string{"/other"}},
	"failover":          {outage: tryFailover, open: []string{"/other"}},
	"observability":     {outage: tryObservability, open: []string{"/other"}},
}

func TestExamples(t *testing.T) {
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	readme := readFile(t, "examples/README.md")
	folders := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		if name == "providers" { // TestProviderExamples
			continue
		}
		folders++
		if !strings.Contains(readme, "| ["+name+"](") {
			t.Errorf("examples/README.md does not list %s", name)
		}
		if exists(filepath.Join("examples", name, "go.mod")) {
			folders-- // it has tests of its own
			continue
		}
		t.Run(name, func(t *testing.T) {
			want, ok := examples[name]
			if !ok {
				want, ok = applications[name]
			}
			if !ok {
				t.Fatal("this folder is in no test: add it to examples")
			}
			tryExample(t, name, want)
		})
	}
	if n := len(examples) + len(applications); folders != n {
		t.Errorf("there are %d folders, and %d in this test", folders, n)
	}
}

// tryExample runs the example in a folder, and checks all that is said of it.
func tryExample(t *testing.T, name string, want example) {
	if want.before != nil {
		want.before(t)
	}
	prepare := easier
	if want.outage != nil {
		prepare = cutOff
	}
	site := runExample(t, filepath.Join("examples", name), prepare)
	if want.outage != nil {
		want.outage(t, site)
	}
	for _, path := range want.protected {
		checkProtected(t, site, path)
	}
	for _, path := range want.open {
		if r := post(t, site+path, formType, "a=1", "X-Captcha-Status", "passed"); r.StatusCode != 200 || r.captcha() != "" {
			t.Errorf("POST %s: %s, the app was told %q; want it forwarded and no headers", path, r.Status, r.captcha())
		}
	}
	for _, path := range want.injected {
		checkInjected(t, site+path, true)
	}
	for _, path := range want.still {
		checkInjected(t, site+path, false)
	}
	if want.special != nil {
		want.special(t, site)
	}
}

// checkProtected posts without a token and with one.
func checkProtected(t *testing.T, site, path string) {
	t.Helper()
	page := post(t, site+path, formType, "a=1", "Accept", "text/html", "Origin", site)
	if page.StatusCode != 403 || !strings.Contains(page.body, `name="captcha-seal"`) || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("POST %s as a browser: %s, want a challenge page: %.300s", path, page.Status, page.body)
	}
	body := "a=1&altcha=" + url.QueryEscape(challenged(t, post(t, site+path, formType, "a=1")))
	if r := post(t, site+path, formType, body); r.StatusCode != 200 || r.captcha() != "passed pow" {
		t.Errorf("POST %s with a token: %s, the app was told %q: %.300s", path, r.Status, r.captcha(), r.body)
	}
}

// challenged solves the challenge of an answer.
func challenged(t *testing.T, r answer) string {
	t.Helper()
	var p struct {
		Reason  string
		Captcha struct{ Challenge json.RawMessage }
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.StatusCode != 403 || p.Reason != "token-missing" {
		t.Fatalf("%s, want 403 token-missing with a challenge: %.300s", r.Status, r.body)
	}
	return powtest.Solve(p.Captcha.Challenge)
}

func tryQuickstart(t *testing.T, site string) {
	r := get(t, site+"/")
	if r.StatusCode != 200 || strings.Count(r.body, "<form") != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page with the forms: %s: %s", r.Status, r.body)
	}
	if r := get(t, site+"/style.css"); r.StatusCode != 200 {
		t.Errorf("the style sheet: %s", r.Status)
	}
	token := challenged(t, post(t, site+"/send/comment?q=1", formType, "a=1"))
	text := "name=<b>&comment={{now}}{env.HOME}"
	r = post(t, site+"/send/comment?q=1", formType, text, "Captcha-Token", token)
	for _, want := range []string{
		">POST /send/comment?q=1<", ">" + formType + "<", fmt.Sprintf(">%d</code> bytes", len(text)), ">passed<", ">pow<",
		"name=&lt;b&gt;&amp;comment={{now}}{env.HOME}</pre>",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("what reached the app lacks %s: %s", want, r.body)
		}
	}
}

func trySinglePageApp(t *testing.T, site string) {
	const origin = "https://app.example.com"
	r := post(t, site+"/login", jsonType, `{"user":"a"}`, "Origin", origin, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-site")
	if r.Header.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), "Captcha-Required") {
		t.Errorf("the script cannot read the challenge: %v", r.Header)
	}
	body := `{"user":"a","captcha":{"token":"` + challenged(t, r) + `"}}`
	if r := post(t, site+"/login", jsonType, body); r.captcha() != "passed pow" {
		t.Errorf("token in JSON: %s %s", r.Status, r.body)
	}
	preflight := send(t, "OPTIONS", site+"/login", "", "", "Origin", origin, "Access-Control-Request-Method", "POST")
	if !strings.Contains(preflight.Header.Get("Access-Control-Allow-Headers"), "Captcha-Token") {
		t.Errorf("preflight: %v", preflight.Header)
	}
}

func trySignal(t *testing.T, site string) {
	if r := post(t, site+"/comments", formType, "a=1"); r.captcha() != "missing pow" {
		t.Errorf("without token: %s, the app was told %q", r.Status, r.captcha())
	}
	if r := post(t, site+"/comments", formType, "altcha=x"); r.captcha() != "failed pow" {
		t.Errorf("with a bad token: %s, the app was told %q", r.Status, r.captcha())
	}
	ask := post(t, site+"/comments", "", "", "Captcha-Request", "challenge")
	var p struct{ Challenge json.RawMessage }
	if err := json.Unmarshal([]byte(ask.body), &p); err != nil {
		t.Fatalf("%s: %v in %s", ask.Status, err, ask.body)
	}
	if r := post(t, site+"/comments", formType, "a=1", "Captcha-Token", powtest.Solve(p.Challenge)); r.captcha() != "passed pow" {
		t.Errorf("with a token: %s, the app was told %q", r.Status, r.captcha())
	}
}

func tryClearance(t *testing.T, site string) {
	checkClearance(t, site+"/posts/1", site+"/messages")
	cookie := clearanceFrom(t, site+"/posts/1")
	if r := post(t, site+"/login", formType, "a=1", "Cookie", cookie); r.StatusCode != 403 {
		t.Errorf("the forum's clearance opened the log-in: %s", r.Status)
	}
	cookie = clearanceFrom(t, site+"/login")
	for i := range 6 {
		r := post(t, site+"/login", formType, "a=1", "Cookie", cookie)
		if (r.StatusCode == 200) != (i < 5) {
			t.Errorf("use %d of 5: %s", i+1, r.Status)
		}
	}
}

// checkClearance takes a clearance from one address and uses it at another.
func checkClearance(t *testing.T, from, to string) {
	t.Helper()
	if r := post(t, to, formType, "a=1", "Cookie", clearanceFrom(t, from)); r.StatusCode != 200 || r.captcha() != "cleared pow" {
		t.Errorf("POST %s with a clearance: %s, the app was told %q", to, r.Status, r.captcha())
	}
}

func clearanceFrom(t *testing.T, address string) (cookie string) {
	t.Helper()
	r := post(t, address, formType, "a=1", "Captcha-Token", challenged(t, post(t, address, formType, "a=1")))
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, "captcha") {
			return c.Name + "=" + c.Value
		}
	}
	t.Fatalf("%s gave no clearance: %v", r.Status, r.Header)
	return ""
}

func tryUpload(t *testing.T, site string) {
	token := challenged(t, post(t, site+"/upload", formType, "a=1"))
	big := strings.Repeat("x", 3<<20)
	if r := post(t, site+"/upload", "application/octet-stream", big, "Captcha-Token", token); r.captcha() != "passed pow" || r.Header.Get("App-Length") != fmt.Sprint(len(big)) {
		t.Errorf("upload with a token: %s, %q, length %q", r.Status, r.captcha(), r.Header.Get("App-Length"))
	}
}

func tryOwnPage(t *testing.T, site string) {
	r := post(t, site+"/contact", formType, "a=1", "Accept", "text/html", "Origin", site)
	for _, want := range []string{`<p class="shop">The Example Shop</p>`, "mailto:help@example.com", `id="captcha-check"`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %s: %s", want, r.body)
		}
	}
	if csp := r.Header["Content-Security-Policy"]; len(csp) != 1 || !strings.Contains(csp[0], "nonce-") {
		t.Errorf("policies of the page: %q", csp)
	}
}
