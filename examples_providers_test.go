package captcha_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// providerExample is an example of one provider, and what is to be seen of it.
type providerExample struct {
	folder string // below examples
	path   string // that it protects
	// markup is on its challenge page, and source in the page's policy; {fake}
	// is the origin of the provider's fake.
	markup, source string
	// fake makes the provider from the options of the example, with the
	// placeholders resolved.
	fake func(t *testing.T, options map[string]any) far
	// json sends tokens as a script does.
	json bool
	// down is what the example says of an outage: fallback, failover or deny.
	down string
}

// far is the far end of a provider, and what its widget would submit.
type far struct {
	*providertest.Server
	good, bad func(challenge json.RawMessage) url.Values
	reason    string            // of a bad token
	urls      map[string]string // paths of the URLs that the example leaves to their defaults
	// issues says that an outage shows when a challenge is asked for, and not
	// when a token is verified.
	issues bool
}

// providerExamples has each provider with the name of its module. An example
// that stands elsewhere than in examples/providers has a folder.
var providerExamples = map[string][]providerExample{
	"pow": nil, // every example without a provider, quickstart before all
	"turnstile": {{folder: "turnstile", path: "/login", markup: `data-action="login"`, source: "https://challenges.cloudflare.com",
		fake: siteverified("turnstile", "/turnstile/v0/siteverify", "login")}},
	"hcaptcha": {{path: "/register", markup: `class="h-captcha"`, source: "https://*.hcaptcha.com", fake: siteverified("hcaptcha", "/siteverify", "")}},
	"recaptcha": {{path: "/contact", markup: `class="g-recaptcha"`, source: "https://www.gstatic.com/recaptcha/",
		fake: siteverified("recaptcha", "/recaptcha/api/siteverify", "")}},
	"recaptcha3": {{path: "/login", markup: "/recaptcha/api.js?render=", source: "https://www.gstatic.com/recaptcha/",
		fake: siteverified("recaptcha3", "/recaptcha/api/siteverify", "login")}},
	"recaptcha_enterprise": {{path: "/checkout", markup: "/recaptcha/enterprise.js?render=", source: "https://www.gstatic.com/recaptcha/",
		fake: siteverified("recaptcha_enterprise", "/v1/projects/p/assessments", "checkout")}},
	"friendlycaptcha": {{path: "/contact", markup: `class="frc-captcha"`, source: "https://*.frcapi.com", down: "failover",
		fake: siteverified("friendlycaptcha", "", "")}},
	"mcaptcha": {{path: "/comments", markup: `id="mcaptcha__widget-container"`, source: "{fake}", fake: siteverified("mcaptcha", "", "")}},
	"cap":      {{path: "/guestbook", markup: "<cap-widget", source: "https://cap.example.com", fake: siteverified("cap", "", "")}},
	"privatecaptcha": {{path: "/newsletter", markup: `class="private-captcha"`, source: "https://*.privatecaptcha.com",
		fake: siteverified("privatecaptcha", "", "")}},
	"prosopo": {{path: "/signup", markup: `class="procaptcha"`, source: "https://js.prosopo.io", fake: siteverified("prosopo", "/siteverify", "")}},
	"mtcaptcha": {{path: "/api/feedback", markup: `class="mtcaptcha"`, source: "https://service.mtcaptcha.com", json: true, down: "deny",
		fake: siteverified("mtcaptcha", "/mtcv1/api/checktoken", "")}},
	"yandex": {{path: "/order", markup: `class="smart-captcha"`, source: "https://smartcaptcha.cloud.yandex.ru",
		fake: siteverified("yandex", "/validate", "")}},
	"trustcaptcha": {{folder: "trustcaptcha", path: "/contact", markup: "<trustcaptcha-component", source: "{fake}", down: "failover", fake: farTrustCaptcha}},
	"geetest":      {{folder: "geetest", path: "/login", markup: `id="captcha-geetest"`, source: "https://*.geetest.com", fake: farGeeTest}},
	"geetest4":     {{path: "/signup", markup: `id="captcha-geetest4"`, source: "https://*.geetest.com", fake: farGeeTest4}},
	"altcha": {
		{path: "/contact", markup: `name="altcha"`, source: "'self'", fake: farALTCHA},
		{folder: "providers/altcha-sentinel", path: "/comments", markup: `id="captcha-altcha"`, source: "{fake}", fake: farALTCHA},
	},
}

// TestProviderExamples runs the examples against strict fakes of the providers.
func TestProviderExamples(t *testing.T) {
	tried := make(map[string]bool)
	for name, list := range providerExamples {
		for _, e := range list {
			if e.folder == "" {
				e.folder = "providers/" + name
			}
			tried[filepath.Base(e.folder)] = true
			t.Run(e.folder, func(t *testing.T) { e.try(t, name) })
		}
	}
	entries, err := os.ReadDir("examples/providers")
	if err != nil {
		t.Fatal(err)
	}
	readme := readFile(t, "examples/README.md")
	for _, entry := range entries {
		name := entry.Name()
		if !tried[name] {
			t.Errorf("examples/providers/%s is in no test: add it to providerExamples", name)
		}
		if link := "[" + name + "](providers/" + name + "/Caddyfile)"; !strings.Contains(readme, link) {
			t.Errorf("examples/README.md does not have %s", link)
		}
		if head := strings.Split(readFile(t, "examples/providers/"+name+"/Caddyfile"), "\n")[:4]; strings.Join(head[:3], "")[0] != '#' || head[3] != "" {
			t.Errorf("examples/providers/%s does not begin with three lines: what it is, where the keys are from, what to note", name)
		}
	}
}

