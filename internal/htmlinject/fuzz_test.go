package htmlinject

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const (
	testScript = `<script data-x>"<form>"</script>`
	testInput  = `<input type="hidden" name="t" disabled data-x>`
)

func testPage() *Page {
	return &Page{
		Script: []byte(testScript), Inputs: []byte(testInput), Charset: true,
		Wanted: func(f Form) bool { return strings.EqualFold(f.Method, "post") },
		Policy: func(content string) (string, bool) { return content, content != "a b" },
	}
}

func rewrite(t testing.TB, page *Page, chunks ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := New(&out, page)
	for _, c := range chunks {
		if n, err := io.WriteString(w, c); n != len(c) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// seeds are pages with what is hard to read.
var seeds = []string{
	`<!doctype html><html><head><meta charset=utf-8><title>a</title></head><body><form method=post action="/a">x</form></body></html>`,
	`<form method=post><form method=post></form><form method="POST">`,
	`<!-- <form method=post> --><form method=post>`,
	`<!--><form method=post>--><!---><form method=post>--><!--!><form method=post>-->`,
	`<!--a--!><form method=post><!--a--!-><form method=post>-->`,
	`<script>"<form method=post>"</script><form method=post>`,
	`<script><!-- <script> </script> <form method=post> --></script><form method=post>`,
	`<script><!--></script><form method=post>`, `<script><!-- --></script ><form method=post>`,
	`<title><form method=post></title><textarea></title><form method=post></textarea x><form method=post>`,
	`<form method=post a=">" b='>' c=> d/e=">x`, `<form id=a ID=b action = 'x y'class="c"name=/d/ method>`, `<form =id=a id/=b href=">"content='&lt;' charset= x http-equiv=>`,
	`<form/method=post>`, `<form method = post><form =x method=post>`,
	`<a b=c"><form method=post>">`, `<a "><form method=post>">`, `<svg><style><form method=post></style></svg><form method=post>`,
	`<svg><title>x</title><form method=post></svg><form method=post>`, `<svg/><form method=post>`, `<template><form method=post></template><form method=post>`,
	`<svg><p><form method=post>`, `<math><mi><form method=post></mi></math><form method=post>`,
	`<select><form method=post></select><form method=post>`, `<table><form method=post><tr><td></table>`,
	`<plaintext><form method=post>`, `<frameset><form method=post>`, `<noscript><form method=post></noscript><body>`,
	`<![CDATA[<form method=post>]]><form method=post>`, `<svg><![CDATA[</svg><form method=post>]]></svg><form method=post>`,
	`</form method=post><form method=post`, `<?php <form method=post> ?><form method=post>`, `</ <form method=post>`, `</><form method=post>`,
	`<!x><form method=post><!doctype "><form method=post>">`, `<<form method=post>`, `<form method=post/>`, "<form\x00 method=post><form method=post\x00>",
	`<iframe><form method=post></iframe><xmp><form method=post></xmp><noembed></xmp><form method=post></noembed><form method=post>`,
	`<meta charset=utf-16></head>`, `<meta http-equiv=Content-Security-Policy content="a b"></head>`, "\xEF\xBB\xBF<script>", "\xEF\xBB<script>\x1b</head>",
	`<head></head><form method=post>`, `<body><form method=post>`, `<p>text</p><script src=a></script><form method=post>`,
}

// FuzzChunks checks that how a page is cut into writes makes no difference.
func FuzzChunks(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, page []byte, seed uint64) {
		options := testPage()
		options.Charset = seed%2 == 0
		whole := rewrite(t, options, string(page))
		r := rand.New(rand.NewPCG(seed, 1))
		var chunks, bytewise []string
		for rest := string(page); rest != ""; {
			n := 1 + r.IntN(min(len(rest), 20))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		for _, c := range page {
			bytewise = append(bytewise, string([]byte{c}))
		}
		for _, c := range [][]string{chunks, bytewise} {
			if got := rewrite(t, options, c...); got != whole {
				t.Errorf("cut into %q the page became\n%q, whole\n%q", c, got, whole)
			}
		}
	})
}

// unlike is where the tokenizer of x/net is no oracle: it knows neither SVG and
// MathML nor that a less-than sign leaves a script as hidden as it was.
var unlike = regexp.MustCompile(`(?is)<(svg|math)|<script.*<!--.*<[^a-z/].*<script`)

// FuzzTokens checks that the tokens of the output are those of the input, but for
// what was inserted, that an insertion is an element of the output, and that the
// attributes of all tags are read as x/net reads them.
func FuzzTokens(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		if unlike.Match(page) || bytes.Contains(page, []byte("data-x")) {
			return
		}
		out := rewrite(t, testPage(), string(page))
		want, _ := tokens(string(page))
		got, inserted := tokens(out)
		if strings.Join(got, "\x00|") != strings.Join(want, "\x00|") {
			t.Errorf("%q became %q: tokens\n%q, want\n%q", page, out, got, want)
		}
		if n := strings.Count(out, "data-x"); n != inserted {
			t.Errorf("%q became %q: %d insertions, %d of them elements", page, out, n, inserted)
		}
		for z := html.NewTokenizer(bytes.NewReader(page)); z.Next() != html.ErrorToken; {
			checkAttributes(t, z)
		}
	})
}

