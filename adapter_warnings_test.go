package captcha

import (
	"strings"
	"testing"
)

// nestedPage is a handle block with a captcha directive in it, and what stands
// above the block.
func nestedPage(above string) string {
	return above + "\n\thandle /forum/* {\n\t\tcaptcha\n\t}"
}

// What a site block may leave open is said when the Caddyfile is adapted, with the
// place; what leaves nothing open is adapted in silence.
func TestAdapterWarnings(t *testing.T) {
	e := serve(t, "respond 404") // whose log gets them
	for name, c := range map[string]struct{ site, want string }{
		"one exact path":              {"captcha /login", "/login does not match /login/. Write /login* to protect both"},
		"one path with an asterisk":   {"captcha /login*", ""},
		"two exact paths":             {"@forms path /login /login/\n\tcaptcha @forms", ""},
		"an exact path and a host":    {"@forms {\n\t\tpath /login\n\t\thost example.com\n\t}\n\tcaptcha @forms", ""},
		"a block":                     {nestedPage(""), "write captcha_strip in the site block"},
		"a block below captcha_strip": {nestedPage("captcha_strip"), ""},
		"a block below a captcha":     {nestedPage("captcha /login*"), ""},
		"methods without POST":        {"@put method PUT\n\tcaptcha @put", "use captcha's own option methods instead"},
		"methods with POST":           {"@write method PUT POST\n\tcaptcha @write", ""},
		"a content type":              {"@json header Content-Type application/json*\n\tcaptcha @json", "leave Content-Type out of it"},
		"another header":              {"@new header X-New *\n\tcaptcha @new", ""},
		"captcha_inject in a block":   {"captcha /login*\n\thandle /forum/* {\n\t\tcaptcha_inject\n\t}", "write action with the paths in this block"},
		"the same for its paths":      {"captcha /login*\n\thandle /forum/* {\n\t\tcaptcha_inject {\n\t\t\taction /forum/*\n\t\t}\n\t}", ""},
	} {
		before := len(e.logLines(t, "config.adapter.caddyfile"))
		if _, err := adaptText("example.com {\n\t" + c.site + "\n}\n"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		warnings := strings.Join(e.logLines(t, "config.adapter.caddyfile")[before:], "\n")
		if (warnings == "") != (c.want == "") || !strings.Contains(warnings, c.want) || warnings != "" && !strings.Contains(warnings, `"line":`) {
			t.Errorf("%s: warned %q, want %q", name, warnings, c.want)
		}
	}
}
