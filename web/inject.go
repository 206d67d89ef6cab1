package web

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

//go:embed inject.js
var injectJS string

//go:embed inject_form.js
var injectFormJS string

//go:embed inject_widget.js
var injectWidgetJS string

//go:embed inject_fetch.js
var injectFetchJS string

//go:embed inject_xhr.js
var injectXHRJS string

// Inject is the script that stands in the app's own pages. It makes a token while
// a visitor fills in a form, and repeats refused requests of the page's scripts
// with one. A form's token goes into inputs of the form that are marked as
// InjectMark says; the script adds them where they are missing.
type Inject struct {
	// TokenHeader is the request header that carries a token beside the body.
	// Default: Captcha-Token.
	TokenHeader string
	// Providers are the chain: the primary first, then the fallbacks.
	Providers []InjectProvider
	// Forms are CSS selectors of the forms that are wanted. Default: all that post.
	Forms []string
	// Actions are the path patterns, as Caddy's path matcher has them, of the
	// actions that are wanted. Default: all of the page's origin.
	Actions []string
}

// InjectProvider is a provider whose challenges the script can have solved.
type InjectProvider struct {
	// Name is the provider's name, as the edge's challenges say it.
	Name string
	// Fields are the names of the fields that are a token together.
	Fields []string
	// Widget is the provider's widget. Without one, the script solves an ALTCHA v1
	// challenge by itself.
	Widget *Widget
}

// InjectMark is the attribute of what is put into a page: the script, and the
// inputs in its forms.
const InjectMark = "data-captcha-inject"

// InjectTexts are what the script shows, in the visitor's language. They come with
// the challenges, so that pages need not carry them in all languages.
type InjectTexts struct {
	// Lang is the language's tag, and Dir its direction: ltr or rtl.
	Lang string `json:"lang"`
	Dir  string `json:"dir"`
	// Working and Passed say how the check goes.
	Working string `json:"working"`
	Passed  string `json:"passed"`
	// Ready asks the visitor to do something in a widget, and Cancel is what the
	// button says that gives it up. Both are empty where there is no widget.
	Ready  string `json:"ready,omitempty"`
	Cancel string `json:"cancel,omitempty"`
}

// TextsOf are the texts in the language that Accept-Language asks for.
func TextsOf(acceptLanguage string, widget bool) *InjectTexts {
	l := matchLocale(acceptLanguage)
	t := &InjectTexts{Lang: l.tag, Dir: l.dir, Working: l.text["working"], Passed: l.text["passed"]}
	if widget {
		t.Ready, t.Cancel = l.text["widget-ready"], l.text["cancel"]
	}
	return t
}

// Script returns the text of the inline script. It is the same for all visitors,
// and ASCII, so that its bytes and its hash do not depend on the page's charset.
func (i Inject) Script() (string, error) {
	if len(i.Providers) == 0 {
		return "", errors.New("an injected script without a provider")
	}
	names, providers := make(map[string]int), make([]string, 0, len(i.Providers))
	widgets := false
	for _, p := range i.Providers {
		text, err := p.script()
		if err != nil {
			return "", fmt.Errorf("provider %s: %w", p.Name, err)
		}
		providers = append(providers, text)
		for _, name := range p.Fields {
			names[name] = 1
		}
		widgets = widgets || p.Widget != nil
	}
	actions, err := patterns(i.Actions)
	if err != nil {
		return "", err
	}
	header := i.TokenHeader
	if header == "" {
		header = "Captcha-Token"
	}
	var b strings.Builder
	b.WriteString("(()=>{")
	b.WriteString(squeeze(pack(solverJS)))
	b.WriteString("try{")
	fmt.Fprintf(&b, "const HEADER=%s,FORMS=%s,ACTIONS=%s;\n", quote(header), quote(strings.Join(i.Forms, ",")), actions)
	fmt.Fprintf(&b, "const NAMES={__proto__:null,%s;\n", quote(names)[1:])
	fmt.Fprintf(&b, "const PROVIDERS={__proto__:null,%s};\n", strings.Join(providers, ","))
	files := []string{injectJS, poolJS, tokenJS, injectFormJS, injectWidgetJS, injectFetchJS, injectXHRJS}
	if !widgets {
		files = slices.Delete(files, 4, 5)
	}
	b.WriteString(squeeze(pack(strings.Join(files, "\n"))))
	b.WriteString("}catch{}})();\n") // the page goes on as without us
	text := ascii(b.String())
	if endsScript.MatchString(text) {
		return "", errors.New("a text in the injected script would end the script that it stands in")
	}
	return text, nil
}

// script is the provider as the script knows it.
func (p InjectProvider) script() (string, error) {
	if p.Name == "" || len(p.Fields) == 0 {
		return "", errors.New("without its name or the names of the token's fields")
	}
	w := p.Widget
	if w == nil {
		return fmt.Sprintf("%s:{fields:%s}", quote(p.Name), quote(p.Fields)), nil
	}
	if err := (Page{Widget: w, Fields: p.Fields}).validateWidget(); err != nil {
		return "", err
	}
	glue := "null"
	if w.Glue != "" {
		glue = "(captcha) => {\n" + w.Glue + "\n}"
	}
	return fmt.Sprintf("%s:{fields:%s,widget:{script:%s,module:%t,siteKey:%s,markup:%s,glue:%s}}",
		quote(p.Name), quote(p.Fields), quote(w.Script), w.Module, quote(w.SiteKey), quote(w.Markup), glue), nil
}

// patterns is one regular expression for path patterns; null where there are none.
// As Caddy's matcher does, it compares without regard to case, and an asterisk at
// an end stands for anything, one elsewhere for anything but a slash.
func patterns(list []string) (string, error) {
	if len(list) == 0 {
		return "null", nil
	}
	all := make([]string, len(list))
	for i, pattern := range list {
		if !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "*") {
			return "", fmt.Errorf("the path pattern %q: write /%s", pattern, pattern)
		}
		all[i] = expression(pattern)
	}
	return "new RegExp(" + quote("^(?:"+strings.Join(all, "|")+")$") + ", 'i')", nil
}

// expression is a regular expression for one pattern.
func expression(pattern string) string {
	middle, prefixed := strings.CutPrefix(pattern, "*")
	middle, suffixed := strings.CutSuffix(middle, "*")
	if !strings.ContainsAny(middle, `*?[\`) { // Caddy has a fast way for these, where * is also a slash
		text := regexp.QuoteMeta(middle)
		if prefixed {
			text = ".*" + text
		}
		if suffixed {
			text += ".*"
		}
		return text
	}
	return strings.NewReplacer(`\*`, "[^/]*", `\?`, "[^/]", `\[`, "[", `\]`, "]", `\\`, `\`).Replace(regexp.QuoteMeta(pattern))
}

// quote is a value as JavaScript, safe within a script element.
func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, lists and maps of them always have a JSON form
	}
	return string(b)
}

// ascii escapes the other characters, as JavaScript does wherever they can stand:
// in texts, in names, and in comments, where it does not matter.
func ascii(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if r <= '~' {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
