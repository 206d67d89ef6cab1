package captcha

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"
)

// Promise 12: a reload loses nothing.
func TestReloadKeepsSpentTokensAndKeysD114(t *testing.T) {
	e := serve(t, small)
	spent, fresh := e.token("/login"), e.token("/login")
	page := e.browse("same-origin", "/login", "text/plain", "precious")
	e.wantForwarded(e.form("/login", spent))
	for i := range 3 {
		e.load("", small+fmt.Sprintf("\n\theader X-Reload %d", i))
		e.wantProblem(e.form("/login", spent), 403, "token-duplicate")
	}
	broken := strings.Replace(string(e.adapt("", small)), `"difficulty":1000`, `"difficulty":1`, 1)
	if err := caddy.Load([]byte(broken), true); err == nil {
		t.Fatal("a difficulty of 1 was accepted")
	}
	e.wantProblem(e.form("/login", spent), 403, "token-duplicate")
	e.wantForwarded(e.form("/login", fresh))
	sameBytes(t, e.wantForwarded(e.solvePage("/login", sealIn(t, page))).Body, "precious")
	if n, _ := pool.References(poolKey); n != 1 {
		t.Errorf("%d references to the shared state, want the running config's", n)
	}
}

// A node that has forgotten which tokens are spent does not take its own old ones.
func TestRestartForgetsNoSpentTokenD115(t *testing.T) { // D-115
	e := serve(t, small)
	token := e.token("/login")
	e.wantForwarded(e.form("/login", token))
	e.load("", "reverse_proxy {app}") // no config holds the memory any more
	e.load("", small)
	e.wantProblem(e.form("/login", token), 403, "token-expired")
	e.wantForwarded(e.form("/login", e.token("/login")))
}

// A request that is under way when its config is replaced ends as it began.
func TestRequestInFlightOverAReloadD114(t *testing.T) { // F5
	e := serve(t, small)
	arrived, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes", len(body))
	}))
	defer slow.Close()
	e.load("grace_period 10s", strings.ReplaceAll(small, "{app}", strings.TrimPrefix(slow.URL, "http://")))
	token := url.QueryEscape(e.token("/login"))
	body := "text=" + strings.Repeat("x", 100_000) + "&altcha=" + token
	done := make(chan reply, 1)
	go func() { done <- e.post("/login", formType, body) }()
	<-arrived
	e.load("", small)
	e.load("", "respond gone")
	close(release)
	if r := <-done; string(r.body) != fmt.Sprintf("%d bytes", len(body)) {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

// `caddy validate` touches neither network nor storage, and leaves nothing.
func TestValidateTouchesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "storage")
	text := fmt.Sprintf("{\n\tadmin off\n\tstorage file_system %s\n}\nhttp://127.0.0.1:1 {\n\tcaptcha\n}\n", dir)
	out, err := adaptText(text)
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := json.Unmarshal(out, &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the storage was touched: %v", err)
	}
	if n, ok := pool.References(poolKey); ok {
		t.Errorf("%d references to the shared state are left", n)
	}
}

func TestReloadsLeakNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/DeRuina/timberjack.(*Logger).millRun"),    // Caddy's log file
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")) // ends with its next tick
	t.Run("", func(t *testing.T) {
		e := serve(t, small)
		for i := range 20 {
			e.load("", small+fmt.Sprintf("\n\theader X-Reload %d", i))
			e.wantForwarded(e.form("/login", e.token("/login")))
			e.wantProblem(e.form("/login", "forged"), 403, "token-invalid")
		}
		e.http.CloseIdleConnections()
	})
}

// Promise 11: secrets and tokens are never logged, at any level.
func TestNothingSecretIsLoggedD71(t *testing.T) {
	e := serve(t, `log
	`+small)
	token := e.token("/login")
	page := e.browse("same-origin", "/login", formType, "password=hunter2")
	seal := sealIn(t, page)
	e.wantForwarded(e.form("/login", token))
	e.wantProblem(e.form("/login", token), 403, "token-duplicate")
	bad := e.wantProblem(e.post("/login", formType, "altcha=forged%2Btoken&password=hunter2"), 403, "token-invalid")
	e.solvePage("/login", seal)
	log, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(e.dir, "captcha", "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Keys []struct {
			Secret string `json:"secret"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(keys, &doc); err != nil || len(doc.Keys) == 0 || doc.Keys[0].Secret == "" {
		t.Fatalf("%v in %s", err, keys)
	}
	for what, secret := range map[string]string{
		"a token": token[:40], "a seal": seal[:40], "a password": "hunter2", "a forged token": "forged+token", "a key": doc.Keys[0].Secret,
	} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the log contains %s", what)
		}
	}
	if !strings.Contains(string(log), bad.Reference) {
		t.Error("the log does not contain the reference of an answer")
	}
}

// The log and the app are told through placeholders and headers.
func TestPlaceholders(t *testing.T) {
	e := serve(t, small+`
	log_append captcha_status {http.captcha.status}
	log_append captcha_decision {http.captcha.decision}
	log_append captcha_provider {http.captcha.provider}
	log_append captcha_why {http.captcha.reason}
	log`)
	e.wantForwarded(e.form("/login", e.token("/login")))
	e.wantProblem(e.form("/login", "forged"), 403, "token-invalid")
	log, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"captcha_status":"passed"`, `"captcha_decision":"forward"`, `"captcha_provider":"pow"`,
		`"captcha_status":"failed"`, `"captcha_decision":"challenge"`, `"captcha_why":"token-invalid"`, `"captcha_reference":"`,
	} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log has no %s", want)
		}
	}
}
