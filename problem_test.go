package captcha

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// The page has a text for every reason; so has the document.
func TestEveryReasonIsExplainedToAScript(t *testing.T) {
	text, err := os.ReadFile("web/lang/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(text, &texts); err != nil {
		t.Fatal(err)
	}
	n := 0
	for key := range texts {
		reason, ok := strings.CutPrefix(key, "reason.")
		if !ok {
			continue
		}
		n++
		a := &answer{h: &Handler{tokenHeader: "X-My-Token"}, decision: decision{reason: provider.Reason(reason)}}
		if d := a.detail(); len(d) < 20 || strings.Contains(d, "Captcha-Token") || strings.Contains(d, "{") {
			t.Errorf("%s: %q", reason, d)
		}
		if _, known := details[provider.Reason(reason)]; !known && reason != "unknown" {
			t.Errorf("%s has no detail of its own", reason)
		}
	}
	if n < 17 {
		t.Errorf("only %d reasons", n)
	}
}

func TestDetailNamesTheConfiguredHeader(t *testing.T) {
	e := serve(t, "captcha /login* {\n\ttoken_header X-My-Token\n}\nreverse_proxy {app}")
	p := e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")
	if !strings.Contains(p.Detail, "X-My-Token header") {
		t.Errorf("%q", p.Detail)
	}
}
