package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const testChallenge = `{"algorithm":"SHA-256","challenge":"6e34df1f5b1c5d53e5bd1e4ff3e4a3e1b7a2b7dd2f7ab7dc7c1e2ed3e4a5b6c7","maxnumber":1000000,"salt":"0123456789abcdef01234567?expires=4102444800&","signature":"f0f1f2f3f4f5f6f7f8f9f0f1f2f3f4f5f6f7f8f9f0f1f2f3f4f5f6f7f8f9f0f1"}`

// testPage returns a page with everything on it.
func testPage(k Kind) Page {
	return Page{
		Kind: k, Reason: "token-expired", From: "https://shop.example.org:8443", Host: "www.example.com",
		Title: "Example Shop", Contact: "help@example.com", Reference: "7hx2-k9qm-41vd", Field: "altcha",
		Challenge: json.RawMessage(testChallenge), Seal: "c2VhbA",
	}
}

func render(t *testing.T, p Page) (Rendered, string) {
	t.Helper()
	r, err := Default().Render(p)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(r.HTML)
}

// variants are the pages of all kinds, Redeem and Stop in all ways.
func variants() map[string]Page {
	pages := make(map[string]Page)
	for k := Submit; k <= Stop; k++ {
		pages[k.String()] = testPage(k)
	}
	elsewhere := testPage(Redeem)
	elsewhere.Elsewhere = true
	pages["redeem elsewhere"] = elsewhere
	insecure := testPage(Stop)
	insecure.InsecureElsewhere = true
	pages["stop insecure"] = insecure
	cleared := testPage(Stop)
	cleared.Cleared = true
	pages["stop cleared"] = cleared
	return pages
}

func TestRenderEveryKindInEveryLanguage(t *testing.T) {
	for name, p := range variants() {
		for _, l := range locales {
			t.Run(name+"/"+l.tag, func(t *testing.T) {
				p.AcceptLanguage = l.tag
				r, html := render(t, p)
				if r.Language != l.tag {
					t.Errorf("language %s", r.Language)
				}
				contains(t, html, fmt.Sprintf(`<html lang="%s" dir="%s">`, l.tag, l.dir), "Example Shop", "www.example.com", "7hx2-k9qm-41vd")
				if n := strings.Count(html, "<h1"); n != 1 {
					t.Errorf("%d h1", n)
				}
				if strings.Contains(html, "{from}") || strings.Contains(html, "ZgotmplZ") || strings.Contains(html, "<no value>") {
					t.Error("something was not filled in")
				}
				if p.Kind == Stop {
					lacks(t, html, "<script", "<form")
				} else {
					contains(t, html, l.text["nojs"])
				}
			})
		}
	}
}

// Everything of a page but the seal, on the wire, in every language.
func TestSize(t *testing.T) {
	const limit = 12 << 10
	largest := 0
	for name, p := range variants() {
		for _, l := range locales {
			p.AcceptLanguage = l.tag
			r, _ := render(t, p)
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(r.HTML)
			_ = w.Close()
			if b.Len() > limit {
				t.Errorf("%s in %s: %d bytes gzipped", name, l.tag, b.Len())
			}
			largest = max(largest, b.Len())
		}
	}
	t.Logf("largest page: %d bytes gzipped", largest)
}

func TestForm(t *testing.T) {
	_, html := render(t, testPage(Submit))
	form := regexp.MustCompile(`(?s)<form.*</form>`).FindString(html)
	contains(t, form, `method="post"`, `accept-charset="utf-8"`, `autocomplete="off"`)
	lacks(t, form, "action")
	inputs := regexp.MustCompile(`<input[^>]*>`).FindAllString(form, -1)
	want := []string{`<input type="hidden" name="altcha">`, `<input type="hidden" name="captcha-seal" value="c2VhbA">`}
	if fmt.Sprint(inputs) != fmt.Sprint(want) {
		t.Errorf("inputs %q", inputs)
	}
}

