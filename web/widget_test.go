package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// widgetPage returns a page with everything of a widget on it.
func widgetPage(k Kind) Page {
	p := testPage(k)
	p.Field, p.Challenge = "", json.RawMessage(`{"gt":"0123","success":1}`)
	p.Fields, p.BlockedFallback = []string{"geetest_challenge", "geetest_validate"}, true
	p.Widget = &Widget{
		SiteKey: "site-key", Script: "https://static.example.net/gt.js?a=1&b=2", Module: true,
		Markup: `<div id="box" data-sitekey="site-key"></div>`,
		Glue:   "init(captcha.challenge, captcha.set); // the end",
		CSP: map[string][]string{
			"script-src": {"https://static.example.net"},
			"frame-src":  {"https://*.example.net"},
		},
	}
	return p
}

// widgetData is what the script gets.
type widgetData struct {
	Kind      string
	Challenge json.RawMessage
	Fields    []string
	Text      map[string]string
	Widget    struct {
		Script, SiteKey, Lang string
		Module, Fallback      bool
	}
}

func readWidgetData(t *testing.T, html string) (data widgetData) {
	t.Helper()
	m := regexp.MustCompile(`(?s)<script type="application/json" id="captcha-data">(.*?)</script>`).FindStringSubmatch(html)
	lacks(t, m[1], "\u2028", "\u2029", "<", "&")
	if err := json.Unmarshal([]byte(m[1]), &data); err != nil {
		t.Fatalf("%v in %s", err, m[1])
	}
	return data
}

func TestWidget(t *testing.T) {
	for kind := range Stop {
		for _, l := range locales {
			p := widgetPage(kind)
			p.AcceptLanguage = l.tag
			_, html := render(t, p)
			contains(t, html, `<form id="captcha-widget" method="dialog" autocomplete="off"><div id="box" data-sitekey="site-key"></div></form>`,
				"const captchaGlue = (captcha) => {\ninit(captcha.challenge, captcha.set); // the end\n};", l.text["nojs"])
			lacks(t, html, "captcha-solver", "new Worker", "{host}", "ZgotmplZ", ` src="`)
			form := regexp.MustCompile(`(?s)<form id="captcha-form".*</form>`).FindString(html)
			if n := strings.Count(form, "<input"); n != 1 || !strings.Contains(form, `name="captcha-seal" value="c2VhbA"`) {
				t.Errorf("the form that is sent: %s", form)
			}
			data := readWidgetData(t, html)
			want := widgetData{Kind: kind.String(), Challenge: p.Challenge, Fields: p.Fields, Text: data.Text}
			want.Widget.Script, want.Widget.SiteKey, want.Widget.Lang = p.Widget.Script, "site-key", l.tag
			want.Widget.Module, want.Widget.Fallback = true, true
			if fmt.Sprint(data) != fmt.Sprint(want) {
				t.Errorf("the script gets %+v, want %+v", data, want)
			}
			for _, key := range widgetTexts {
				if data.Text[key] == "" {
					t.Errorf("the script lacks %s", key)
				}
			}
			contains(t, data.Text["widget-blocked"], "static.example.net")
		}
	}
}

// A page that stops has no widget, and its policy allows none.
func TestWidgetOnStop(t *testing.T) {
	p := widgetPage(Stop)
	r, html := render(t, p)
	lacks(t, html, "<script", "<form", `id="box"`)
	lacks(t, r.CSP, "script-src", "frame-src", "example.net")
}

func TestWidgetChallenge(t *testing.T) {
	for challenge, want := range map[string]string{
		"": "null", "null": "null", `"text"`: `"text"`, `{"a":[1,2.50,9007199254740993]}`: `{"a":[1,2.50,9007199254740993]}`,
		`{"a":"</script><!--\u2028"}`: `{"a":"\u003c/script\u003e\u003c!--\u2028"}`,
	} {
		p := widgetPage(Submit)
		p.Challenge = json.RawMessage(challenge)
		_, html := render(t, p)
		contains(t, html, `{"challenge":`+want+`,"fields"`)
	}
}

func TestWidgetHost(t *testing.T) {
	for want, w := range map[string]Widget{
		"a.example.net:8443": {Script: "https://a.example.net:8443/x.js", CSP: map[string][]string{"script-src": {"https://b.example.net"}}},
		"b.example.net":      {Glue: "x", CSP: map[string][]string{"script-src": {"'unsafe-eval'", "https://*.example.net", "https://b.example.net/js/"}}},
		"www.example.com":    {Glue: "x"}, // the page's own
	} {
		p := widgetPage(Submit)
		p.Widget = &w
		_, html := render(t, p)
		contains(t, readWidgetData(t, html).Text["widget-slow"], " "+want+". ")
	}
}

