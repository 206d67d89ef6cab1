package captcha_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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
		})
	}
	if n := len(examples) + len(applications); folders != n {
		t.Errorf("there are %d folders, and %d in this test", folders, n)
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

const turnstileToken = "cf-turnstile-response=0.AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

func tryTurnstile(t *testing.T, site string) {
	page := post(t, site+"/login", formType, "a=1", "Accept", "text/html", "Origin", site)
	policy := page.Header.Get("Content-Security-Policy")
	if page.StatusCode != 403 || !strings.Contains(page.body, `data-action="login"`) || !strings.Contains(policy, "https://challenges.cloudflare.com") {
		t.Errorf("the page with the widget: %s, %s: %.300s", page.Status, policy, page.body)
	}
	checkFallback(t, site+"/login", post(t, site+"/login", formType, turnstileToken))
	checkFallback(t, site+"/register", post(t, site+"/register", formType, turnstileToken))
}

func tryObservability(t *testing.T, site string) {
	checkFallback(t, site+"/login", post(t, site+"/login", formType, turnstileToken))
}

// checkFallback checks that an answer has the built-in provider's challenge
// because of an outage, and that its proof counts.
func checkFallback(t *testing.T, address string, r answer) {
	t.Helper()
	checkChallenge(t, r, "pow")
	if r.StatusCode != 403 {
		return
	}
	var p struct {
		Captcha struct{ Challenge json.RawMessage }
	}
	decode(t, []byte(r.body), &p)
	if r := post(t, address, formType, "a=1", "Captcha-Token", powtest.Solve(p.Captcha.Challenge)); r.captcha() != "passed pow" {
		t.Errorf("POST %s with the fallback's proof: %s, the app was told %q: %s", address, r.Status, r.captcha(), r.body)
	}
}

func checkChallenge(t *testing.T, r answer, by string) {
	t.Helper()
	var p struct {
		Reason  string
		Captcha struct{ Provider string }
	}
	decode(t, []byte(r.body), &p)
	if r.StatusCode != 403 || p.Captcha.Provider != by || (p.Reason != "provider-unreachable" && p.Reason != "try-again" && p.Reason != "token-missing") {
		t.Errorf("%s, want a challenge of %s: %s", r.Status, by, r.body)
	}
}

// trustCaptchaToken is what the widget submits.
func trustCaptchaToken() string {
	text := `{"verificationId":"1f43b9ff-4a66-42fe-bead-748015cf8223","expiresAt":"` + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + `"}`
	return "tc-verification-token=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(text)))
}

func tryTrustCaptcha(t *testing.T, site string) {
	for _, body := range []string{trustCaptchaToken(), "a=1"} { // by then it is known, and nobody is asked
		if r := post(t, site+"/contact", formType, body); r.StatusCode != 200 || r.captcha() != "failover trustcaptcha" {
			t.Errorf("POST /contact in an outage: %s, the app was told %q: %s", r.Status, r.captcha(), r.body)
		}
	}
	if r := get(t, site+"/assets/README"); r.StatusCode != 200 {
		t.Errorf("the widget's folder: %s", r.Status)
	}
}

func tryGeeTest(t *testing.T, site string) {
	r := get(t, site+"/geetest/register")
	var doc struct {
		Success   int
		Challenge string
	}
	decode(t, []byte(r.body), &doc)
	if r.StatusCode != 200 || doc.Success != 0 || len(doc.Challenge) != 32 {
		t.Errorf("register in an outage: %s %s", r.Status, r.body)
	}
	body := "geetest_challenge=" + doc.Challenge + "&geetest_validate=" + doc.Challenge + "&geetest_seccode=" + doc.Challenge + "%7Cjordan"
	checkFallback(t, site+"/login", post(t, site+"/login", formType, body))
}

func tryHighAvailability(t *testing.T, site string) {
	checkChallenge(t, post(t, site+"/login", formType, turnstileToken), "hcaptcha")
	checkFallback(t, site+"/login", post(t, site+"/login", formType, "h-captcha-response=P0_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"))
}

func tryFailover(t *testing.T, site string) {
	checkFallback(t, site+"/login", post(t, site+"/login", formType, trustCaptchaToken()))
	r := post(t, site+"/transfer", formType, trustCaptchaToken())
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(r.body, `"provider-unreachable"`) || strings.Contains(r.body, `"captcha"`) {
		t.Errorf("POST /transfer in an outage: %s %s", r.Status, r.body)
	}
}

// runExample runs an example's configuration and returns the site's address.
// Admin endpoint, storage and log are not what it says: it runs in a test.
func runExample(t *testing.T, folder string, prepare func(*testing.T, []byte) []byte) (site string) {
	t.Helper()
	app := strings.TrimPrefix(newEcho(t).URL, "http://")
	port := freePort(t)
	site = "http://127.0.0.1:" + port
	var config []byte
	if file := filepath.Join(folder, "Caddyfile"); exists(file) {
		for name, value := range map[string]string{"SITE": site, "APP": app, "PORT": port, "APP_PORT": freePort(t)} {
			t.Setenv(name, value)
		}
		setEnv(t, readFile(t, file))
		config = adapt(t, file, readFile(t, file))
	} else {
		text := readFile(t, filepath.Join(folder, "caddy.json"))
		config = []byte(strings.NewReplacer(":8080", "127.0.0.1:"+port, "127.0.0.1:9000", app).Replace(text))
	}
	config = confine(t, config)
	validate(t, config)
	config = prepare(t, config)
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return site
}

// adapt turns a Caddyfile into JSON. A warning, such as that it is not
// formatted as caddy fmt does it, is an error.
func adapt(t *testing.T, name, text string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	for _, w := range warnings {
		t.Errorf("%s:%d: %s", w.File, w.Line, w.Message)
	}
	if formatted := caddyfile.Format([]byte(text)); !bytes.Equal(formatted, []byte(text)) {
		t.Errorf("%s is not formatted; caddy fmt writes\n%s", name, formatted)
	}
	return config
}

// confine keeps a configuration within the test.
func confine(t *testing.T, config []byte) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	c["storage"] = map[string]any{"module": "file_system", "root": dir}
	c["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "discard"}}}}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// easier gives every captcha handler puzzles that are solved quickly.
func easier(t *testing.T, config []byte) []byte {
	t.Helper()
	return eachHandler(t, config, func(handler map[string]any) {
		handler["provider"] = map[string]any{"name": "pow", "difficulty": 1000}
	})
}

// cutOff makes every provider of the network one that does not answer, and
// puzzles easy.
func cutOff(t *testing.T, config []byte) []byte {
	t.Helper()
	nobody := "https://127.0.0.1:" + freePort(t)
	change := func(v any) {
		switch p := v.(map[string]any); p["name"] {
		case "pow":
			p["difficulty"] = 1000
		case "geetest":
			p["api_url"], p["bypass_url"] = nobody, nobody+"/status"
		case "trustcaptcha":
			p["api_url"] = nobody
		default:
			p["verify_url"] = nobody + "/siteverify"
		}
	}
	return eachHandler(t, config, func(handler map[string]any) {
		change(handler["provider"])
		fallbacks, ok := handler["fallbacks"].([]any)
		if !ok {
			handler["fallbacks"] = []any{map[string]any{"name": "pow", "difficulty": 1000}} // the default, but easy
		}
		for _, f := range fallbacks {
			change(f)
		}
	})
}

// eachHandler changes every captcha handler of a configuration, and the
// providers of captcha_challenge in the same way.
func eachHandler(t *testing.T, config []byte, change func(handler map[string]any)) []byte {
	t.Helper()
	var c any
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	handlers := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["handler"] == "captcha" {
				change(v)
				handlers++
			}
			if v["handler"] == "captcha_challenge" {
				like := map[string]any{"provider": v["provider"]}
				change(like)
				v["provider"] = like["provider"]
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(c)
	if handlers == 0 {
		t.Error("there is no captcha handler")
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func validate(t *testing.T, config []byte) {
	t.Helper()
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Errorf("%v\n%s", err, config)
	}
}

// newEcho is an app whose answer says what it was told. It grants preflights. Its
// pages have a form that posts to them, or to where the query says.
func newEcho(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Errorf("the app could not read %s: %v", r.URL, err)
		}
		w.Header().Set("App-Length", fmt.Sprint(n))
		w.Header().Set("App-Captcha", r.Header.Get("X-Captcha-Status")+" "+r.Header.Get("X-Captcha-Provider"))
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<title>page</title><form method="post" action="%s"><input name="a"></form>`, r.URL.Query().Get("form"))
			return
		}
		fmt.Fprint(w, "from the app")
	}))
	t.Cleanup(s.Close)
	return s
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

// captcha is what the app was told, status and provider.
func (a answer) captcha() string {
	if strings.Contains(a.body, `id="status">`) { // the quickstart's app
		between := func(left string) string {
			_, rest, _ := strings.Cut(a.body, left)
			value, _, _ := strings.Cut(rest, "<")
			return value
		}
		return strings.TrimSpace(between(`id="status">`) + " " + between(`id="provider">`))
	}
	return strings.TrimSpace(a.Header.Get("App-Captcha"))
}

func get(t *testing.T, address string, headers ...string) answer {
	t.Helper()
	return send(t, "GET", address, "", "", headers...)
}

// post sends a body; headers are given as name, value, name, value.
func post(t *testing.T, address, contentType, body string, headers ...string) answer {
	t.Helper()
	return send(t, "POST", address, contentType, body, headers...)
}

func send(t *testing.T, method, address, contentType, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // nothing is left open that the next example would have to wait for
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