func TestCSPD80(t *testing.T) {
	seen := make(map[string]bool)
	for name, p := range variants() {
		r, html := render(t, p)
		nonce := regexp.MustCompile(`style-src 'nonce-([\w-]{22})'`).FindStringSubmatch(r.CSP)
		if len(nonce) == 0 || seen[nonce[1]] {
			t.Fatalf("%s: no fresh nonce in %q", name, r.CSP)
		}
		seen[nonce[1]] = true
		contains(t, r.CSP, "default-src 'none'; ", "frame-ancestors 'none'", "base-uri 'none'", "img-src data:")
		lacks(t, r.CSP, "unsafe", "form-action", "*")
		if p.Kind == Stop {
			lacks(t, r.CSP, "script-src", "worker-src", "connect-src")
		} else {
			contains(t, r.CSP, "script-src 'nonce-"+nonce[1]+"'; worker-src blob:; connect-src 'self'")
		}
		for _, tag := range regexp.MustCompile(`<(style|script)\b[^>]*>`).FindAllString(html, -1) {
			if !strings.Contains(tag, `nonce="`+nonce[1]+`"`) && !strings.Contains(tag, `type="application/json"`) {
				t.Errorf("%s: %s has not the nonce", name, tag)
			}
		}
		if m := regexp.MustCompile(`(?i)<[^>]*\s(style|on\w+)=`).FindString(html); m != "" {
			t.Errorf("%s: %s needs unsafe-inline", name, m)
		}
	}
}

// The page fetches nothing: no URL stands in it but the contact's, the icon's
// (empty), and the origin that it names.
func TestSelfContainedD87(t *testing.T) {
	for name, p := range variants() {
		_, html := render(t, p)
		for _, m := range regexp.MustCompile(`(?i)\b(?:src|href|action|srcset|poster)="([^"]*)"|\burl\(|@import`).FindAllStringSubmatch(html, -1) {
			if m[1] != "data:," && !strings.HasPrefix(m[1], "mailto:") {
				t.Errorf("%s: %s", name, m[0])
			}
		}
	}
}

func TestHostileValuesD75(t *testing.T) {
	hostile := []string{
		`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'"` + "`${alert(1)}", "\u2028\u2029</title>",
		`<!--<script>`, `]]>`, "\x00\xff", `{{.Seal}}`, `\u003c/script\u003e`,
	}
	for _, evil := range hostile {
		for name, p := range variants() {
			p.Title, p.From, p.Reference, p.Seal, p.Field, p.Host, p.Reason = evil, evil, evil, evil, evil, evil, evil
			c, _ := json.Marshal(challenge{"SHA-256", strings.Repeat("0", 64), 9, evil, evil})
			p.Challenge = c
			for _, p.AcceptLanguage = range []string{"en", "ar"} {
				_, html := render(t, p)
				_, plain := render(t, testPage(p.Kind))
				for _, tag := range []string{"<script", "</script", "<img", "<!--", "<form", "<input", "</title"} {
					if got, want := strings.Count(html, tag), strings.Count(plain, tag); got != want {
						t.Errorf("%s, %q: %d %s, want %d", name, evil, got, tag, want)
					}
				}
				checkData(t, html, p)
			}
		}
	}
}

// checkData reads the script's data back as a browser would.
func checkData(t *testing.T, html string, p Page) {
	t.Helper()
	if p.Kind == Stop {
		return
	}
	m := regexp.MustCompile(`(?s)<script type="application/json" id="captcha-data">(.*?)</script>`).FindStringSubmatch(html)
	lacks(t, m[1], "\u2028", "\u2029", "<", "&")
	var data struct {
		Kind      string
		Challenge challenge
		Text      map[string]string
	}
	if err := json.Unmarshal([]byte(m[1]), &data); err != nil {
		t.Fatalf("%v in %s", err, m[1])
	}
	var want challenge
	if err := json.Unmarshal(p.Challenge, &want); err != nil {
		t.Fatal(err)
	}
	if data.Challenge != want || data.Kind != p.Kind.String() {
		t.Errorf("the script gets %+v", data)
	}
	if p.Kind == Confirm && !strings.Contains(data.Text["confirm-button"], string([]rune(p.From))) {
		t.Errorf("the button says %q, not %q", data.Text["confirm-button"], p.From)
	}
}

