package formtoken

import (
	"net/url"
	"strings"
	"testing"
)

var longName = strings.Repeat("n", maxName)

// forms are bodies, and the token that every parser would read in them.
var forms = []row{
	{"only field", "altcha=T", "T", nil},
	{"among others", "a=1&altcha=T&b=2", "T", nil},
	{"escaped value", "altcha=a%2Bb+c%3d=&x", "a+b c==", nil},
	{"D-04 escaped name is the name", "%61lt%63ha=T", "T", nil},
	{"D-22 empty value", "altcha=", "", nil},
	{"no equals sign", "x=1&altcha", "", nil},
	{"empty body", "", absent, nil},
	{"no token", "a=1&b=2&&&", absent, nil},
	{"empty name", "=altcha", absent, nil},
	{"name within a name", "xaltcha=1&altchas=2&altcha-x=3&altcha_=1", absent, nil},
	{"name as value", "x=altcha&y=altcha%3DT", absent, nil},
	{"a value with any byte", "altcha=\xff%00\r\n", "\xff\x00\r\n", nil},
	{"D-03 equal duplicates count once", "altcha=T&x=1&altcha=%54", "T", nil},
	{"D-03 different", "altcha=T&altcha=U", "", errDifferent},
	{"D-03 prefix", "altcha=TT&altcha=T", "", errDifferent},
	{"D-03 longer", "altcha=T&altcha=TT", "", errDifferent},
	{"D-03 second without value", "altcha=T&altcha", "", errDifferent},
	{"D-04 upper case", "ALTCHA=T", "", errAlias},
	{"D-04 one letter", "x&altch%41=T", "", errAlias},
	{"D-04 array", "altcha[]=T", "", errAlias},
	{"D-04 escaped array", "altcha%5B%5D=T", "", errAlias},
	{"D-04 index", "altcha[0][x]=T", "", errAlias},
	{"D-04 open bracket", "altcha[=T", "", errAlias},
	{"D-04 bracketed", "[altcha]=T", "", errAlias},
	{"D-04 leading space", "+altcha=T", "", errAlias},
	{"D-04 trailing space", "altcha%20=T", "", errAlias},
	{"D-04 leading line end", "\naltcha=T", "", errAlias},
	{"D-04 NUL", "altcha%00=T", "", errAlias},
	{"D-04 NUL and more", "altcha%00x=T", "", errAlias},
	{"D-04 NUL within", "alt%00cha=T", "", errAlias},
	{"D-04 byte order mark", "\xef\xbb\xbfaltcha=T", "", errAlias},
	{"D-04 alias beside the field", "altcha=T&altcha[]=T", "", errAlias},
	{"D.0 semicolon before", "x=1;altcha=T", "", errSemicolon},
	{"D.0 semicolon behind the value", "altcha=T;x=1", "", errSemicolon},
	{"D.0 semicolon behind the name", "altcha;x=1", "", errSemicolon},
	{"D.0 semicolon at the end", "x=1;altcha", "", errSemicolon},
	{"D.0 semicolon and alias", "x;ALTCHA=1", "", errAlias},
	{"semicolons elsewhere", "x=a;b=c;;d&altcha=T&e=;f", "T", nil},
	{"long text behind a semicolon", "x=a;" + strings.Repeat("z", 8<<10) + "&altcha=T", "T", nil},
	{"escaped semicolon", "altcha=T%3Bx=1", "T;x=1", nil},
	{"D-17 malformed value", "altcha=%4", "", errEscape},
	{"D-17 malformed value, end of pair", "altcha=%&x", "", errEscape},
	{"D-17 malformed value, no hex", "altcha=%4g", "", errEscape},
	{"D-17 malformed name", "altcha%zz=T", "", errEscape},
	{"D-17 lone percent in the name", "alt%cha=T", "", errEscape},
	{"D-17 ASP escape", "alt%u0063ha=T", "", errEscape},
	{"D-17 malformed elsewhere", "x%zz=%&%=%%&altcha=T", "T", nil},
	{"D-95 long name", longName + "=1&altcha=T", "T", nil},
	{"D-95 longer name", longName + "n=1&altcha=T", "", errLongName},
	{"D-95 long escaped name", strings.Repeat("%6e", maxName) + "=1&altcha=T", "T", nil},
	{"D-95 endless name", strings.Repeat("n", 1<<15), "", errLongName},
	{"D-95 pairs", strings.Repeat("a&", maxPairs-1) + "altcha=T", "T", nil},
	{"D-95 too many pairs", strings.Repeat("a&", maxPairs) + "altcha=T", "", errPairs},
	{"D-17 _charset_", "_charset_=UTF-8&altcha=T", "T", nil},
	{"D-17 _charset_ empty", "_charset_=&altcha=T", "T", nil},
	{"D-17 _charset_ utf-16", "altcha=T&_charset_=utf-16", "", errCharset},
	{"D-17 _charset_ long", "_charset_=" + strings.Repeat("u", 65), "", errCharset},
	{"D-17 _charset_ second", "_charset_=utf-8&_charset_=utf-7", "", errCharset},
}

func TestURLEncoded(t *testing.T) {
	checkRows(t, formFormat, forms)
}

func FuzzURLEncoded(f *testing.F) {
	for _, seed := range []string{
		"altcha=T", "a=1&altcha=%54+&b", "altcha", "altcha=1&altcha=2", "altcha=1&altcha=1", "%61ltcha=x", "altcha%00=1",
		"x=1;altcha=2", "altcha=1;x", "alt%cha=1", "altcha=%", "altcha[]=1", "&&=&altcha==&", "_charset_=utf-7", "%zz=%zz&altcha=1",
		"altcha%=1&altcha=1", "\xefaltcha=\xff", "altcha=a&%41ltcha",
	} {
		f.Add(seed)
	}
	fields := []Field{{Name: "altcha", MaxLen: 1 << 20}}
	f.Fuzz(func(t *testing.T, body string) {
		got := scan(formFormat, fields, body, whole)
		if got.Err != nil {
			return
		}
		query, _ := url.ParseQuery(body) // a malformed pair is dropped, the others count
		value, found := got.Values["altcha"]
		if values := query["altcha"]; found != (len(values) > 0) {
			t.Fatalf("found %v, net/url has %q", found, values)
		} else {
			for _, v := range values {
				if v != value {
					t.Fatalf("%q, net/url has %q", value, values)
				}
			}
		}
		for name := range query {
			if name != "altcha" && strings.EqualFold(strings.Trim(name, " []\x00"), "altcha") {
				t.Fatalf("alias %q accepted", name)
			}
		}
	})
}