func TestWidgetCSP(t *testing.T) {
	const base = "script-src N; worker-src 'none'; connect-src 'self'; style-src N; img-src data:; "
	for want, policy := range map[string]map[string][]string{
		base: {},
		"script-src N https://a.example 'wasm-unsafe-eval'; worker-src blob:; frame-src https://b.example; connect-src 'self' https://c.example; style-src N https://d.example; img-src data: https://e.example; font-src https://f.example; media-src https://g.example; ": {
			"script-src": {"https://a.example", "'wasm-unsafe-eval'"}, "worker-src": {"blob:"}, "frame-src": {"https://b.example"},
			"connect-src": {"https://c.example"}, "style-src": {"https://d.example"}, "img-src": {"https://e.example", "data:"},
			"font-src": {"https://f.example"}, "media-src": {"https://g.example"},
		},
		// a nonce would disable 'unsafe-inline'
		"script-src N; worker-src 'none'; connect-src 'self'; style-src 'unsafe-inline' https://a.example; img-src data:; ": {
			"style-src": {"'unsafe-inline'", "https://a.example"},
		},
		"script-src N; worker-src 'none'; connect-src 'self'; style-src 'Unsafe-Inline'; img-src data:; ": {"style-src": {"'Unsafe-Inline'"}},
		"script-src N; worker-src 'none'; connect-src 'self'; style-src N; style-src-attr 'unsafe-inline'; img-src data:; ": {
			"style-src-attr": {"'unsafe-inline'"},
		},
		"script-src N 'unsafe-inline'; script-src-elem N https://a.example; worker-src 'none'; connect-src 'self'; style-src N; style-src-elem N https://a.example; img-src data:; ": {
			"script-src": {"'unsafe-inline'"}, "script-src-elem": {"https://a.example"}, "style-src-elem": {"https://a.example"},
		},
		// workers fall back to child-src
		"script-src N; child-src blob:; connect-src 'self'; style-src N; img-src data:; ": {"child-src": {"blob:"}},
		// 'none' counts only alone
		"script-src N; worker-src 'none'; frame-src 'none'; connect-src 'self'; style-src N; img-src data:; font-src https://a.example; ": {
			"connect-src": {"'none'"}, "frame-src": {"'none'"}, "font-src": {"'none'", "https://a.example"}, "media-src": {},
		},
	} {
		p := widgetPage(Submit)
		p.Widget.CSP = policy
		before := fmt.Sprint(policy)
		r, html := render(t, p)
		nonce := regexp.MustCompile(`<script nonce="([\w-]{22})">`).FindStringSubmatch(html)[1]
		got := strings.ReplaceAll(r.CSP, "'nonce-"+nonce+"'", "N")
		if want := "default-src 'none'; " + want + "frame-ancestors 'none'; base-uri 'none'"; got != want {
			t.Errorf("%v\n got %s\nwant %s", policy, got, want)
		}
		if fmt.Sprint(policy) != before {
			t.Error("the widget's list was changed")
		}
	}
}

