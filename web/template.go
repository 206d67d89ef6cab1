package web

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed parts.html
var partsHTML string

//go:embed page.css
var pageCSS string

//go:embed solver.js
var solverJS string

//go:embed pool.js
var poolJS string

//go:embed page.js
var pageJS string

// Template renders pages. It is safe for concurrent use.
//
// An operator's own template is an html/template that arranges ready parts:
//
//	<!doctype html>
//	<html lang="{{.Lang}}" dir="{{.Dir}}">
//	<head>
//		<meta charset="utf-8">
//		<meta name="viewport" content="width=device-width">
//		<title>{{.Text .Heading}}</title>
//		{{.Style}}
//	</head>
//	<body>
//		<main><h1>{{.Text .Heading}}</h1> {{.Check}}</main>
//		<footer>{{.Help}}</footer>
//		{{.Script}} {{.Form}}
//	</body>
//	</html>
//
// The parts, all of which are needed but .Style and .Help:
//
//	.Check   what is going on: explanation, progress, button, text without JavaScript
//	.Script  the script (nothing on a page that stops); where it stands, solving starts
//	.Form    the form that is carried (nothing on a page that stops); best put last, it can be large
//	.Help    the contact and the reference
//	.Style   the built-in page's style sheet
//
// And the data:
//
//	.Kind       submit, confirm, redeem, or stop (see [Kind])
//	.Reason     why, as in problem+json: token-missing, token-expired, …
//	.Lang .Dir  language and direction of the texts: en and ltr
//	.Nonce      for <style nonce="{{.Nonce}}"> and <script nonce="{{.Nonce}}"> of your own
//	.Heading    the key of the page's heading
//	.Text KEY   a text in the visitor's language; the keys are those of lang/en.json
//	.Host .Title .Contact .Reference .From   as in [Page]
//
// The page's Content-Security-Policy allows neither style attributes nor event
// handlers in attributes; images may come from the site itself or from data URLs.
type Template struct {
	page   *template.Template
	images string // the sources of the img-src directive
}

// parts holds the ready parts. Its templates get a *view.
var parts = template.Must(template.New("parts.html").Parse(partsHTML))

// Default returns the built-in page.
func Default() *Template { return defaultTemplate() }

var defaultTemplate = sync.OnceValue(func() *Template {
	t := template.Must(template.New("page.html").Parse(pageHTML))
	return &Template{page: t, images: "data:"}
})

// Parse reads an operator's own template and tries it out, so that one that
// cannot work is an error when the configuration is loaded.
func Parse(name, text string) (*Template, error) {
	page, err := template.New(name).Parse(text)
	if err != nil {
		return nil, err
	}
	t := &Template{page: page, images: "'self' data:"}
	for kind := Submit; kind <= Stop; kind++ {
		if err := t.try(kind); err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
	}
	return t, nil
}

// try renders a page of a kind and looks for the parts that it cannot do without.
func (t *Template) try(kind Kind) error {
	r, err := t.Render(Page{
		Kind: kind, Reason: ReasonMissing, Host: "example.com", From: "https://www.example.com",
		Field: "altcha", Seal: "seal", Reference: "reference",
		Challenge: json.RawMessage(`{"algorithm":"SHA-256","challenge":"` + strings.Repeat("0", 64) + `","maxnumber":1,"salt":"s","signature":"s"}`),
	})
	if err != nil {
		return err
	}
	needed := []struct{ part, mark string }{
		{".Check", `id="captcha-check"`}, {".Form", `id="captcha-form"`}, {".Script", `id="captcha-data"`},
	}
	if kind == Stop {
		needed = needed[:1]
	}
	for _, n := range needed {
		if c := bytes.Count(r.HTML, []byte(n.mark)); c != 1 {
			return fmt.Errorf("{{%s}} must stand in it exactly once, found %d on the %s page", n.part, c, kind)
		}
	}
	return nil
}

// A view is what templates see.
type view struct {
	Page
	Nonce, Lang, Dir string

	locale   *locale
	puzzle   challenge
	lifetime time.Duration
}

