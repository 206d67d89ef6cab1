package formtoken

import "bytes"

// multipart reads multipart/form-data: delimiters and bodies. Part headers are in partheader.go.
type multipart struct {
	s     *Scanner
	dash  []byte // two hyphens and the boundary
	state mpState
	lead  lineLead
	match int                    // how much of dash has been seen: behind lead, or at the end of what was passed over
	fails [maxBoundary + 3]uint8 // where to go on in dash after a mismatch, by how much of it matched
	tail  byte                   // first byte behind a delimiter
	parts int

	line []byte // of the part's header
	head int    // its size so far
	part partHead
}

type mpState uint8

const (
	mpStart    mpState = iota // before the first delimiter
	mpTail                    // behind a delimiter
	mpHead                    // in the header of a part
	mpBody                    // in the body of a part
	mpLast                    // behind the final delimiter
	mpEpilogue                // behind its line
)

// lineLead is how the current line began. A delimiter stands only behind CRLF; some parsers see one
// behind other line ends too, and Django's and Rack's anywhere, so there it is an error.
type lineLead uint8

const (
	leadNone lineLead = iota // within a line
	leadCR
	leadCRLF
	leadLF
	leadHead // the body begins here; the line end belongs to the header
)

func newMultipart(s *Scanner, boundary string) *multipart {
	m := &multipart{s: s, dash: []byte("--" + boundary)}
	for i := 1; i < len(m.dash); i++ {
		m.fails[i+1] = uint8(m.step(int(m.fails[i]), m.dash[i])) //nolint:gosec // a boundary is short
	}
	return m
}

// step returns how much of dash the bytes so far end with after c, if it was match before. (The search of
// Knuth, Morris and Pratt.)
func (m *multipart) step(match int, c byte) int {
	for match > 0 && m.dash[match] != c {
		match = int(m.fails[match])
	}
	if m.dash[match] == c {
		match++
	}
	return match
}

func (m *multipart) feed(p []byte, off int64) *Error {
	for i := 0; i < len(p); {
		n, e := 1, (*Error)(nil)
		at := off + int64(i) + 1
		switch m.state {
		case mpBody, mpEpilogue:
			n, e = m.readBody(p[i:], off+int64(i))
		case mpHead:
			n, e = m.readHead(p[i:], off+int64(i))
		case mpStart:
			e = m.readStart(p[i], at)
		case mpTail:
			e = m.readTail(p[i], at)
		case mpLast:
			e = m.readLast(p[i], at)
		}
		if e != nil {
			return e
		}
		i += n
	}
	return nil
}

func (m *multipart) end(off int64) *Error {
	switch {
	case m.state == mpEpilogue:
		return nil
	case m.state == mpLast && m.tail == 0:
		return m.s.commit(off) // many clients end without CRLF
	}
	return m.s.fail(errUnterminated, off)
}

// readStart wants the first delimiter. One CRLF before it is an empty preamble, which a widely copied
// C# example sends; anything more could hold a part for parsers that do not look for the line's start.
func (m *multipart) readStart(c byte, at int64) *Error {
	switch {
	case m.lead == leadNone && m.match == 0 && c == '\r':
		m.lead = leadCR
	case m.lead == leadCR:
		if c != '\n' {
			return m.s.fail(errPreamble, at)
		}
		m.lead = leadCRLF
	case c != m.dash[m.match]:
		return m.s.fail(errPreamble, at)
	default:
		if m.match++; m.match == len(m.dash) {
			m.state, m.tail = mpTail, 0
		}
	}
	return nil
}

// readTail wants a line end or two hyphens. White space before the line end is allowed by RFC 2046 and
// sent by nobody; PHP takes such a line for text.
func (m *multipart) readTail(c byte, at int64) *Error {
	switch {
	case m.tail == 0 && (c == '\r' || c == '-'):
		m.tail = c
		return nil
	case m.tail == '-' && c == '-':
		m.state, m.tail = mpLast, 0
		return nil
	case m.tail != '\r' || c != '\n':
		return m.s.fail(errDelimiter, at)
	}
	if e := m.s.commit(at); e != nil {
		return e
	}
	if m.parts++; m.parts > maxParts {
		return m.s.fail(errParts, at)
	}
	m.state, m.line, m.head, m.part = mpHead, m.line[:0], 0, partHead{}
	return nil
}

