package web

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The example in Template's documentation, which operators copy.
func documentedTemplate(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("template.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)//\t<!doctype html>.*?//\t</html>`).Find(source)
	return regexp.MustCompile(`(?m)^//\t`).ReplaceAllString(string(m), "")
}

func TestOwnTemplate(t *testing.T) {
	own, err := Parse("own.html", documentedTemplate(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range variants() {
		r, err := own.Render(p)
		if err != nil {
			t.Fatal(name, err)
		}
		html := string(r.HTML)
		contains(t, html, "<main><h1>", `id="captcha-check"`, "7hx2-k9qm-41vd", "mailto:help@example.com")
		contains(t, r.CSP, "img-src 'self' data:")
		if p.Kind != Stop {
			contains(t, html, `name="captcha-seal" value="c2VhbA"`, "new Worker(url)")
		}
	}
}

// A page of one's own that shows what is one visitor's only shows it to that visitor.
func TestOwnTemplateShowsEachVisitorTheirOwn(t *testing.T) {
	for _, what := range []string{".AcceptLanguage", "printf \"%s\" .Challenge", "printf \"%.9s\" .Reference", "len .Seal"} {
		own, err := Parse("own.html", documentedTemplate(t)+"{{"+what+"}}")
		if err != nil {
			t.Fatal(err)
		}
		for _, visitor := range []string{"a", "someone", "a"} {
			p := tryPage(Submit, visitor)
			v, _ := newView(p)
			want, _ := own.render(v)
			r, err := own.Render(p)
			_, shown, _ := strings.Cut(string(r.HTML), "</html>")
			if _, due, _ := strings.Cut(string(want.HTML), "</html>"); err != nil || shown != due {
				t.Errorf("{{%s}} for %s: %q, want %q, %v", what, visitor, shown, due, err)
			}
		}
	}
}

func TestOwnTemplateThatCannotWork(t *testing.T) {
	good := documentedTemplate(t)
	tests := map[string]string{
		"{{.Form}} must stand in it exactly once, found 0":   strings.Replace(good, "{{.Form}}", "", 1),
		"{{.Form}} must stand in it exactly once, found 2":   good + "{{.Form}}",
		"{{.Script}} must stand in it exactly once, found 0": strings.Replace(good, "{{.Script}}", "", 1),
		"{{.Check}} must stand in it exactly once, found 0":  strings.Replace(good, "{{.Check}}", "", 1),
		`there is no text "headline"`:                        strings.ReplaceAll(good, ".Text .Heading", `.Text "headline"`),
		"unexpected EOF":                                     good + "{{if .Title}}",
		"can't evaluate field Logo":                          good + "{{.Logo}}",
	}
	for want, text := range tests {
		_, err := Parse("own.html", text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "own.html") {
			t.Errorf("error %v, want one about own.html and %q", err, want)
		}
	}
}

func TestPack(t *testing.T) {
	got := pack("// comment\n\n  a(); // goes\n\t/* comment */\nb { /* stays */ }\n'https://x'\n")
	want := "a();\nb { /* stays */ }\n'https://x'\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSqueeze(t *testing.T) {
	got := squeeze("const a = b + +c - -d, e = {f: 'g  h', i: \"j \\\" k\", l: `m ${n} o`};\nif (e) {\nreturn x => 'it is' in y;\n}\nelse\ndo {\n} while (f);\n")
	want := "const a=b+ +c- -d,e={f:'g  h',i:\"j \\\" k\",l:`m ${n} o`};if(e){return x=>'it is'in y}else\ndo{}while(f);"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
