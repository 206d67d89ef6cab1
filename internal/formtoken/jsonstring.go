package formtoken

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsText is the state within a string.
type jsText struct {
	want   byte // '"' plain, '\\' behind a backslash, 'u' in the digits of an escape
	digits int
	unit   uint16
	high   uint16 // a high surrogate that waits for its low one
	wanted *field
}

// beginString takes the opening quote; f is the wanted field whose value it is.
func (j *jsonScan) beginString(f *field) {
	j.state, j.keyed, j.strict = jsString, false, f != nil
	j.text = jsText{want: '"', wanted: f}
	if f != nil {
		j.s.begin(f)
	}
}

// readString takes a run of plain bytes, or one byte of an escape or the closing quote. It returns how
// much it used.
func (j *jsonScan) readString(p []byte, off int64) (int, *Error) {
	if j.text.want != '"' {
		return 1, j.readEscape(p[0], off+1)
	}
	n := 0
	for n < len(p) && p[n] != '"' && p[n] != '\\' && p[n] >= ' ' {
		n++
	}
	if n > 0 {
		if e := j.loneSurrogate(off + 1); e != nil {
			return 0, e
		}
		return n, j.text.put(j, p[:n], off)
	}
	switch p[0] {
	case '\\':
		j.text.want = '\\'
		return 1, nil
	case '"':
		return 1, j.endString(off + 1)
	}
	return 0, j.s.fail(errJSON, off+1)
}

// put gives a run of bytes to where the string goes.
func (t *jsText) put(j *jsonScan, p []byte, off int64) *Error {
	if !j.keyed {
		if t.wanted == nil {
			return nil
		}
		return j.s.put(p, off)
	}
	if room := maxName - len(j.key); len(p) > room {
		return j.s.fail(errLongName, off+int64(room)+1)
	}
	j.key = append(j.key, p...)
	return nil
}

// putRune gives the meaning of an escape that ends before at.
func (j *jsonScan) putRune(r rune, at int64) *Error {
	var buf [utf8.UTFMax]byte
	if e := j.text.put(j, utf8.AppendRune(buf[:0], r), at); e != nil {
		return j.s.fail(e, at)
	}
	return nil
}

func (j *jsonScan) readEscape(c byte, at int64) *Error {
	t := &j.text
	if t.want == 'u' {
		digit, ok := hexDigit(c)
		if !ok {
			return j.s.fail(errJSON, at)
		}
		t.unit = t.unit<<4 | uint16(digit)
		if t.digits++; t.digits < 4 {
			return nil
		}
		t.want = '"'
		return j.readUnit(at)
	}
	if c == 'u' {
		t.want, t.digits, t.unit = 'u', 0, 0
		return nil
	}
	if e := j.loneSurrogate(at); e != nil {
		return e
	}
	t.want = '"'
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return j.s.fail(errJSON, at)
	}
	return j.putRune(rune(c), at)
}

// readUnit takes the UTF-16 unit of an escape that ends before at.
func (j *jsonScan) readUnit(at int64) *Error {
	t := &j.text
	unit := rune(t.unit)
	if t.high != 0 {
		if r := utf16.DecodeRune(rune(t.high), unit); r != utf8.RuneError {
			t.high = 0
			return j.putRune(r, at)
		}
		if e := j.loneSurrogate(at); e != nil {
			return e
		}
	}
	switch {
	case 0xD800 <= unit && unit < 0xDC00:
		t.high = t.unit
		return nil
	case utf16.IsSurrogate(unit):
		if j.strict {
			return j.s.fail(errJSONText, at)
		}
		unit = utf8.RuneError
	}
	return j.putRune(unit, at)
}

// loneSurrogate settles a high surrogate that no low one followed. Parsers replace it, keep it or refuse
// it, so on the way to the token it is an error.
func (j *jsonScan) loneSurrogate(at int64) *Error {
	if j.text.high == 0 {
		return nil
	}
	j.text.high = 0
	if j.strict {
		return j.s.fail(errJSONText, at)
	}
	return j.putRune(utf8.RuneError, at)
}

// endString takes the closing quote.
func (j *jsonScan) endString(at int64) *Error {
	if e := j.loneSurrogate(at); e != nil {
		return e
	}
	if j.keyed {
		j.state = jsColon
		return j.endKey(at)
	}
	j.state = jsAfter
	if f := j.text.wanted; f != nil {
		if !utf8.ValidString(f.collect.String()) {
			return j.s.fail(errJSONText, at)
		}
		j.ended = f
	}
	return nil
}