func TestFaultyPages(t *testing.T) {
	tests := map[string]func(*Page){
		"unknown page kind":         func(p *Page) { p.Kind = 9 },
		"contact":                   func(p *Page) { p.Contact = "javascript:alert(1)" },
		"name of the token's field": func(p *Page) { p.Field = "" },
		"without a seal":            func(p *Page) { p.Seal = "" },
		"where the form came from":  func(p *Page) { p.From = "" },
		"page's challenge":          func(p *Page) { p.Challenge = nil },
		"not an ALTCHA challenge":   func(p *Page) { p.Challenge = json.RawMessage(`{"algorithm":"SHA-512"}`) },
	}
	for want, spoil := range tests {
		p := testPage(Confirm)
		spoil(&p)
		if _, err := Default().Render(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
}

func TestLifetime(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for salt, want := range map[string]time.Duration{
		"abc":                           0,
		"abc?expires=1700000600":        10 * time.Minute,
		"abc?expires=1700000600&":       10 * time.Minute,
		"abc?a=b&expires=1700000600&c=": 10 * time.Minute,
		"abc?expires=1600000000":        time.Second,
		"abc?expires=soon":              0,
	} {
		c, _ := json.Marshal(challenge{"SHA-256", strings.Repeat("0", 64), 9, salt, "s"})
		if _, got, err := parseChallenge(c, now); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", salt, got, err, want)
		}
	}
}

func TestReasons(t *testing.T) {
	first := testPage(Submit)
	first.Reason = reasonMissing
	_, html := render(t, first)
	lacks(t, html, locales[0].text["reason.token-missing"])

	for _, reason := range []string{
		"token-missing", "token-invalid", "token-expired", "token-duplicate", "score-too-low", "hostname-mismatch",
		"action-mismatch", "provider-unreachable", "provider-failover", "client-reported-outage", "throttled",
		"misconfigured", "try-again", "bad-request", "body-too-large", "unsupported-encoding", "early-data",
	} {
		stop := testPage(Stop)
		stop.Reason = reason
		_, html := render(t, stop)
		contains(t, html, locales[0].text["reason."+reason])
		lacks(t, html, locales[0].text["reason.unknown"])
	}
	cleared := testPage(Stop)
	cleared.Cleared, cleared.Reason = true, "bad-request" // which the same page had without it
	_, html = render(t, cleared)
	contains(t, html, ">"+locales[0].text["heading"]+"<", locales[0].text["redeem-ready"])
	lacks(t, html, locales[0].text["heading-stop"], locales[0].text["stop-help"], locales[0].text["reason.unknown"])
	unknown := testPage(Stop)
	unknown.Reason = "a-new-one"
	_, html = render(t, unknown)
	contains(t, html, locales[0].text["reason.unknown"])
}

func TestContact(t *testing.T) {
	for contact, want := range map[string]string{
		"https://example.com/help?a=1&b=2": "https://example.com/help?a=1&b=2",
		"http://example.com":               "http://example.com",
		"help@example.com":                 "mailto:help@example.com?subject=r%201",
		"help+captcha@example.com":         "mailto:help%2Bcaptcha@example.com?subject=r%201",
	} {
		if got, err := contactLink(contact, "r 1"); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", contact, got, err, want)
		}
	}
	for _, contact := range []string{
		"", "javascript:alert(1)", "JavaScript:alert(1)@example.com", "data:text/html,x", "//example.com", "/help", "example.com", "https://",
		"mailto:help@example.com", "Help <help@example.com>", "a@b@c", "help@example.com\n", `"a b"@example.com`, "ftp://example.com",
	} {
		if ValidateContact(contact) == nil {
			t.Errorf("%q was accepted", contact)
		}
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing", part)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q should not be there", part)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	p := testPage(Submit)
	p.AcceptLanguage = "de-CH,de;q=0.9,en;q=0.8"
	p.Seal = strings.Repeat("A", 1000)
	for b.Loop() {
		if _, err := Default().Render(p); err != nil {
			b.Fatal(err)
		}
	}
}
