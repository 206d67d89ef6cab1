// Package charset knows which charsets can be read as ASCII.
package charset

import "strings"

// Class says how far the bytes of a text in a charset can be read as ASCII.
type Class uint8

const (
	// Foreign is unknown, or has ASCII characters that are not their ASCII bytes.
	Foreign Class = iota
	// Shifting is where ASCII is ASCII, but a second byte of other characters may be an ASCII letter or backslash;
	// never one of < > " ' = / - ! or a space.
	Shifting
	// ASCII is where an ASCII byte is always that character.
	ASCII
)

// Of classifies a charset by its name. It lists what is known to be safe: the label of a charset
// that nobody here has heard of may well be EBCDIC.
func Of(name string) Class {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(name)) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b.WriteByte(c)
		case strings.IndexByte("-_:'\" .", c) < 0:
			return Foreign
		}
	}
	label := strings.TrimPrefix(b.String(), "x")
	if class, ok := charsets[label]; ok {
		return class
	}
	for _, family := range []string{"iso8859", "windows125", "cp125", "latin"} {
		if rest, ok := strings.CutPrefix(label, family); ok && rest != "" && isCharsetNumber(rest) {
			return ASCII
		}
	}
	return Foreign
}

// isCharsetNumber accepts 1 to 16, and the bidi suffixes of ISO-8859-6 and -8.
func isCharsetNumber(s string) bool {
	s = strings.TrimRight(s, "ie")
	return len(s) == 1 && s[0] >= '0' && s[0] <= '9' || len(s) == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '6'
}

// charsets lists labels without their punctuation and without a leading x.
var charsets = map[string]Class{
	"utf8": ASCII, "utf8mb4": ASCII, "unicode11utf8": ASCII, "cesu8": ASCII,
	"usascii": ASCII, "ascii": ASCII, "ansix341968": ASCII, "iso646us": ASCII, "us": ASCII,
	"l1": ASCII, "ibm819": ASCII, "cp819": ASCII,
	"koi8": ASCII, "koi8r": ASCII, "koi8u": ASCII, "koi8ru": ASCII,
	"macintosh": ASCII, "macroman": ASCII, "mac": ASCII, "maccyrillic": ASCII,
	"ibm437": ASCII, "cp437": ASCII, "ibm850": ASCII, "cp850": ASCII, "ibm852": ASCII, "cp852": ASCII,
	"ibm855": ASCII, "cp855": ASCII, "ibm858": ASCII, "cp858": ASCII, "ibm866": ASCII, "cp866": ASCII,
	"windows874": ASCII, "cp874": ASCII, "tis620": ASCII,
	"eucjp": ASCII, "euckr": ASCII, "eucjpms": ASCII, "eucjpwin": ASCII, "euctw": ASCII, "euccn": ASCII,
	"gb2312": Shifting, "gbk": Shifting, "gb18030": Shifting, "cp936": Shifting, "ms936": Shifting, "windows936": Shifting,
	"big5": Shifting, "big5hkscs": Shifting, "cp950": Shifting, "windows950": Shifting,
	"shiftjis": Shifting, "sjis": Shifting, "mskanji": Shifting, "windows31j": Shifting, "cp932": Shifting, "ms932": Shifting,
	"windows932": Shifting, "cp949": Shifting, "windows949": Shifting, "uhc": Shifting, "ksc5601": Shifting,
	"ksc56011987": Shifting,
}