func newView(p Page) (*view, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	v := &view{Page: p, Nonce: newNonce(), locale: matchLocale(p.AcceptLanguage)}
	v.Lang, v.Dir = v.locale.tag, v.locale.dir
	if p.Kind == Stop {
		return v, nil
	}
	var err error
	v.puzzle, v.lifetime, err = parseChallenge(p.Challenge, time.Now())
	return v, err
}

// Heading is the key of the page's heading.
func (v *view) Heading() string {
	if v.Kind == Stop {
		return "heading-stop"
	}
	return "heading"
}

// Text returns a text in the visitor's language.
func (v *view) Text(key string) (string, error) {
	text, ok := v.locale.text[key]
	if !ok {
		return "", fmt.Errorf("there is no text %q", key)
	}
	from := v.From
	if v.Dir == "rtl" {
		from = "\u2068" + from + "\u2069" // an isolate keeps the URL's own direction
	}
	return strings.ReplaceAll(text, "{from}", from), nil
}

// Problem is the text of the reason, empty where nothing went wrong.
func (v *view) Problem() string {
	switch {
	case v.InsecureElsewhere && v.Kind == Stop:
		return v.locale.text["insecure-elsewhere"]
	case v.Kind != Stop && (v.Reason == ReasonMissing || v.Reason == ""):
		return ""
	case v.Kind == Redeem && !v.Elsewhere && v.Reason == "body-too-large":
		return "" // the note says it
	}
	if text, ok := v.locale.text["reason."+v.Reason]; ok {
		return text
	}
	return v.locale.text["reason.unknown"]
}

// Note is the key of the text that says what happens to the form.
func (v *view) Note() string {
	switch {
	case v.Kind == Redeem && v.Elsewhere:
		return "note-elsewhere"
	case v.Kind == Redeem:
		return "note-large"
	}
	return "note-" + v.Kind.String()
}

// Data is what the script works with.
func (v *view) Data() (map[string]any, error) {
	keys := map[Kind][]string{
		Submit:  {"working", "failed", "retry", "sending", "still-sending", "maybe-sent", "send-again", "back"},
		Confirm: {"working", "failed", "retry", "sending", "still-sending", "maybe-sent", "back", "confirm-ready", "confirm-button"},
		Redeem:  {"working", "failed", "retry", "redeem-ready", "redeem-tab", "back"},
	}
	texts := make(map[string]string)
	for _, key := range keys[v.Kind] {
		text, err := v.Text(key)
		if err != nil {
			return nil, err
		}
		texts[key] = text
	}
	return map[string]any{
		"kind":      v.Kind.String(),
		"challenge": v.puzzle,
		"lifetime":  v.lifetime.Milliseconds(),
		"text":      texts,
	}, nil
}

// ContactLink is the target of the link to the contact.
func (v *view) ContactLink() (string, error) { return contactLink(v.Contact, v.Reference) }

// The ready parts.

func (v *view) Style() (template.HTML, error)  { return v.part("style") }
func (v *view) Check() (template.HTML, error)  { return v.part("check") }
func (v *view) Help() (template.HTML, error)   { return v.part("help") }
func (v *view) Script() (template.HTML, error) { return v.part("script") }
func (v *view) Form() (template.HTML, error)   { return v.part("form") }

func (v *view) part(name string) (template.HTML, error) {
	var b bytes.Buffer
	err := parts.ExecuteTemplate(&b, name, v)
	return template.HTML(b.String()), err
}

// The files that a page consists of, as the parts need them.

func (v *view) CSS() template.CSS     { return template.CSS(packedCSS()) }
func (v *view) SolverJS() template.JS { return template.JS(packedSolver()) }
func (v *view) PageJS() template.JS   { return template.JS(packedPage()) }

var (
	packedCSS    = sync.OnceValue(func() string { return pack(pageCSS) })
	packedSolver = sync.OnceValue(func() string { return pack(solverJS) })
	packedPage   = sync.OnceValue(func() string { return pack(poolJS + pageJS) })
)

// pack leaves out blank lines, indentation, and lines that are nothing but one
// comment. It knows no syntax: our files have no strings over several lines.
func pack(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		comment := strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/*") && strings.HasSuffix(line, "*/")
		if line != "" && !comment {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
