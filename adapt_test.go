package captcha

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/caddy-captcha/caddy-captcha/store/redis"
)

var update = flag.Bool("update", false, "rewrite the JSON of testdata/adapt")

// TestAdapt runs every file of testdata/adapt: a Caddyfile, a line of dashes, and
// the JSON it adapts to, or a part of the error that it is refused with.
// Those that adapt are loaded too, as `caddy validate` does.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(text), "----------\n")
			if !found {
				t.Fatal("no line of dashes")
			}
			wantErr := strings.TrimSpace(want)
			got, err := adaptText(input)
			if wantErr != "" && !json.Valid([]byte(want)) {
				if err == nil {
					err = validate(got) // an error of the values, not of the syntax
				}
				if err == nil || !strings.Contains(err.Error(), wantErr) {
					t.Errorf("got the error\n%v\nwant one with\n%s", err, wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "\t"); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			if *update {
				if err := os.WriteFile(name, []byte(input+"----------\n"+pretty.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if pretty.String() != want {
				t.Errorf("adapted to\n%s\nwant\n%s", pretty.String(), want)
			}
			if err := validate(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func validate(config []byte) error {
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		return err
	}
	return caddy.Validate(&cfg)
}

func TestErrorsNameTheLine(t *testing.T) {
	_, err := adaptText("example.com {\n\tcaptcha {\n\t\tmod signal\n\t}\n}\n")
	if err == nil || !strings.Contains(err.Error(), "Caddyfile:3") {
		t.Errorf("%v", err)
	}
}

func TestScopesDiffer(t *testing.T) {
	scopes := make(map[string]string)
	for _, directive := range []string{
		"captcha", "captcha /a*", "captcha /b*", "captcha {\n\t\tmethods POST\n\t}",
		"captcha {\n\t\tprovider pow {\n\t\t\tdifficulty 5000\n\t\t}\n\t}",
	} {
		out, err := adaptText("example.com {\n\t" + directive + "\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), `"scope":"`)
		scope, _, _ := strings.Cut(rest, `"`)
		if len(scope) != 16 || scopes[scope] != "" {
			t.Errorf("%q has the scope %q, as %q has", directive, scope, scopes[scope])
		}
		scopes[scope] = directive
	}
}
