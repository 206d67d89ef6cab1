package captcha_test

import (
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	captcha "github.com/caddy-captcha/caddy-captcha"
	"github.com/caddy-captcha/caddy-captcha/provider/pow"
	"github.com/caddy-captcha/caddy-captcha/store/redis"
)

// TestReferenceHasEveryJSONName compares with the tags of the exported fields.
func TestReferenceHasEveryJSONName(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	for _, v := range []any{
		captcha.Handler{}, captcha.Clearance{}, captcha.Challenge{}, captcha.BypassCheck{}, captcha.Failover{}, captcha.Unreachable{},
		captcha.ClientReported{}, captcha.Action{}, captcha.Issuer{}, captcha.Injector{}, captcha.App{}, captcha.KeysConfig{}, pow.Provider{},
		redis.Redis{},
	} {
		typ := reflect.TypeOf(v)
		names := 0
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			names++
			if !strings.Contains(reference, `"`+name+`": `) && !strings.Contains(reference, "`\""+name+"\"`") {
				t.Errorf("docs/reference.md does not show the JSON name %q of %s.%s", name, typ, field.Name)
			}
		}
		if names == 0 {
			t.Errorf("%s has no options", typ)
		}
	}
	setEnv(t, reference)
	for _, block := range codeBlocks(reference, "json") {
		if strings.Contains(block, `"handler": "captcha"`) {
			validate(t, confine(t, []byte(`{"apps": {"http": {"servers": {"s": {"routes": [{"handle": [`+block+`]}]}}}}}`)))
		}
		if strings.Contains(block, `"max_spill"`) {
			validate(t, confine(t, []byte(`{"apps": {"captcha": `+block+`}}`)))
		}
	}
}

// TestReferenceHasEveryReason looks up what the source knows: the "type" of a
// problem document points to the reason's section.
func TestReferenceHasEveryReason(t *testing.T) {
	sections := sectionsOf(readFile(t, "docs/reference.md"))
	reasons := reasonsInSource(t)
	if len(reasons) < 14 {
		t.Errorf("only %d reasons were found in the source: %v", len(reasons), reasons)
	}
	for _, reason := range append(reasons, "score-too-low", "hostname-mismatch", "action-mismatch") {
		section, ok := sections[reason]
		if !ok {
			t.Errorf("docs/reference.md has no section ### %s", reason)
			continue
		}
		if !regexp.MustCompile(`^\s*[45][0-9]{2}[ .,]`).MatchString(section) {
			t.Errorf("the section %s does not begin with a status", reason)
		}
	}
	var texts map[string]string // of the challenge page
	decode(t, []byte(readFile(t, "web/lang/en.json")), &texts)
	for key := range texts {
		if reason, ok := strings.CutPrefix(key, "reason."); ok && reason != "unknown" && sections[reason] == "" {
			t.Errorf("docs/reference.md has no section ### %s, and the challenge page knows that reason", reason)
		}
	}
}

// reasonsInSource returns the constants of type Reason in the root package and
// in provider.
func reasonsInSource(t *testing.T) []string {
	t.Helper()
	reason := regexp.MustCompile(`(?m)(?:provider\.Reason\(|^\s+\w+\s+Reason\s+= )"([a-z-]+)"`)
	found := make(map[string]bool)
	for _, pattern := range []string{"*.go", "provider/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range reason.FindAllStringSubmatch(readFile(t, file), -1) {
				found[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestReferenceHasEveryHeaderAndPlaceholder(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	published := regexp.MustCompile(`"(http\.captcha\.\w+|X-Captcha-\w+|Captcha-\w+|captcha_\w+|captcha-seal)"`)
	names := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			for _, m := range published.FindAllStringSubmatch(readFile(t, file), -1) {
				names[m[1]] = true
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only these names were found in the source: %v", names)
	}
	for name := range names {
		if !strings.Contains(reference, name) {
			t.Errorf("docs/reference.md does not mention %s", name)
		}
	}
}

// TestReferenceHasWhatOperatorsSee looks up metrics, events, admin endpoints and
// commands.
func TestReferenceHasWhatOperatorsSee(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	for _, c := range []struct{ file, pattern, prefix string }{
		{"metrics.go", `(?:counter\(|newGauge\(|Name: )"(\w+)"`, "caddy_captcha_"},
		{"report.go", `r\.emit\("(\w+)"`, "captcha."},
		{"admin.go", `Pattern: "([^"]+)"`, ""},
		{"command*.go", `Use: +"(\w+)`, "caddy captcha "},
		{"command*.go", `Flags\(\)\.\w+\("([\w-]+)"`, "--"},
	} {
		files, err := filepath.Glob(c.file)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for _, file := range files {
			text += readFile(t, file)
		}
		found := regexp.MustCompile(c.pattern).FindAllStringSubmatch(text, -1)
		if len(found) < 2 {
			t.Errorf("%s: only %v was found", c.file, found)
		}
		for _, m := range found {
			if !strings.Contains(reference, c.prefix+m[1]) {
				t.Errorf("docs/reference.md does not mention %s", c.prefix+m[1])
			}
		}
	}
}
