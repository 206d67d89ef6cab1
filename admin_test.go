package captcha

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// call asks the admin API.
func call(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	for _, route := range (adminAPI{}).Routes() {
		if !strings.HasPrefix(path, route.Pattern) {
			continue
		}
		w := httptest.NewRecorder()
		err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if api, ok := errors.AsType[caddy.APIError](err); ok {
			return api.HTTPStatus, []byte(api.Err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, w.Body.Bytes()
	}
	return http.StatusNotFound, nil
}

func statusOf(t *testing.T, name string) (providerDoc, []byte) {
	t.Helper()
	code, body := call(t, "GET", "/captcha/status", "")
	var doc statusDoc
	if err := json.Unmarshal(body, &doc); err != nil || code != 200 || doc.Store.Kind != "memory" || !doc.Store.OK {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	for _, p := range doc.Providers {
		if p.Name == name {
			return p, body
		}
	}
	t.Fatalf("no %s in %s", name, body)
	return providerDoc{}, nil
}

func TestStatusAndDrill(t *testing.T) {
	e := serve(t, chainSite(t, ""))
	world(t, nil, nil, passed)
	p, body := statusOf(t, "fake")
	if p.State != unknown || p.Reached || p.LastProbe != nil || p.ThrottledUntil != nil || p.BypassCheck != checkPassive {
		t.Errorf("%s", body)
	}
	for _, want := range []string{`"throttled_until":null`, `"last_probe":null`, `"outages":[]`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/captcha/drill/nobody", `{"for":"10m"}`, 404},
		{"POST", "/captcha/drill/fake", `{"for":"25h"}`, 400},
		{"POST", "/captcha/drill/fake", `{}`, 400},
		{"GET", "/captcha/drill/fake", ``, 405},
		{"POST", "/captcha/status", ``, 405},
		{"POST", "/captcha/drill/" + p.ID, `{"for":"10m"}`, 204},
	} {
		if code, body := call(t, c.method, c.path, c.body); code != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, code, body, c.want)
		}
	}
	e.wantProblem(e.fake("x"), 403, "provider-unreachable") // a drill behaves as an outage
	p, body = statusOf(t, "fake")
	if !p.Drill || p.State != down || len(p.Outages) != 1 || !p.Outages[0].Drill || p.FailedOver != 1 {
		t.Errorf("%s", body)
	}
	if code, _ := call(t, "DELETE", "/captcha/drill/fake", ""); code != 204 {
		t.Errorf("%d", code)
	}
	e.wantForwarded(e.fake("x"))
	if p, _ := statusOf(t, "fake"); p.Drill || p.Outages[0].End == nil {
		t.Errorf("%+v", p)
	}
}

func TestStatusTellsWhatIsWrong(t *testing.T) {
	e := serve(t, chainSite(t, ""))
	world(t, wrongKey, wrongKey, provider.Verdict{})
	e.wantProblem(e.fake("x"), 503, "misconfigured")
	p, body := statusOf(t, "fake")
	if !p.Misconfigured || p.LastProbe == nil || p.LastProbe.OK || !strings.Contains(noteOn(p, time.Now()), "bad secret") {
		t.Errorf("%s", body)
	}
}

func TestCheckCommand(t *testing.T) {
	links := []*link{{provider: new(fakeProvider), name: "fake"}}
	for want, probe := range map[string]error{"ok": nil, "misconfigured: bad secret": wrongKey} {
		world(t, nil, probe, passed)
		var out bytes.Buffer
		if err := checkLinks(&out, links); (err == nil) != (probe == nil) || !strings.Contains(out.String(), want) {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}

// Directives that use the same provider do not spend its quota several times.
func TestCheckAsksEveryProviderOnce(t *testing.T) {
	world(t, nil, nil, passed)
	fake := func(identity string) *link {
		return &link{provider: new(fakeProvider), name: "fake", identity: identity}
	}
	var out bytes.Buffer
	if err := checkLinks(&out, []*link{fake("a"), fake("b"), fake("a")}); err != nil || strings.Count(out.String(), "ok") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestLoadEnv(t *testing.T) {
	name := filepath.Join(t.TempDir(), "env")
	for _, v := range []string{"CAPTCHA_TEST_A", "CAPTCHA_TEST_B", "CAPTCHA_TEST_C"} {
		t.Setenv(v, "")
	}
	text := "# keys\nCAPTCHA_TEST_A=1=2\n\nexport CAPTCHA_TEST_B=\"a b\"\nCAPTCHA_TEST_C='c'\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loadEnv(name); err != nil || os.Getenv("CAPTCHA_TEST_A") != "1=2" || os.Getenv("CAPTCHA_TEST_B") != "a b" || os.Getenv("CAPTCHA_TEST_C") != "c" {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(name, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loadEnv(name); err == nil {
		t.Error("a line without = was accepted")
	}
}

func TestChallengeDirective(t *testing.T) {
	e := serve(t, `captcha /login* `+pow1000+`
	captcha_challenge /puzzle
	captcha_challenge /none {
		provider fake
	}
	reverse_proxy {app}`)
	r := e.do(e.request("GET", "/puzzle", "", ""))
	if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(string(r.body), `{"algorithm":"SHA-256","challenge":"`) {
		t.Errorf("%s %s", r.Status, r.body)
	}
	e.wantForwarded(e.form("/login", solveIn(t, json.RawMessage(`{"challenge":`+string(r.body)+`}`))))
	if r := e.do(e.request("GET", "/none", "", "")); r.StatusCode != 404 {
		t.Errorf("%s", r.Status)
	}
	e.wantForwarded(e.do(e.request("POST", "/puzzle", "", "")))
	if _, err := adaptText("example.com {\n\tcaptcha_challenge /x\n}\n"); err == nil || !strings.Contains(err.Error(), "move it below the captcha directive") {
		t.Errorf("%v", err)
	}
}
