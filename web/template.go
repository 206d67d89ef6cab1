package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"sync"
)

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
//	.Check   what is going on: explanation, progress or the provider's widget, button, text without JavaScript
//	.Script  the script (nothing on a page that stops); where it stands, solving starts
//	.Form    the form that is carried (nothing on a page that stops); best put last, it can be large
//	.Help    the contact and the reference
//	.Style   the built-in page's style sheet
//
// And the data:
//
//	.Kind       submit, confirm, redeem, or stop (see [Kind]); to compare: eq .Kind.String "stop"
//	.Reason     why, as in problem+json: token-missing, token-expired, …
//	.Lang .Dir  language and direction of the texts: en and ltr
//	.Nonce      for <style nonce="{{.Nonce}}"> and <script nonce="{{.Nonce}}"> of your own
//	.Heading    the key of the page's heading
//	.Text KEY   a text in the visitor's language; the keys are those of lang/en.json
//	.Host .Title .Contact .Reference .From   as in [Page]
//
// Scripts of your own belong into a block or a module: ours has names at the top.
// The page's Content-Security-Policy allows neither style attributes nor event
// handlers in attributes; images may come from the site itself or from data URLs.
// Where a provider's widget is shown, it allows what that needs as well.
type Template struct {
	page   *template.Template
	images []string // the sources of the img-src directive
	shapes *memo[shapeKey, *shape]
	direct bool // pages cannot be made from shapes
}

// parts holds the ready parts. Its templates get a *view.
var parts = template.Must(template.New("parts.html").Parse(partsHTML))

// Default returns the built-in page.
func Default() *Template { return defaultTemplate() }

var defaultTemplate = sync.OnceValue(func() *Template {
	t := template.Must(template.New("page.html").Parse(pageHTML))
	return newTemplate(t, "data:")
})

// Parse reads an operator's own template and tries it out, so that one that
// cannot work is an error when the configuration is loaded.
func Parse(name, text string) (*Template, error) {
	page, err := template.New(name).Parse(text)
	if err != nil {
		return nil, err
	}
	t := newTemplate(page, "'self'", "data:")
	for kind := Submit; kind <= Stop; kind++ {
		if err := t.try(kind); err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
	}
	return t, nil
}

func newTemplate(page *template.Template, images ...string) *Template {
	return &Template{page: page, images: images, shapes: &memo[shapeKey, *shape]{max: maxShapes}}
}

// tryPage is a visitor's page to try a template with.
func tryPage(kind Kind, visitor string) Page {
	return Page{
		Kind: kind, Reason: reasonMissing, Host: "example.com", From: "https://www.example.com",
		AcceptLanguage: "x-" + visitor, Field: "altcha", Seal: "seal-" + visitor, Reference: "reference-" + visitor,
		Challenge: json.RawMessage(`{"algorithm":"SHA-256","challenge":"` + strings.Repeat("0", 64) + `","maxnumber":1,"salt":"` + visitor + `","signature":"s"}`),
	}
}

// try renders pages of a kind and looks for the parts that it cannot do without.
func (t *Template) try(kind Kind) error {
	var r, filled Rendered
	for _, visitor := range []string{"one", "another"} { // who get the same shape
		v, err := newView(tryPage(kind, visitor))
		if err != nil {
			return err
		}
		if r, err = t.render(v); err != nil {
			return err
		}
		if filled, err = t.fill(nil, v); err != nil {
			return err
		}
		// it may do more with a nonce or a reference than to write it, or show what is
		// one visitor's only
		t.direct = t.direct || !bytes.Equal(r.HTML, filled.HTML) || r.CSP != filled.CSP
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
