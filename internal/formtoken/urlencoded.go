package formtoken

import (
	"bytes"
	"unicode/utf8"
)

// urlencoded reads application/x-www-form-urlencoded.
type urlencoded struct {
	s     *Scanner
	state urlState
	name  []byte // raw
	pairs int
	semi  bool // the pair has an unescaped semicolon or a high ampersand, which some parsers take for a separator

	escape int  // digits still missing of a percent-escape in the value
	high   byte // its first digit
}

type urlState uint8

const (
	urlName  urlState = iota
	urlSkip           // value of a field that is not wanted
	urlValue          // value of a wanted field
)

// Formidable drops the highest bit of every byte that is not escaped: these become separators.
const (
	highAmpersand = '&' | 0x80
	highEquals    = '=' | 0x80
)

// maxRawName is the longest name with every byte escaped.
const maxRawName = 3 * maxName

func (u *urlencoded) feed(p []byte, off int64) *Error {
	for i := 0; i < len(p); {
		var n int
		var e *Error
		switch u.state {
		case urlName:
			n, e = u.readName(p[i:], off+int64(i))
		case urlSkip:
			n, e = u.skip(p[i:], off+int64(i))
		case urlValue:
			n, e = u.readValue(p[i:], off+int64(i))
		}
		if e != nil {
			return e
		}
		i += n
	}
	return nil
}

func (u *urlencoded) end(off int64) *Error { return u.endPair(off) }

// readName collects the name up to its separator.
func (u *urlencoded) readName(p []byte, off int64) (int, *Error) {
	n := 0
	for n < len(p) && p[n] != '=' && p[n] != '&' && p[n] != ';' && (!u.semi || p[n] != highAmpersand && p[n] != highEquals) {
		n++
	}
	if room := maxRawName - len(u.name); n > room {
		if u.semi {
			// Only old parsers would call this a name, and no token has one that long.
			u.state = urlSkip
			return n, nil
		}
		return 0, u.s.fail(errLongName, off+int64(room)+1)
	}
	u.name = append(u.name, p[:n]...)
	if n == len(p) {
		return n, nil
	}
	at := off + int64(n) + 1
	switch p[n] {
	case '&':
		return n + 1, u.nextPair(at)
	case ';', highAmpersand:
		return n + 1, u.semicolon(at)
	}
	f, e := u.classify(at)
	if e != nil {
		return 0, e
	}
	u.state = urlSkip
	if f != nil {
		u.state = urlValue
		u.s.begin(f)
		if f.beganAt == 0 {
			f.beganAt = at
		}
	}
	return n + 1, nil
}

// skip passes over a value.
func (u *urlencoded) skip(p []byte, off int64) (int, *Error) {
	n := 0
	for n < len(p) && p[n] != '&' && p[n] != ';' && p[n] != highAmpersand {
		n++
	}
	if n == len(p) {
		return n, nil
	}
	if p[n] != '&' {
		return n + 1, u.semicolon(off + int64(n) + 1)
	}
	return n + 1, u.nextPair(off + int64(n) + 1)
}

// readValue collects a run of plain bytes of a wanted value, or one byte of an escape.
func (u *urlencoded) readValue(p []byte, off int64) (int, *Error) {
	if u.escape > 0 {
		return 1, u.readEscape(p[0], off+1)
	}
	n := 0
	for n < len(p) && p[n] != '&' && p[n] != ';' && p[n] != '%' && p[n] != '+' {
		n++
	}
	if e := u.s.put(p[:n], off); e != nil || n == len(p) {
		return n, e
	}
	at := off + int64(n) + 1
	switch p[n] {
	case '&':
		return n + 1, u.nextPair(at)
	case ';':
		return n + 1, u.s.fail(errSemicolon, at)
	case '%':
		u.escape = 2
		return n + 1, nil
	default:
		return n + 1, u.s.putDecoded([]byte{' '}, at)
	}
}

func (u *urlencoded) readEscape(c byte, at int64) *Error {
	digit, ok := hexDigit(c)
	if !ok {
		return u.s.fail(errEscape, at)
	}
	u.escape--
	if u.escape > 0 {
		u.high = digit
		return nil
	}
	return u.s.putDecoded([]byte{u.high<<4 | digit}, at)
}

// semicolon ends what some parsers take for a pair; the next name begins.
func (u *urlencoded) semicolon(at int64) *Error {
	u.semi = true
	if u.state == urlName {
		if f, e := u.classify(at); e != nil || f != nil {
			return u.s.fail(errSemicolon, at)
		}
	}
	u.state, u.name = urlName, u.name[:0]
	return nil
}

// nextPair ends a pair at its ampersand.
func (u *urlencoded) nextPair(at int64) *Error {
	if e := u.endPair(at); e != nil {
		return e
	}
	if u.pairs++; u.pairs > maxPairs {
		return u.s.fail(errPairs, at)
	}
	u.state, u.name, u.semi = urlName, u.name[:0], false
	return nil
}

func (u *urlencoded) endPair(at int64) *Error {
	switch u.state {
	case urlName:
		// A name without "=" is a field with an empty value.
		f, e := u.classify(at)
		if e != nil || f == nil {
			return e
		}
		u.s.begin(f)
		return u.s.commit(at)
	case urlValue:
		if u.escape > 0 {
			return u.s.fail(errEscape, at)
		}
		return u.s.commit(at)
	}
	return nil
}

// classify finds the field that the name just read belongs to.
func (u *urlencoded) classify(at int64) (*field, *Error) {
	name, ok := percentDecode(u.name, formEscapes)
	if len(name) > maxName && !u.semi {
		return nil, u.s.fail(errLongName, at)
	}
	if u.nearOtherwise() {
		return nil, u.s.fail(errAlias, at)
	}
	if !ok {
		// Parsers drop, keep or mend a malformed escape; a name that one of them turns into ours is refused.
		for _, rule := range []escapeRule{formEscapes, formEscapes | dropPercent, formEscapes | dropEscape, formEscapes | unicodeEscapes} {
			if name, _ := percentDecode(u.name, rule); u.s.names.near(name) {
				return nil, u.s.fail(errEscape, at)
			}
		}
		return nil, nil
	}
	f, e := u.s.names.match(name)
	if e != nil {
		return nil, u.s.fail(e, at)
	}
	if f != nil && u.semi {
		if f.charset {
			return nil, nil
		}
		return nil, u.s.fail(errSemicolon, at)
	}
	return f, nil
}

// nearOtherwise says whether the name is a wanted one for Formidable, which drops the highest bit of each
// byte before it looks for separators, or for all that use URLSearchParams, which drops a question mark at
// the beginning of the body.
func (u *urlencoded) nearOtherwise() bool {
	if u.pairs == 1 && !u.semi && len(u.name) > 0 && u.name[0] == '?' {
		if name, _ := percentDecode(u.name[1:], formEscapes); u.s.names.near(name) {
			return true
		}
	}
	low := lowBits(u.name)
	if low == nil {
		return false
	}
	for pair := range bytes.SplitSeq(low, []byte{'&'}) {
		name, _, _ := bytes.Cut(pair, []byte{'='})
		if name, _ = percentDecode(bytes.TrimPrefix(name, []byte{'?'}), formEscapes); u.s.names.near(name) {
			return true
		}
	}
	return false
}

// lowBits returns raw without the highest bits; nil where there are none.
func lowBits(raw []byte) []byte {
	var low []byte
	for i, c := range raw {
		if c < utf8.RuneSelf {
			continue
		}
		if low == nil {
			low = bytes.Clone(raw)
		}
		low[i] = c &^ 0x80
	}
	return low
}