// readLast wants the line end behind the final delimiter.
func (m *multipart) readLast(c byte, at int64) *Error {
	switch {
	case m.tail == 0 && c == '\r':
		m.tail = c
		return nil
	case m.tail == '\r' && c == '\n':
		m.state, m.lead, m.match = mpEpilogue, leadCRLF, 0
		return m.s.commit(at)
	}
	return m.s.fail(errDelimiter, at)
}

// readBody passes over the body of a part, or over the epilogue. It returns how much it used.
func (m *multipart) readBody(p []byte, off int64) (int, *Error) {
	if m.state == mpEpilogue {
		switch i := bytes.IndexByte(p, ':'); {
		case i == 0:
			return 0, m.s.fail(errEpilogue, off+1) // Django takes the epilogue for one more part, if it has a header
		case i > 0:
			p = p[:i]
		}
	}
	n, slow := 0, 1
	if m.lead == leadNone && m.match == 0 {
		slow = len(p)
		// Up to the next place where the boundary's text stands there can be no delimiter. What follows,
		// and the end of the chunk, is read byte by byte.
		free := len(p) - len(m.dash) - 2
		if i := bytes.Index(p, m.dash); i >= 0 {
			free, slow = i-2, i+len(m.dash)
		}
		if free > 0 {
			if e := m.plain(p[:free], off); e != nil {
				return 0, e
			}
			n = free
		}
	}
	for n < len(p) && (n < slow || m.lead != leadNone || m.match > 0) {
		e := m.readByte(p[n], off+int64(n))
		n++
		if e != nil || m.state == mpTail {
			return n, e
		}
	}
	return n, nil
}

// plain passes over bytes that hold no delimiter and keeps the line end at their end, if any.
func (m *multipart) plain(p []byte, off int64) *Error {
	switch {
	case bytes.HasSuffix(p, []byte("\r\n")):
		m.lead, p = leadCRLF, p[:len(p)-2]
	case bytes.HasSuffix(p, []byte("\r")):
		m.lead, p = leadCR, p[:len(p)-1]
	case bytes.HasSuffix(p, []byte("\n")):
		m.lead = leadLF
	}
	m.match = 0
	return m.s.put(p, off)
}

// readByte takes one byte of a body. What may turn out to be a delimiter is held back: it is known from
// lead and match and needs no buffer.
func (m *multipart) readByte(c byte, off int64) *Error {
	if m.lead != leadNone {
		if c == m.dash[m.match] {
			if m.match++; m.match < len(m.dash) {
				return nil
			}
			if m.lead != leadCRLF || m.state == mpEpilogue {
				return m.s.fail(errDelimiter, off+1)
			}
			m.state, m.tail = mpTail, 0
			return nil
		}
		if c == '\n' && m.lead == leadCR && m.match == 0 {
			m.lead = leadCRLF
			return nil
		}
		if e := m.release(off); e != nil {
			return e
		}
	}
	if m.match = m.step(m.match, c); m.match == len(m.dash) {
		return m.s.fail(errDelimiter, off+1)
	}
	switch c {
	case '\r':
		m.lead = leadCR
		return nil
	case '\n':
		m.lead = leadLF
	}
	if m.s.open == nil {
		return nil
	}
	return m.s.put([]byte{c}, off)
}

// release gives back what was held before off: it was no delimiter.
func (m *multipart) release(off int64) *Error {
	end := ""
	switch m.lead {
	case leadCR:
		end = "\r"
	case leadCRLF:
		end = "\r\n"
	}
	held := m.dash[:m.match]
	m.lead = leadNone
	if m.s.open == nil {
		return nil
	}
	if e := m.s.put([]byte(end), off-int64(len(end)+len(held))); e != nil {
		return e
	}
	return m.s.put(held, off-int64(len(held)))
}