func TestFaultyWidgets(t *testing.T) {
	csp := func(directive string, sources ...string) func(*Page) {
		return func(p *Page) { p.Widget.CSP = map[string][]string{directive: sources} }
	}
	tests := map[string][]func(*Page){
		"is no http or https URL": {
			func(p *Page) { p.Widget.Script = "javascript:alert(1)" },
			func(p *Page) { p.Widget.Script = "/relative.js" },
			func(p *Page) { p.Widget.Script = "//example.net/x.js" },
			func(p *Page) { p.Widget.Script = "data:text/javascript,x" },
		},
		"the widget's script: ":   {func(p *Page) { p.Widget.Script = "https://example.net/\n" }},
		"neither script nor glue": {func(p *Page) { p.Widget.Script, p.Widget.Glue = "", "" }},
		"would end the script": {
			func(p *Page) { p.Widget.Glue = "x = '</SCRIPT >'" },
			func(p *Page) { p.Widget.Glue = "x = '<!--'" },
		},
		"a form of its own": {
			func(p *Page) { p.Widget.Markup = "</form><input>" },
			func(p *Page) { p.Widget.Markup = "<FORM action=x>" },
		},
		"is no JSON": {
			func(p *Page) { p.Challenge = json.RawMessage(`{"a":`) },
			func(p *Page) { p.Challenge = json.RawMessage(`{} {}`) },
		},
		"without the names": {func(p *Page) { p.Fields = nil }},
		"has a field": {
			func(p *Page) { p.Fields = []string{""} },
			func(p *Page) { p.Fields = []string{"a", "captcha-seal"} },
			func(p *Page) { p.Fields = []string{"captcha-blocked"} },
			func(p *Page) { p.Fields = []string{"a", "b", "a"} },
		},
		"has the directive": {
			csp("default-src", "*"), csp("form-action", "'self'"), csp("frame-ancestors", "*"), csp("base-uri", "*"),
			csp("sandbox"), csp("Script-Src", "*"), csp("", "*"), csp("img-src x; frame-src", "*"), csp("object-src", "*"),
		},
		"has the source": {
			csp("img-src", ""), csp("img-src", "https://a.example; script-src *"), csp("img-src", "a,b"), csp("img-src", "a b"),
			csp("img-src", "a\tb"), csp("img-src", "a\r\nSet-Cookie:x"), csp("img-src", "a\x00"), csp("img-src", "a\x7f"),
			csp("img-src", "https://bücher.example"), csp("img-src", "\u00a0"), csp("img-src", "\xff"),
			csp("img-src", "https://ok.example", ";"),
		},
		"page without a seal": {func(p *Page) { p.Seal = "" }},
	}
	for want, all := range tests {
		for i, spoil := range all {
			p := widgetPage(Redeem)
			spoil(&p)
			if _, err := Default().Render(p); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %d: error %v", want, i, err)
			}
		}
	}
}

func TestHostileWidgetD75(t *testing.T) {
	for _, evil := range []string{
		`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "\u2028\u2029</title>", `<!--<script>`, "\x00\xff", `\u003c/script\u003e`,
	} {
		for kind := range Stop {
			p := widgetPage(kind)
			_, plain := render(t, p)
			p.Widget.SiteKey, p.Widget.Script = evil, "https://example.net/?"+strings.Map(func(r rune) rune {
				if r == 0 {
					return -1 // no URL has it
				}
				return r
			}, evil)
			p.Fields = []string{evil, "b"}
			p.Challenge, _ = json.Marshal(map[string]string{evil: evil})
			_, html := render(t, p)
			for _, tag := range []string{"<script", "</script", "<img", "<!--", "<form", "<input", "</title"} {
				if got, want := strings.Count(html, tag), strings.Count(plain, tag); got != want {
					t.Errorf("%s, %q: %d %s, want %d", kind, evil, got, tag, want)
				}
			}
			if data := readWidgetData(t, html); data.Fields[0] != strings.ToValidUTF8(evil, "\ufffd") {
				t.Errorf("the script gets %q for %q", data.Fields[0], evil)
			}
		}
	}
}

func TestWidgetInOwnTemplate(t *testing.T) {
	own, err := Parse("own.html", documentedTemplate(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := own.Render(widgetPage(Submit))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(r.HTML), `<form id="captcha-widget"`, "const captchaGlue", `name="captcha-seal" value="c2VhbA"`)
	contains(t, r.CSP, "img-src 'self' data:; ", "frame-src https://*.example.net; ")
}

func TestWidgetSize(t *testing.T) {
	largest := 0
	for kind := range Stop {
		for _, l := range locales {
			p := widgetPage(kind)
			p.AcceptLanguage = l.tag
			r, _ := render(t, p)
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(r.HTML)
			_ = w.Close()
			largest = max(largest, b.Len())
		}
	}
	if largest > 12<<10 {
		t.Errorf("%d bytes gzipped", largest)
	}
	t.Logf("largest page: %d bytes gzipped", largest)
}

// A widget is one provider's, and pages of it are rendered at the same time.
func TestWidgetIsNotChanged(t *testing.T) {
	p := widgetPage(Submit)
	csp := maps.Clone(p.Widget.CSP)
	done := make(chan bool)
	for range 4 {
		go func() {
			_, err := Default().Render(p)
			done <- err == nil
		}()
	}
	for range 4 {
		if !<-done {
			t.Error("not rendered")
		}
	}
	if fmt.Sprint(csp) != fmt.Sprint(p.Widget.CSP) {
		t.Error("changed")
	}
}