// checkAttributes compares how a start tag's attributes are read with x/net.
func checkAttributes(t *testing.T, z *html.Tokenizer) {
	raw := bytes.Clone(z.Raw())
	token := z.Token()
	if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
		return
	}
	got := attributes(nil).read(raw)
	for _, name := range attributeNames {
		want, has := "", false
		for _, a := range token.Attr {
			if a.Key == name {
				want, has = a.Val, true
			}
		}
		if value, ok := got.lookup(name); value != want || ok != has {
			t.Errorf("%q: %s is %q (%v), want %q (%v)", raw, name, value, ok, want, has)
		}
	}
}

// tokens returns the tokens of a page but for those that were inserted, and how
// many elements were.
func tokens(page string) (list []string, inserted int) {
	z := html.NewTokenizer(strings.NewReader(page))
	script := false
	for {
		switch kind := z.Next(); {
		case kind == html.ErrorToken:
			return append(list, string(z.Raw())), inserted
		case strings.Contains(string(z.Raw()), " data-x>"):
			inserted++
			script = strings.HasPrefix(string(z.Raw()), "<script")
		case script:
			script = kind != html.EndTagToken
		default:
			list = append(list, kind.String()+string(z.Raw()))
		}
	}
}

// FuzzTree checks that the document is the same, but for what was inserted, and
// that this stands where it should: it knows SVG, templates, tables and select.
func FuzzTree(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		if bytes.Contains(page, []byte("data-x")) || regexp.MustCompile(`(?is)<script.*<!--.*<[^a-z/].*<script`).Match(page) {
			return
		}
		out := rewrite(t, testPage(), string(page))
		want, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			return
		}
		got, err := html.Parse(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		takeOut(t, got)
		if g, w := render(got), render(want); g != w {
			t.Errorf("%q became %q: the document\n%s, want\n%s", page, out, g, w)
		}
	})
}

// takeOut removes what was inserted, and checks where it stands.
func takeOut(t *testing.T, n *html.Node) {
	for c := n.FirstChild; c != nil; {
		next := c.NextSibling
		for _, a := range c.Attr {
			if a.Key == "data-x" {
				if c.Namespace != "" || c.Data != "script" && c.Data != "input" {
					t.Errorf("inserted a %s:%s", c.Namespace, c.Data)
				}
				n.RemoveChild(c)
				c = nil
				break
			}
		}
		if c != nil {
			takeOut(t, c)
		}
		c = next
	}
	for c := n.FirstChild; c != nil && c.NextSibling != nil; { // what had been one text
		if next := c.NextSibling; c.Type == html.TextNode && next.Type == html.TextNode {
			c.Data += next.Data
			n.RemoveChild(next)
		} else {
			c = next
		}
	}
}

func render(n *html.Node) string {
	var b strings.Builder
	var walk func(n *html.Node, depth int)
	walk = func(n *html.Node, depth int) {
		b.WriteString(strings.Repeat(" ", depth))
		b.WriteString(n.Namespace + ":" + n.Data + "\n")
		for _, a := range n.Attr {
			b.WriteString(strings.Repeat(" ", depth+2) + a.Key + "=" + a.Val + "\n")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, depth+1)
		}
	}
	walk(n, 0)
	return b.String()
}

// FuzzTarget resolves the address of a form. Its host is the one that a browser
// would send the form to, as far as a few lines can tell.
func FuzzTarget(f *testing.F) {
	for _, seed := range [][2]string{
		{"", "/login"}, {"", `\\evil.example\a`}, {"", "/\t/evil.example"}, {"//a@b:80/", "x?y#z"}, {"", "////evil.example"}, {"///evil.example", "x"}, {"", "https:/evil.example"},
		{"https:evil.example", "x"}, {"", "HTTPS://EXAMPLE.com:443"}, {"", "%2f/evil.example"}, {"data:x", "?"}, {"", "https://example.com@evil.example"}, {"", "//[::1]:80"}, {"http:", "//"},
	} {
		f.Add(seed[0], seed[1])
	}
	page, _ := url.Parse("https://example.com/dir/page?q=1")
	f.Fuzz(func(t *testing.T, base, action string) {
		target, ok := (Form{Base: base, Action: action}).Target(page)
		if !ok {
			return
		}
		host := page.Host
		for _, address := range []string{base, action} {
			switch h, named := browserHost(address); {
			case outer(action) == "": // the page itself
			case strings.ContainsAny(h, "%") || strings.IndexFunc(h, func(r rune) bool { return r >= 0x80 }) >= 0:
				return // browsers read these in ways of their own
			case named:
				host = h
			}
		}
		if !strings.EqualFold(target.Host, host) {
			t.Fatalf("%q on the base %q goes to %q, not %q", action, base, target.Host, host)
		}
	})
}

// named is an address with a host as browsers read it: any number of slashes and
// backslashes, the visitor's name, and the host with its port.
var named = regexp.MustCompile(`^(?:(?i:https?:)[/\\]*|[/\\]{2,})(?:[^/\\?#]*@)?([^/\\?#]*)`)

func browserHost(address string) (string, bool) {
	m := named.FindStringSubmatch(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(outer(address)))
	if m == nil {
		return "", false
	}
	return m[1], true
}

// outer is an address without the space around it.
func outer(address string) string {
	return strings.TrimFunc(address, func(r rune) bool { return r <= ' ' })
}
