package htmlinject

import (
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const (
	s = testScript
	i = testInput
)

// TestPlaces tells where the script and the inputs come to stand.
func TestPlaces(t *testing.T) {
	long := strings.Repeat(" ", prescan)
	for _, c := range []struct {
		name, in, want string
		unknown        bool // the headers do not name the charset
	}{
		{name: "before the first script", in: `<head><script src=a></script></head><body><script>`, want: `<head>` + s + `<script src=a></script></head><body><script>`},
		{name: "before </head>", in: `<head></HEAD><body>`, want: `<head>` + s + `</HEAD><body>`},
		{name: "before <body>", in: `<title>a</title><body class=a>`, want: `<title>a</title>` + s + `<body class=a>`},
		{name: "before a form", in: `<p><form method=Post>`, want: `<p>` + s + `<form method=Post>` + i},
		{name: "not a wanted form", in: `<p><form><form method=post>`, want: `<p><form><form method=post>`},
		{name: "second form", in: `<form></form><form method=post>`, want: `<form></form>` + s + `<form method=post>` + i},
		{name: "nowhere", in: `<p>text`, want: `<p>text`},
		{name: "two forms", in: `<form method=post></form><form method=post>`, want: s + `<form method=post>` + i + `</form><form method=post>` + i},
		{name: "nested forms", in: `<form method=post><form method=post></form></form><form method=post>`,
			want: s + `<form method=post>` + i + `<form method=post></form></form><form method=post>` + i},
		{name: "script in a template", in: `<template><script></script><form method=post></template><body>`, want: `<template><script></script><form method=post></template>` + s + `<body>`},
		{name: "script in svg", in: `<svg><script></script></svg><script>`, want: `<svg><script></script></svg>` + s + `<script>`},
		{name: "hidden in a script", in: `<title></title><script><!-- <script> </script> <form method=post> --> </script><form method=post>`,
			want: `<title></title>` + s + `<script><!-- <script> </script> <form method=post> --> </script><form method=post>` + i},
		{name: "a script that hides less", in: `<body><script><!-- a < b <script> </script> <form method=post> --></script><form method=post>`,
			want: s + `<body><script><!-- a < b <script> </script> <form method=post> --></script><form method=post>` + i},
		{name: "svg", in: `<body><svg><style/><title>a</title><g><style></style></g><![CDATA[</svg>]]><form method=post></form></svg><form method=post>`,
			want: s + `<body><svg><style/><title>a</title><g><style></style></g><![CDATA[</svg>]]><form method=post></form></svg><form method=post>` + i},
		{name: "an unknown charset", unknown: true, in: `<script></script><meta charset=utf-8><script>`, want: `<script></script><meta charset=utf-8>` + s + `<script>`},
		{name: "http-equiv", unknown: true, in: `<meta http-equiv=Content-Type content="text/html; charset=utf-8"><script>`,
			want: `<meta http-equiv=Content-Type content="text/html; charset=utf-8">` + s + `<script>`},
		{name: "a byte order mark", unknown: true, in: "\xEF\xBB\xBF<script>", want: "\xEF\xBB\xBF" + s + "<script>"},
		{name: "past where browsers look", unknown: true, in: long + `<script>`, want: long + s + `<script>`},
		{name: "before </head> in any case", unknown: true, in: `<script></script></head>`, want: `<script></script>` + s + `</head>`},
		{name: "a foreign charset", unknown: true, in: `<meta charset=iso-2022-jp></head><form method=post>`, want: `<meta charset=iso-2022-jp></head><form method=post>`},
		{name: "UTF-16", in: "\xFE\xFF<form method=post>", want: "\xFE\xFF<form method=post>"},
		{name: "an escape sequence", unknown: true, in: "<p>\x1B$B<form method=post>", want: "<p>\x1B$B<form method=post>"},
		{name: "JSON", in: `{"html": "<head></head><form method=post>"}`, want: `{"html": "<head></head><form method=post>"}`},
		{name: "JSON behind space", in: "\xEF\xBB\xBF\r\n [\"<form method=post>\"]", want: "\xEF\xBB\xBF\r\n [\"<form method=post>\"]"},
		{name: "a text of JSON", in: `"<form method=post>"`, want: `"<form method=post>"`},
		{name: "braces behind a text", in: `a {"<form method=post>`, want: `a {"` + s + `<form method=post>` + i},
		{name: "an escape in a known charset", in: "<p>\x1B<form method=post>", want: "<p>\x1B" + s + "<form method=post>" + i},
		{name: "a tag too long", in: `<form method=post a="` + strings.Repeat("a", maxTag) + `"></form><form method=post>`,
			want: `<form method=post a="` + strings.Repeat("a", maxTag) + `"></form><form method=post>`},
		{name: "not long enough for that", in: `<form method=post a="` + strings.Repeat("a", maxTag-30) + `">`, want: s + `<form method=post a="` + strings.Repeat("a", maxTag-30) + `">` + i},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := testPage()
			page.Charset = !c.unknown
			if got := rewrite(t, page, c.in); got != c.want {
				t.Errorf("%.300q became\n%.600q, want\n%.600q", c.in, got, c.want)
			}
			if got := rewrite(t, page, strings.Split(c.in, "")...); got != c.want {
				t.Errorf("byte for byte %.300q became\n%.600q, want\n%.600q", c.in, got, c.want)
			}
		})
	}
}

