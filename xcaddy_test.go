//go:build xcaddy

// The build with xcaddy takes minutes, so it is a step of its own: ./test.sh xcaddy

package captcha_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const modulePath = "github.com/caddy-captcha/caddy-captcha"

// TestXcaddy builds Caddy as a user does, and tries the binary.
func TestXcaddy(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "caddy")
	buildWithXcaddy(t, binary)
	home := t.TempDir()
	caddy := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
		return cmd
	}
	modules := output(t, caddy("list-modules"))
	for _, id := range []string{"captcha", "http.handlers.captcha", "http.captcha.providers.pow", "captcha.stores.memory", "captcha.stores.redis"} {
		if !strings.Contains("\n"+modules, "\n"+id+"\n") {
			t.Errorf("the build has no module %s", id)
		}
	}
	output(t, caddy("validate", "--config", "examples/quickstart/Caddyfile"))

	port := freePort(t)
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\nhttp://:%s {\n\tcaptcha /login*\n\trespond forwarded\n}\n", port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := caddy("run", "--config", config)
	server.Stdout, server.Stderr = t.Output(), t.Output()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	url := "http://127.0.0.1:" + port + "/login"
	if status, body := awaitGet(t, url); status != http.StatusOK || body != "forwarded" {
		t.Errorf("GET: %d %q, want it forwarded", status, body)
	}
	r := post(t, url, "application/x-www-form-urlencoded", "user=a")
	if r.StatusCode != http.StatusForbidden || r.Header.Get("Captcha-Required") != "pow" || !strings.Contains(r.body, `"reason":"token-missing"`) {
		t.Errorf("POST: %s %v %s, want a challenge", r.Status, r.Header, r.body)
	}
}

// buildWithXcaddy builds this directory into Caddy. While the module is not
// published, no proxy knows it: the module cache is asked first, and what it
// does not have counts as replaced by this directory. The build flags are
// xcaddy's own but for -trimpath, so that what is compiled already is used.
func buildWithXcaddy(t *testing.T, binary string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	version := goOutput(t, "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2")
	proxy := "file://" + filepath.ToSlash(goOutput(t, "env", "GOMODCACHE")) + "/cache/download," + goOutput(t, "env", "GOPROXY")
	cmd := exec.Command("go", "tool", "-modfile="+filepath.Join("tools", "go.mod"), "xcaddy",
		"build", version, "--with", modulePath+"="+dir, "--with", modulePath+"/store/redis", "--output", binary)
	cmd.Env = append(os.Environ(),
		"GOPROXY="+proxy, "GONOSUMDB=*", "GOFLAGS=-mod=mod -buildvcs=false",
		"XCADDY_GO_BUILD_FLAGS=-ldflags='-w -s' -tags=nobadger,nomysql,nopgx")
	output(t, cmd)
}

func goOutput(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(output(t, exec.Command("go", args...)))
}

// output returns what a command that must succeed writes to its standard output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	begin := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	t.Logf("%s: %s", filepath.Base(cmd.Path)+" "+cmd.Args[1], time.Since(begin).Round(time.Second))
	return string(out)
}

// awaitGet asks a server that is about to start.
func awaitGet(t *testing.T, url string) (status int, body string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		resp, err := http.Get(url)
		if err == nil {
			r := read(t, resp)
			return r.StatusCode, r.body
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
