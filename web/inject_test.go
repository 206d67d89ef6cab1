package web

import (
	"regexp"
	"strings"
	"testing"
)

var (
	powInject = Inject{Providers: []InjectProvider{{Name: "pow", Fields: []string{"altcha"}}}}

	widgetInject = Inject{Providers: []InjectProvider{
		{Name: "turnstile", Fields: []string{"cf-turnstile-response"}, Widget: &Widget{
			SiteKey: "0x4", Script: "https://challenges.example/api.js", Markup: `<div class="cf-turnstile" data-sitekey="0x4"></div>`,
		}},
		{Name: "pow", Fields: []string{"altcha"}},
	}}
)

func scriptOf(t *testing.T, i Inject) string {
	t.Helper()
	text, err := i.Script()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestInjectIsConstantASCII(t *testing.T) {
	i := widgetInject
	i.Providers = append(i.Providers, InjectProvider{Name: "größe", Fields: []string{"ü"}, Widget: &Widget{Glue: "// ä 盐 🧂\ncaptcha.set({ü: '🧂'});"}})
	text := scriptOf(t, i)
	if strings.ContainsFunc(text, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' && r != '\t' }) {
		t.Error("not ASCII")
	}
	for _, want := range []string{`"gr\u00f6\u00dfe"`, `'\ud83e\uddc2'`} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if text != scriptOf(t, i) {
		t.Error("not the same twice")
	}
}

// What a configuration says cannot end the element, nor become code.
func TestInjectEscapes(t *testing.T) {
	evil := `</script><!--"'` + "\u2028\n" + `\`
	text := scriptOf(t, Inject{
		TokenHeader: "X-Token",
		Forms:       []string{`[name="` + evil + `"]`},
		Actions:     []string{"/" + evil},
		Providers: []InjectProvider{{Name: evil, Fields: []string{evil, "__proto__"}, Widget: &Widget{
			SiteKey: evil, Script: "https://x.test/" + strings.TrimSpace("?a=</script>"), Markup: evil,
		}}},
	})
	if endsScript.MatchString(text) || strings.Count(text, "\n") != strings.Count(scriptOf(t, widgetInject), "\n") {
		t.Error("a value is not escaped")
	}
}

func TestInjectErrors(t *testing.T) {
	for want, i := range map[string]Inject{
		"without a provider":          {},
		"names of the token's fields": {Providers: []InjectProvider{{Name: "pow"}}},
		"without its name":            {Providers: []InjectProvider{{Fields: []string{"a"}}}},
		"neither script nor glue":     {Providers: []InjectProvider{{Name: "x", Fields: []string{"a"}, Widget: &Widget{}}}},
		"would end the script":        {Providers: []InjectProvider{{Name: "x", Fields: []string{"a"}, Widget: &Widget{Glue: "'</script>'"}}}},
		`"login*": write /login*`:     {Actions: []string{"login*"}, Providers: powInject.Providers},
	} {
		if _, err := i.Script(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
}

// The patterns mean what they mean to Caddy's path matcher.
func TestInjectPatterns(t *testing.T) {
	for pattern, paths := range map[string]map[string]bool{
		"/login":     {"/login": true, "/LOGIN": true, "/login/": false, "/x/login": false, "/login.php": false},
		"/login*":    {"/login": true, "/login/a/b": true, "/log": false},
		"*.php":      {"/a/b.php": true, "/a.php/x": false, "/axphp": false},
		"*/send/*":   {"/a/send/b": true, "/send": false},
		"*":          {"/": true, "/a/b": true},
		"/a/*/c":     {"/a/b/c": true, "/a/b/b/c": false},
		"/a/*/c*":    {"/a/b/cd": true, "/a/b/c/d": false},
		"/v[12]/x":   {"/v1/x": true, "/v3/x": false},
		"/a?c":       {"/abc": true, "/a/c": false},
		"/a+(b)|c.$": {"/a+(b)|c.$": true, "/aab": false},
	} {
		text, err := patterns([]string{"/never", pattern})
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`^new RegExp\("(.*)", 'i'\)$`).FindStringSubmatch(text)
		source := strings.NewReplacer(`\\`, `\`, `\u0026`, "&", `\"`, `"`).Replace(m[1])
		re := regexp.MustCompile("(?i)" + source)
		for path, want := range paths {
			if re.MatchString(path) != want {
				t.Errorf("%s as %s matches %s: %t", pattern, source, path, !want)
			}
		}
	}
}