// TestPolicy: a policy in the head is extended, with what else the element says.
func TestPolicy(t *testing.T) {
	page := testPage()
	page.Policy = func(content string) (string, bool) { return content + "; more 'x' & y", content != "stop" }
	for in, want := range map[string]string{
		`<meta HTTP-EQUIV=content-security-policy ID=a content="a 'b'"/>`:   `<meta http-equiv="content-security-policy" id="a" content="a &#39;b&#39;; more &#39;x&#39; &amp; y">`,
		`<body><meta http-equiv=content-security-policy content=a>`:         s + `<body><meta http-equiv=content-security-policy content=a>`,
		`<meta http-equiv=content-security-policy content=stop><body>`:      `<meta http-equiv=content-security-policy content=stop><body>`,
		"<meta http-equiv=content-security-policy id=\xE9 content=a><body>": "<meta http-equiv=content-security-policy id=\xE9 content=a><body>",
		`<meta name=a content=b>`: `<meta name=a content=b>`,
	} {
		if got := rewrite(t, page, in); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}

func TestSelectors(t *testing.T) {
	form := Form{ID: "login", Name: "user", Action: "/a?b", Class: []string{"big", "red"}}
	for text, want := range map[string]bool{
		"#login": true, ".big": true, "form": true, "form#login.big.red": true, `[name="user"]`: true, `[name=user]`: true, `[action='/a?b']`: true,
		`[id="login"]`: true, `form[name="user"].red`: true, "#Login": false, ".bi": false, ".big.blue": false, `[action="/a"]`: false, "#login#x": false,
	} {
		sel, err := ParseSelector(text)
		if err != nil || sel.Match(form) != want {
			t.Errorf("%s: %v, %v, want %v", text, sel.Match(form), err, want)
		}
	}
	for _, text := range []string{
		"", "login", "div#login", "form login", "#", ".", "#1", ".a b", "a > b", "#a, #b", "[name]", "[class=a]", `[name^="a"]`, `[name="a]`, `[name="a\"]`,
		`[name=""]`, "*", "#a:hover", "form#a form", "#é", "formal",
	} {
		if _, err := ParseSelector(text); !errors.Is(err, errSelector) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTargets(t *testing.T) {
	page, _ := url.Parse("https://example.com/dir/page?q=1")
	for _, c := range []struct{ base, action, want string }{
		{"", "", "https://example.com/dir/page?q=1"}, {"", "/login", "https://example.com/login"}, {"", "x", "https://example.com/dir/x"}, {"", "?a", "https://example.com/dir/page?a"},
		{"", " /a\nb ", "https://example.com/ab"}, {"", `\\evil.example\a`, "https://evil.example/a"}, {"", "//evil.example", "https://evil.example"},
		{"", "/\t/evil.example", "https://evil.example"}, {"", "mailto:a@b.example", ""}, {"", "javascript:alert(1)", ""}, {"", "https:login", ""}, {"", "%zz", ""},
		{"/other/", "x", "https://example.com/other/x"}, {"/other/", "", "https://example.com/dir/page?q=1"}, {"https://evil.example", "x", "https://evil.example/x"}, {"data:x", "x", ""},
		{"", "////evil.example", ""}, {"", `\\\\\evil.example/a`, ""}, {"", "//", ""}, {"", "//?a", ""}, {"///evil.example/", "x", ""}, {"", "https:///evil.example", ""}, {"", "/a//b", "https://example.com/a//b"},
	} {
		got := ""
		if u, ok := (Form{Action: c.action, Base: c.base}).Target(page); ok {
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%q with the base %q: %q, want %q", c.action, c.base, got, c.want)
		}
	}
}

func TestBase(t *testing.T) {
	page, bases := testPage(), ""
	page.Wanted = func(f Form) bool { bases += f.Base + "|"; return false }
	rewrite(t, page, `<form></form><base target=a><base href="/a&amp;b"><base href=/c><form>`)
	if bases != "|/a&b|" {
		t.Error(bases)
	}
}

// TestLinear counts what is looked at: every byte once, whatever the page and
// however it is cut.
func TestLinear(t *testing.T) {
	const n = 20000
	for _, part := range []string{
		"<", "<!", "<!--", "--", "</", "<a ", `<a "`, "<a b='", "<form ", "<form method=post>", "<script>", "<script><!--", "<script><!--<script>", "</script", "]]>",
		"<svg>", "<svg><desc>", "<template>", "</svg>", "<textarea></textare", "&amp;", "a", "<meta charset=x", "\x1b",
	} {
		for _, size := range []int{1, 100, n} {
			page := strings.Repeat(part, n/len(part))
			w := New(io.Discard, testPage())
			for rest := page; rest != ""; {
				k := min(size, len(rest))
				_, _ = io.WriteString(w, rest[:k])
				rest = rest[k:]
			}
			_ = w.Close()
			if w.scanned > int64(len(page)) {
				t.Errorf("%q in pieces of %d: %d bytes looked at in a page of %d", part, size, w.scanned, len(page))
			}
			if cap(w.hold) > 4*maxTag {
				t.Errorf("%q in pieces of %d: %d bytes held", part, size, cap(w.hold))
			}
		}
	}
}

// TestLeavesAtOnce: all but an unfinished tag that may be a place is given on.
func TestLeavesAtOnce(t *testing.T) {
	for in, want := range map[string]string{
		"<p>text": "<p>text", "a <for": "a ", "a <form method=post": "a ", "a <div class=": "a <div class=", "a <!-- <form": "a <!-- <form", "<script>a": s + "<script>a",
		"<script>a</scrip": s + "<script>a</scrip", "a <formal x": "a <formal x",
	} {
		var b strings.Builder
		w := New(&b, testPage())
		_, _ = io.WriteString(w, in)
		if b.String() != want || w.Held() != (len(in) > len(want)) {
			t.Errorf("of %q %q has left, want %q; held: %v", in, b.String(), want, w.Held())
		}
	}
}

type pieces []string

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, string(b))
	return len(b), nil
}

// TestPieces: a page is cut only where something is put in.
func TestPieces(t *testing.T) {
	for in, want := range map[string]pieces{
		`<p>a</p><!-- b --><meta name=a><form></form><svg><g/></svg>`: {`<p>a</p><!-- b --><meta name=a><form></form><svg><g/></svg>`},
		`<base href=a><meta charset=x><script></script></head><body>`: {`<base href=a><meta charset=x>`, s, `<script></script></head><body>`},
		`a<form method=post>b</form><form>c`:                          {`a`, s, `<form method=post>`, i, `b</form><form>c`},
		`<b><form method=post>b`:                                      {`<b>`, s, `<form method=post>b`},
		`<meta http-equiv=content-security-policy content=c>d<body>`:  {`<meta http-equiv="content-security-policy" content="c;">`, `d`, s, `<body>`},
	} {
		page := testPage()
		page.Policy = func(content string) (string, bool) { return content + ";", true }
		var got pieces
		w := New(&got, page)
		_, _ = io.WriteString(w, in)
		if !slices.Equal(got, want) || w.Close() != nil {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestErrorsOfTheNextWriter(t *testing.T) {
	w := New(broken{}, testPage())
	if _, err := io.WriteString(w, "<p>"); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// largePage is as large as many are: 100 KB, with a script, comments and forms.
func largePage() string {
	row := `<tr class="row"><td><a href="/item?id=1&amp;b=2" title='x'>Item</a></td><!-- c --><td>text, and some more of it, as pages have</td></tr>` + "\n"
	return `<!doctype html><html><head><meta charset="utf-8"><title>x</title><script>` + strings.Repeat("f(a < b);\n", 500) + `</script></head><body><table>` +
		strings.Repeat(row, 650) + `</table>` + strings.Repeat(`<form method="post" action="/a"><input name=a></form>`, 5) + `</body></html>`
}

// TestAllocations: memory does not grow with the page.
func TestAllocations(t *testing.T) {
	count := func(page string) float64 {
		return testing.AllocsPerRun(10, func() {
			w := New(io.Discard, testPage())
			_, _ = w.Write([]byte(page))
			_ = w.Close()
		})
	}
	if a, b := count(largePage()), count(largePage()+strings.Repeat(`<p class="a">text</p><!-- c --><svg><path/></svg>`, 5000)); b > a+1 { // one for the elements that are open
		t.Errorf("%v allocations, %v for a larger page", a, b)
	}
}

// TestUnclear gives pages in which it depends on the whole tree, on attributes or
// on the browser what is a tag: what looks like a form is in the value of an
// attribute, which an insertion would end.
func TestUnclear(t *testing.T) {
	const value, hidden = `title="</style></textarea></title></template></select></mi></math></svg><form method=post><img onerror=x>">`, `<q b="</style></textarea></title><p title="><form method=post><img onerror=x>">`
	for _, in := range []string{
		`<math><annotation-xml><style></annotation-xml></math><q ` + value,
		`<math><mi><mglyph><style></mi></math><q ` + value,
		`<svg><desc><b></svg></b></desc><style><q ` + value,
		`<svg><desc><my-element-with-a-name></svg></my-element-with-a-name></desc><style><q ` + value,
		`<svg><math><mi><style></mi></math></svg><q ` + value,
		`<svg><title><b></title></b><style></svg>` + hidden,
		`<svg><font color=red><textarea></textarea x></svg>` + hidden,
		`<div><svg></div><textarea></svg>` + hidden,
		`<div><svg><g></div><textarea></x></svg>` + hidden,
		`<svg></p><textarea></svg>` + hidden,
		`<select><style></select><q ` + value,
		`<select><svg><![CDATA[></svg></select>]]></svg><q ` + value,
		`<template><col><textarea></template><q ` + value,
		`<template><select></template><textarea></select></template>` + hidden,
	} {
		in = "<body>" + in
		if got, want := rewrite(t, testPage(), in), testScript+in; got != want {
			t.Errorf("%q became\n%q", in, got)
		}
	}
}
