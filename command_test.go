package captcha

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// An account that several directives have is asked once; two accounts of one
// provider can be told apart.
func TestCheckCommandAsksEachAccountOnce(t *testing.T) {
	one := &link{provider: new(fakeProvider), name: "fake", identity: "1", widget: &web.Widget{SiteKey: "site-1"}}
	two := &link{provider: new(fakeProvider), name: "fake", identity: "2", widget: &web.Widget{SiteKey: "site-2"}}
	world(t, nil, nil, passed)
	var out bytes.Buffer
	if err := checkLinks(&out, []*link{one, two, one}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "site-1") || !strings.Contains(lines[2], "site-2") || !strings.HasSuffix(lines[2], "ok") {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if err := checkLinks(&out, nil); err != nil || !strings.Contains(out.String(), "nothing to reach") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestCheckCommandWithoutAConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	cmd := checkCommand()
	cmd.SetArgs(nil)
	cmd.SetErr(io.Discard)
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "write --config") {
		t.Errorf("%v", err)
	}
}

func TestUnknownCommandFails(t *testing.T) {
	for args, want := range map[string]string{"captcha chek": `unknown command "chek"`, "captcha": ""} {
		program := new(cobra.Command)
		for _, c := range caddycmd.Commands() {
			if c.Name == "captcha" {
				sub := &cobra.Command{Use: c.Name}
				c.CobraFunc(sub)
				program.AddCommand(sub)
			}
		}
		program.SetArgs(strings.Fields(args))
		program.SetOut(io.Discard)
		program.SetErr(io.Discard)
		if err := program.Execute(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("caddy %s: %v", args, err)
		}
	}
}

func TestDrillCommandSaysWhatItDid(t *testing.T) {
	serve(t, chainSite(t, ""))
	world(t, nil, nil, passed)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		code, answer := call(t, r.Method, r.URL.Path, string(body))
		w.WriteHeader(code)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	var out bytes.Buffer
	if err := startDrill(&out, address, "fake", "10m"); err != nil || !strings.Contains(out.String(), "fake counts as down for 10m") {
		t.Errorf("%v, %q", err, out.String())
	}
	if p, _ := statusOf(t, "fake"); !p.Drill {
		t.Errorf("%+v", p)
	}
	out.Reset()
	if err := stopDrill(&out, address, "fake"); err != nil || !strings.Contains(out.String(), "No drill of fake") {
		t.Errorf("%v, %q", err, out.String())
	}
	if err := startDrill(&out, address, "fake", "10"); err == nil || !strings.Contains(err.Error(), "such as 10m") {
		t.Errorf("%v", err)
	}
}