// TestEveryProviderHasAnExample: a row of a table is not enough.
func TestEveryProviderHasAnExample(t *testing.T) {
	for _, m := range caddy.GetModules(provider.Namespace) {
		if !strings.Contains(reflect.TypeOf(m.New()).Elem().PkgPath(), "/provider/") {
			continue // of a test
		}
		if list, ok := providerExamples[m.ID.Name()]; !ok || len(list) == 0 && m.ID.Name() != "pow" {
			t.Errorf("%s has no example: write examples/providers/%s/Caddyfile, and add it to providerExamples", m.ID.Name(), m.ID.Name())
		}
	}
}

func (e providerExample) try(t *testing.T, name string) {
	var end far
	site := runExample(t, filepath.Join("examples", e.folder), func(t *testing.T, config []byte) []byte {
		return eachHandler(t, config, func(handler map[string]any) {
			options := handler["provider"].(map[string]any)
			resolve(options)
			if end.Server == nil {
				end = e.fake(t, options)
			}
			redirect(options, end)
			if _, written := handler["fallbacks"]; !written {
				handler["fallbacks"] = []any{map[string]any{"name": "pow", "difficulty": 1000}} // the default, but easy
			}
		})
	})
	e.checkPage(t, site, end)
	good := end.good(e.challenge(t, site, name))
	if r := e.send(t, site, good); r.StatusCode != 200 || r.captcha() != "passed "+name {
		t.Errorf("a good token: %s, the app was told %q: %s", r.Status, r.captcha(), r.body)
	}
	e.checkReason(t, e.send(t, site, good), name, "token-duplicate")
	e.checkReason(t, e.send(t, site, end.bad(e.challenge(t, site, name))), name, end.reason)
	last := end.good(e.challenge(t, site, name))
	end.Inject(providertest.Refuse)
	if end.issues {
		last = url.Values{"comment": {"precious"}}
	}
	r := e.send(t, site, last)
	switch e.down {
	case "failover":
		if r.StatusCode != 200 || r.captcha() != "failover "+name {
			t.Errorf("in an outage: %s, the app was told %q: %s", r.Status, r.captcha(), r.body)
		}
	case "deny":
		if r.StatusCode != 503 || !strings.Contains(r.body, `"provider-unreachable"`) || r.Header.Get("Retry-After") == "" {
			t.Errorf("in an outage: %s: %s", r.Status, r.body)
		}
	default:
		checkFallback(t, site+e.path, r)
	}
	if end.Elsewhere() != nil {
		t.Error("a redirect was followed")
	}
}

// checkPage looks for the widget on the page that a browser gets.
func (e providerExample) checkPage(t *testing.T, site string, end far) {
	t.Helper()
	page := post(t, site+e.path, formType, "comment=precious", "Accept", "text/html", "Origin", site)
	policy := page.Header.Get("Content-Security-Policy")
	source := strings.ReplaceAll(e.source, "{fake}", end.URL())
	if page.StatusCode != 403 || !strings.Contains(page.body, e.markup) || !strings.Contains(page.body, `name="captcha-seal"`) {
		t.Errorf("%s, want a page with %s: %s", page.Status, e.markup, page.body)
	}
	if !strings.Contains(policy, source) {
		t.Errorf("the policy lacks %s: %s", source, policy)
	}
}

// challenge returns the challenge document of an answer to a script without a
// token; nil where the provider has none.
func (e providerExample) challenge(t *testing.T, site, name string) json.RawMessage {
	t.Helper()
	r := e.send(t, site, nil)
	e.checkReason(t, r, name, "token-missing")
	var p struct {
		Captcha struct{ Challenge json.RawMessage }
	}
	decode(t, []byte(r.body), &p)
	return p.Captcha.Challenge
}

func (e providerExample) checkReason(t *testing.T, r answer, name, reason string) {
	t.Helper()
	var p struct {
		Reason  string
		Captcha struct{ Provider string }
	}
	decode(t, []byte(r.body), &p)
	if r.StatusCode != 403 || p.Reason != reason || p.Captcha.Provider != name {
		t.Errorf("%s, want a challenge of %s because of %s: %s", r.Status, name, reason, r.body)
	}
}

// send posts a form with a token, or a document with the only field of one.
func (e providerExample) send(t *testing.T, site string, token url.Values) answer {
	t.Helper()
	if !e.json {
		return post(t, site+e.path, formType, token.Encode()+"&comment=precious")
	}
	text := `{"text":"precious"}`
	for _, values := range token {
		text = fmt.Sprintf(`{"text":"precious","captcha":{"token":%q}}`, values[0])
	}
	return post(t, site+e.path, jsonType, text)
}
