package formtoken

import (
	"bytes"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// partHead is what the header of a part has said so far.
type partHead struct {
	field        *field
	dispositions int
	codings      int
	types        int
	coded        bool // a Content-Transfer-Encoding that changes the bytes
	typed        bool // a Content-Type that is not ASCII-compatible plain text
}

// readHead collects header lines. It returns how much it used.
func (m *multipart) readHead(p []byte, off int64) (int, *Error) {
	n := bytes.IndexByte(p, '\n') + 1
	ended := n > 0
	if !ended {
		n = len(p)
	}
	if room := maxPartHead - m.head; n > room {
		return 0, m.s.fail(errPartHeadLong, off+int64(room)+1)
	}
	m.head += n
	m.line = append(m.line, p[:n]...)
	if !ended {
		return n, nil
	}
	line, ok := bytes.CutSuffix(m.line, []byte("\r\n"))
	m.line = m.line[:0]
	if !ok {
		return 0, m.s.fail(errPartHead, off+int64(n))
	}
	var e *Error
	switch {
	case len(line) > 0:
		e = m.headLine(string(line))
	case m.head == len("\r\n"):
		e = errPartHead // Werkzeug takes the content of a part without a header for one
	default:
		e = m.endHead()
	}
	if e != nil {
		return 0, m.s.fail(e, off+int64(n))
	}
	return n, nil
}

// headLine reads one line. A line that continues the one before is refused with all others that are
// not `name: value`: whether it belongs to it is read in two ways.
func (m *multipart) headLine(line string) *Error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) || strings.ContainsAny(line, "\r\x00") {
		return errPartHead
	}
	if strings.Contains(line, string(m.dash)) {
		return errDelimiter // to Django
	}
	if e := m.searched(line); e != nil {
		return e
	}
	value = trimOWS(value)
	switch strings.ToLower(name) {
	case "content-disposition":
		if m.part.dispositions++; m.part.dispositions > 1 {
			return errDisposition
		}
		var e *Error
		m.part.field, e = disposition(&m.s.names, value)
		return e
	case "content-transfer-encoding":
		m.part.codings++
		switch strings.ToLower(value) {
		case "7bit", "8bit", "binary":
		default:
			m.part.coded = true
		}
	case "content-type":
		m.part.types++
		m.part.typed = m.part.typed || !isPlainText(value)
	}
	return nil
}

// searched refuses lines in which Rack finds a name: it searches the whole header for Content-Disposition,
// and where that has no name takes the Content-ID or the Content-Type for one.
func (m *multipart) searched(line string) *Error {
	lower := lowerASCII(line)
	if strings.LastIndex(lower, "content-disposition:") > 0 {
		return errDisposition
	}
	for _, header := range []string{"content-id:", "content-type:"} {
		for _, value := range strings.Split(lower, header)[1:] {
			if nearSpelling(&m.s.names, trimOWS(value)) {
				return errPartName
			}
		}
	}
	return nil
}

// endHead begins the part's body.
func (m *multipart) endHead() *Error {
	m.state, m.lead, m.match = mpBody, leadHead, 0
	part := &m.part
	if part.field == nil {
		return nil
	}
	if !part.field.charset {
		switch {
		case part.coded || part.codings > 1:
			return errTokenCoding
		case part.typed || part.types > 1:
			return errTokenType
		}
	}
	m.s.begin(part.field)
	return nil
}

// isPlainText says whether a part of that type is text whose ASCII can be read as it is.
func isPlainText(contentType string) bool {
	media, params, ok := splitParams(contentType, true)
	if !ok || !strings.EqualFold(media, "text/plain") {
		return false
	}
	class, e := charsetParam(params)
	return e == nil && class != charset.Foreign
}
