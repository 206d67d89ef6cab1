package captcha_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/altcha"
	"github.com/caddy-captcha/caddy-captcha/provider/geetest"
	"github.com/caddy-captcha/caddy-captcha/provider/siteverify"
	"github.com/caddy-captcha/caddy-captcha/provider/trustcaptcha"
)

// TestProvidersHasEveryProvider looks up what the build has, with its options
// in the Caddyfile and in JSON.
func TestProvidersHasEveryProvider(t *testing.T) {
	text := readFile(t, "docs/providers.md")
	sections := make(map[string]string) // with the sections below them
	for _, section := range strings.Split(text, "\n## ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		sections[name] = rest
	}
	found := 0
	for _, m := range caddy.GetModules(provider.Namespace) {
		if !strings.Contains(reflect.TypeOf(m.New()).Elem().PkgPath(), "/provider/") {
			continue // of a test
		}
		found++
		section, ok := sections[m.ID.Name()]
		if !ok {
			t.Errorf("docs/providers.md has no section ## %s", m.ID.Name())
			continue
		}
		for _, item := range []string{"Keys", "Test keys", "CSP", "Privacy", "Outage"} {
			if line(section, item) == "" {
				t.Errorf("the section %s lacks - %s:", m.ID.Name(), item)
			}
		}
		if len(codeBlocks(section, "caddyfile")) == 0 {
			t.Errorf("the section %s has no Caddyfile", m.ID.Name())
		}
	}
	if found < 17 {
		t.Errorf("only %d providers were found", found)
	}
	for _, v := range []any{altcha.Provider{}, geetest.Provider{}, geetest.Provider4{}, trustcaptcha.Provider{}, siteverify.Provider{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && !strings.Contains(text, "`"+name) {
				t.Errorf("docs/providers.md does not mention %s of %T", name, v)
			}
		}
	}
}

// TestProvidersHasEverySource looks up where the widgets load from.
func TestProvidersHasEverySource(t *testing.T) {
	text := readFile(t, "docs/providers.md")
	for _, file := range []string{"provider/siteverify/table.go", "provider/siteverify/table_more.go"} {
		source := regexp.MustCompile(`"(https://[^"/ ]+)[^" ]*"`)
		csp := regexp.MustCompile(`"[a-z]+-src": +\{[^}]*\}`)
		for _, list := range csp.FindAllString(readFile(t, file), -1) {
			for _, m := range source.FindAllStringSubmatch(list, -1) {
				if !strings.Contains(text, m[1]) {
					t.Errorf("docs/providers.md does not name %s", m[1])
				}
			}
		}
	}
}
