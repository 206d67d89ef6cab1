package formtoken

import "strings"

// charsetClass says how far the bytes of a text in a charset can be read as ASCII.
type charsetClass uint8

const (
	foreign  charsetClass = iota // unknown, or ASCII characters are not their ASCII bytes
	shifting                     // ASCII is ASCII, but a second byte of other characters may be an ASCII letter or backslash
	ascii                        // an ASCII byte is always that character
)

// charsetOf classifies a charset by its name. It lists what is known to be safe: the label of a charset
// that nobody here has heard of may well be EBCDIC.
func charsetOf(name string) charsetClass {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(name)) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b.WriteByte(c)
		case strings.IndexByte("-_:'\" .", c) < 0:
			return foreign
		}
	}
	label := strings.TrimPrefix(b.String(), "x")
	if class, ok := charsets[label]; ok {
		return class
	}
	for _, family := range []string{"iso8859", "windows125", "cp125", "latin"} {
		if rest, ok := strings.CutPrefix(label, family); ok && rest != "" && isCharsetNumber(rest) {
			return ascii
		}
	}
	return foreign
}

// isCharsetNumber accepts 1 to 16, and the bidi suffixes of ISO-8859-6 and -8.
func isCharsetNumber(s string) bool {
	s = strings.TrimRight(s, "ie")
	return len(s) == 1 && s[0] >= '0' && s[0] <= '9' || len(s) == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '6'
}

// charsets lists labels without their punctuation and without a leading x.
var charsets = map[string]charsetClass{
	"utf8": ascii, "utf8mb4": ascii, "unicode11utf8": ascii, "cesu8": ascii,
	"usascii": ascii, "ascii": ascii, "ansix341968": ascii, "iso646us": ascii, "us": ascii,
	"l1": ascii, "ibm819": ascii, "cp819": ascii,
	"koi8": ascii, "koi8r": ascii, "koi8u": ascii, "koi8ru": ascii,
	"macintosh": ascii, "macroman": ascii, "mac": ascii, "maccyrillic": ascii,
	"ibm437": ascii, "cp437": ascii, "ibm850": ascii, "cp850": ascii, "ibm852": ascii, "cp852": ascii,
	"ibm855": ascii, "cp855": ascii, "ibm858": ascii, "cp858": ascii, "ibm866": ascii, "cp866": ascii,
	"windows874": ascii, "cp874": ascii, "tis620": ascii,
	"eucjp": ascii, "euckr": ascii, "eucjpms": ascii, "eucjpwin": ascii, "euctw": ascii, "euccn": ascii,
	"gb2312": shifting, "gbk": shifting, "gb18030": shifting, "cp936": shifting, "ms936": shifting, "windows936": shifting,
	"big5": shifting, "big5hkscs": shifting, "cp950": shifting, "windows950": shifting,
	"shiftjis": shifting, "sjis": shifting, "mskanji": shifting, "windows31j": shifting, "cp932": shifting, "ms932": shifting,
	"windows932": shifting, "cp949": shifting, "windows949": shifting, "uhc": shifting, "ksc5601": shifting,
	"ksc56011987": shifting,
}
