package captcha

import (
	"bytes"
	"net/http"
	"reflect"
	"testing"
)

func TestSealedKeepsEveryByte(t *testing.T) {
	for name, s := range map[string]sealed{
		"empty": {Header: http.Header{}},
		"usual": {
			Host: "www.example.com", Method: "POST", URI: "/a?b=c", Scope: "login", From: sameSite, Origin: "https://a.example.com",
			Expires: 1_800_000_000, Once: true, Header: http.Header{"Content-Type": {"text/plain"}, "Referer": {"a", "b"}, "Origin": {}},
		},
		"odd bytes": {URI: "/\xff\x00é", Method: "\n", Expires: -1, Header: http.Header{"": {"", "\x80"}}},
	} {
		got, rest, ok := parseSealed(append(s.appendTo(nil), "the body"...))
		if !ok || !reflect.DeepEqual(got, s) || string(rest) != "the body" {
			t.Errorf("%s: %v\n got %#v\nwant %#v\nrest %q", name, ok, got, s, rest)
		}
		for n := range s.appendTo(nil) {
			if _, _, ok := parseSealed(s.appendTo(nil)[:n]); ok {
				t.Errorf("%s: %d bytes are enough", name, n)
			}
		}
	}
}

func FuzzSealed(f *testing.F) {
	f.Add([]byte{})
	s := sealed{Host: "a", Method: "POST", URI: "/", From: sameOrigin, Header: http.Header{"Origin": {"https://a"}}}
	f.Add(append(s.appendTo(nil), "body"...))
	f.Add([]byte{sealFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, ok := parseSealed(b)
		if !ok {
			return
		}
		if !bytes.HasSuffix(b, rest) {
			t.Fatalf("%q is not the end of %q", rest, b)
		}
		if again, _, ok := parseSealed(s.appendTo(nil)); !ok || !reflect.DeepEqual(again, s) {
			t.Fatalf("%#v became %#v", s, again)
		}
	})
}
