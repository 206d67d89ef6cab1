package web

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// FuzzPage puts any text into every place of a page that a client, an app or a
// provider fills: the page keeps its elements, and its script gets the challenge.
func FuzzPage(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(kind, "en", `"><img src=x onerror=alert(1)>`, testChallenge)
		f.Add(kind, "ar;q=1,x", "</script><script>'\u2028", strings.Replace(testChallenge, "expires=4102444800", "expires=1", 1))
		f.Add(kind, "<", "<!--<script>\xff\x00{{.Seal}}", `{"algorithm":"SHA-256","challenge":"<","maxnumber":1e9}`)
	}
	pages := make(map[uint8][]string) // elements, by kind
	f.Fuzz(func(t *testing.T, kind uint8, language, text, raw string) {
		plain := Page{
			Kind: Kind(kind % 4), Reason: "x", From: "x", Host: "x", Title: "x", Reference: "x", Field: "x", Seal: "x",
			Challenge: json.RawMessage(testChallenge), Elsewhere: kind&4 != 0, InsecureElsewhere: kind&8 != 0,
		}
		evil := plain
		evil.AcceptLanguage = language
		evil.Reason, evil.From, evil.Host, evil.Title, evil.Reference, evil.Field, evil.Seal = "x"+text, "x"+text, "x"+text, "x"+text, "x"+text, "x"+text, "x"+text
		evil.Challenge = json.RawMessage(raw)
		if _, _, err := parseChallenge(evil.Challenge, time.Now()); err != nil {
			if _, err := Default().Render(evil); err == nil && evil.Kind != Stop {
				t.Fatalf("a page without a challenge: %q", raw)
			}
			evil.Challenge, _ = json.Marshal(challenge{"SHA-256", strings.Repeat("0", 64), 9, "x" + text, text})
		}
		if kind %= 16; pages[kind] == nil {
			_, page := render(t, plain)
			pages[kind] = elements(page)
		}
		got, page := render(t, evil)
		if g, w := elements(page), pages[kind]; !slices.Equal(g, w) {
			t.Fatalf("%q: the page has the elements\n%q, want\n%q", text, g, w)
		}
		if !slices.ContainsFunc(locales, func(l *locale) bool { return l.tag == got.Language }) || strings.ContainsAny(got.CSP, "\r\n<") {
			t.Fatalf("language %q, policy %q", got.Language, got.CSP)
		}
		checkData(t, page, evil)
	})
}

// elements are the tags of a page, each with the names of its attributes, and its
// comments.
func elements(page string) (list []string) {
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return list
		case html.TextToken:
		default:
			token := z.Token()
			text := kind.String() + " " + token.Data
			for _, a := range token.Attr {
				text += " " + a.Key
			}
			list = append(list, text)
		}
	}
}
