package web

import (
	"bytes"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// A view is what templates see.
type view struct {
	Page
	Nonce, Lang, Dir string

	locale   *locale
	puzzle   challenge
	lifetime time.Duration
	marked   bool // the page becomes a shape
}

func newView(p Page) (*view, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	v := &view{Page: p, Nonce: newNonce(), locale: matchLocale(p.AcceptLanguage)}
	v.Lang, v.Dir = v.locale.tag, v.locale.dir
	if p.Kind == Stop || p.Widget != nil {
		return v, nil
	}
	var err error
	v.puzzle, v.lifetime, err = parseChallenge(p.Challenge, time.Now())
	return v, err
}

// Heading is the key of the page's heading.
func (v *view) Heading() string {
	if v.Kind == Stop && !v.Cleared {
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
	if !strings.Contains(text, "{") {
		return text, nil
	}
	from, host := v.From, v.widgetHost()
	if v.Dir == "rtl" {
		from, host = "\u2068"+from+"\u2069", "\u2068"+host+"\u2069" // isolates keep the URLs' own direction
	}
	return strings.NewReplacer("{from}", from, "{host}", host).Replace(text), nil
}

// widgetHost names where the widget comes from.
func (v *view) widgetHost() string {
	if v.Widget != nil {
		if host := v.Widget.host(); host != "" {
			return host
		}
	}
	return v.Host
}

// Problem is the text of the reason, empty where nothing went wrong.
func (v *view) Problem() string {
	switch {
	case v.Cleared && v.Kind == Stop:
		return ""
	case v.InsecureElsewhere && v.Kind == Stop:
		return v.locale.text["insecure-elsewhere"]
	case v.Kind != Stop && (v.Reason == reasonMissing || v.Reason == ""):
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
	case v.Kind == Stop && v.Cleared:
		return "redeem-ready"
	case v.Kind == Stop:
		return "stop-help"
	case v.Kind == Redeem && v.Elsewhere:
		return "note-elsewhere"
	case v.Kind == Redeem:
		return "note-large"
	}
	return "note-" + v.Kind.String()
}

// scriptTexts are the keys of the texts that the script shows.
var scriptTexts = map[Kind][]string{
	Submit:  {"working", "failed", "retry", "sending", "still-sending", "maybe-sent", "send-again", "back"},
	Confirm: {"working", "failed", "retry", "sending", "still-sending", "maybe-sent", "back", "confirm-ready", "confirm-button"},
	Redeem:  {"working", "failed", "retry", "redeem-ready", "redeem-tab", "back"},
}

// widgetTexts are those that it shows in addition where there is a widget.
var widgetTexts = []string{"widget-loading", "widget-ready", "widget-slow", "widget-blocked", "widget-help", "widget-next", "widget-other"}

// Data is what the script works with.
func (v *view) Data() (map[string]any, error) {
	keys := scriptTexts[v.Kind]
	if v.Widget != nil {
		keys = slices.Concat(keys, widgetTexts)
	}
	texts := make(map[string]string)
	for _, key := range keys {
		text, err := v.Text(key)
		if err != nil {
			return nil, err
		}
		texts[key] = text
	}
	data := map[string]any{"kind": v.Kind.String(), "text": texts, "challenge": v.document()}
	if v.marked {
		data["challenge"] = marks[challengeHole]
	}
	if w := v.Widget; w != nil {
		data["fields"] = v.Fields
		data["widget"] = map[string]any{
			"script": w.Script, "module": w.Module, "siteKey": w.SiteKey, "lang": v.Lang, "fallback": v.BlockedFallback,
		}
		return data, nil
	}
	data["fields"] = []string{v.Field}
	data["lifetime"] = v.lifetime.Milliseconds()
	if v.marked {
		data["lifetime"] = marks[lifetimeHole]
	}
	return data, nil
}

// document is what the script solves, or hands over to the widget.
func (v *view) document() any {
	switch {
	case v.Widget == nil:
		return v.puzzle
	case len(v.Challenge) > 0:
		return v.Challenge
	}
	return nil
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

// The files, as the parts need them.

func (v *view) CSS() template.CSS {
	if v.Widget != nil {
		return packedWidgetCSS
	}
	return packedCSS
}

func (v *view) SolverJS() template.JS { return packedSolver }

func (v *view) PageJS() template.JS {
	if v.Widget != nil {
		return packedWidget
	}
	return packedPage
}

// The widget's own, which are trusted.

func (v *view) Markup() template.HTML { return template.HTML(v.Widget.Markup) }
func (v *view) GlueJS() template.JS   { return template.JS(v.Widget.Glue) }
