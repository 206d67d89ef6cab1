package charset

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// markup are the ASCII characters that a second byte of a shifting charset never is.
const markup = `<>"'=/-! `

func TestOf(t *testing.T) {
	for class, names := range map[Class][]string{
		ASCII:    {"utf-8", "UTF8", "iso-8859-1", "ISO_8859-15 ", "latin1", "windows-1252", "us-ascii", "koi8-r", "x-mac-cyrillic", "euc-jp", `"utf-8"`},
		Shifting: {"Shift_JIS", "gb2312", "gbk", "GB18030", "big5", "Big5-HKSCS", "cp949"},
		Foreign:  {"", "utf-7", "utf-16", "utf-16le", "utf-32", "iso-2022-jp", "hz-gb-2312", "ibm037", "cp500", "iso-8859-77", "utf-8é", "utf8;q=1", "latin", "8859"},
	} {
		for _, name := range names {
			if got := Of(name); got != class {
				t.Errorf("%q: %d, want %d", name, got, class)
			}
		}
	}
}

// FuzzOf compares what is said of a charset with what decoders make of its bytes.
func FuzzOf(f *testing.F) {
	for name := range charsets {
		f.Add(name)
	}
	for _, name := range []string{
		"iso-8859-1", "ISO-8859-8-I", "iso-8859-16", "windows-1250", "windows-1258", "latin1", "latin6", "x-sjis", "x-gbk", "x-x-big5", "unicode-1-1-utf-8",
		"utf-16", "utf-7", "iso-2022-jp", "ibm037", "cp1047", "hz-gb-2312", "x-user-defined", "x-mac-ukrainian", "dos-874", "cp51932", "csISOLatin1",
	} {
		f.Add(name)
	}
	seen := make(map[encoding.Encoding]Class)
	f.Fuzz(func(t *testing.T, name string) {
		class := Of(name)
		if class == Foreign {
			return
		}
		for _, lookUp := range []func(string) (encoding.Encoding, error){htmlindex.Get, ianaindex.MIME.Encoding, ianaindex.IANA.Encoding} {
			e, err := lookUp(strings.TrimSpace(name))
			if err != nil || e == nil || seen[e] == class {
				continue
			}
			seen[e] = class
			readsASCII(t, name, e, class)
		}
	})
}

// readsASCII fails where a decoder reads ASCII bytes as something else, alone or
// behind any other byte.
func readsASCII(t *testing.T, name string, e encoding.Encoding, class Class) {
	t.Helper()
	decode := func(b ...byte) []rune {
		text, err := e.NewDecoder().Bytes(b)
		if err != nil {
			t.Fatalf("%q: %x: %v", name, b, err)
		}
		return []rune(string(text))
	}
	for c := range byte(0x80) {
		if got := decode(c); !slices.Equal(got, []rune{rune(c)}) {
			t.Errorf("%q: %x is %q", name, c, got)
		}
		if class == Shifting && !strings.ContainsRune(markup, rune(c)) {
			continue
		}
		for first := 0x80; first < 0x100; first++ {
			if got := decode(byte(first), c, c); len(got) < 2 || got[len(got)-1] != rune(c) || got[len(got)-2] != rune(c) {
				t.Errorf("%q: %x %x is %q", name, first, c, got)
			}
		}
	}
}
