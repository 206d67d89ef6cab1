package formtoken

import (
	"strings"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// Scanner reads a body that is pushed into it in chunks of any size. What it finds, and where, depends
// on the bytes alone, never on how they were cut.
type Scanner struct {
	names      nameSet
	missing    []int // required fields not yet found, by alternative
	parser     parser
	read       int64
	completeAt int64
	errorAt    int64 // how much of the body there was up to and with what was refused, or -1; for Close, all of it
	err        *Error
	closed     bool

	// The value being read. At most one is open at a time.
	open  *field
	again bool // the field has been found before: compare instead of collect
	pos   int  // how much of the value has been seen

	// room for what a scanner usually needs
	fields [6]field
	counts [4]int
	form   urlencoded
}

// parser is the grammar of one kind of body. The offsets are those of p[0] and of the end.
type parser interface {
	feed(p []byte, off int64) *Error
	end(off int64) *Error
}

// Scanner returns a scanner of one body of that format.
func (all *Fields) Scanner(format Format) *Scanner {
	s := new(Scanner)
	all.Start(s, format)
	return s
}

// Start makes s, used or new, a scanner of one body of that format.
func (all *Fields) Start(s *Scanner, format Format) {
	*s = Scanner{completeAt: -1, errorAt: -1}
	s.names = newNameSet(all, s.fields[:0])
	s.missing = append(s.counts[:0], all.missing...)
	switch format.Kind {
	case URLEncoded:
		s.names.addCharset()
		s.form = urlencoded{s: s, pairs: 1}
		s.parser = &s.form
	case Multipart:
		s.names.addCharset()
		s.parser = newMultipart(s, format.Boundary)
	case JSON:
		s.parser = newJSON(s)
	}
}

// Write feeds the next bytes of the body. Its error is always an *Error, and it stays.
func (s *Scanner) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.parser == nil || s.closed {
		return len(p), nil
	}
	off := s.read
	s.read += int64(len(p))
	if s.err = s.parser.feed(p, off); s.err != nil {
		// What is refused may have begun in an earlier chunk.
		return int(max(s.errorAt-off, 0)), s.err
	}
	return len(p), nil
}

// Close says that the body has ended. A field that nothing but the end of the body terminates is found
// here, so Complete and Value are to be asked again afterwards.
func (s *Scanner) Close() error {
	if s.err == nil && s.parser != nil && !s.closed && s.read > 0 {
		s.err = s.parser.end(s.read)
	}
	s.closed = true
	if s.err != nil {
		return s.err
	}
	return nil
}

// Complete says whether every required field of one alternative has been found and has properly ended.
// It stays true if an error follows.
func (s *Scanner) Complete() bool { return s.completeAt >= 0 }

// CompleteAt is the number of bytes of the body after which Complete became true, or -1.
func (s *Scanner) CompleteAt() int64 { return s.completeAt }

// Value returns the value of a wanted field that was found and has properly ended. It is what the body
// says, unescaped; whether it is a token is for the provider to judge.
func (s *Scanner) Value(name string) (string, bool) {
	if f := s.names.exact([]byte(name)); f != nil && !f.charset {
		return f.value, f.found
	}
	return "", false
}

// BeganAt is the number of bytes of an urlencoded body before the value of a wanted field, the first one
// if it is repeated; 0 where none was met.
func (s *Scanner) BeganAt(name string) int64 {
	if f := s.names.exact([]byte(name)); f != nil && !f.charset {
		return f.beganAt
	}
	return 0
}

// fail notes where the body was refused.
func (s *Scanner) fail(e *Error, at int64) *Error {
	s.errorAt = at
	return e
}

// begin opens the value of a field.
func (s *Scanner) begin(f *field) {
	s.open, s.again, s.pos = f, f.found, 0
	f.collect = strings.Builder{}
	if !s.again {
		f.collect.Grow(min(f.maxLen, usualValue))
	}
}

// put takes the next bytes of the open value; off is the offset of the first one in the body.
func (s *Scanner) put(p []byte, off int64) *Error {
	f := s.open
	if f == nil {
		return nil
	}
	if s.again {
		for i, c := range p {
			// Compared as it comes: a second copy of a large value needs no second buffer.
			if s.pos+i >= len(f.value) || f.value[s.pos+i] != c {
				return s.fail(errDifferent, off+int64(i)+1)
			}
		}
	} else {
		if room := f.maxLen - s.pos; len(p) > room {
			tooLong := ErrTooLong
			if f.charset {
				tooLong = errCharset
			}
			return s.fail(tooLong, off+int64(room)+1)
		}
		f.collect.Write(p)
	}
	s.pos += len(p)
	return nil
}

// putDecoded takes bytes of the open value that stand for one escape sequence ending before at.
func (s *Scanner) putDecoded(p []byte, at int64) *Error {
	if e := s.put(p, at); e != nil {
		return s.fail(e, at)
	}
	return nil
}

// commit ends the open value, if there is one: it was properly terminated before at.
func (s *Scanner) commit(at int64) *Error {
	f := s.open
	if f == nil {
		return nil
	}
	s.open = nil
	if f.charset {
		// Each one counts by itself: whichever a parser honours must be harmless.
		if value := f.collect.String(); strings.TrimSpace(value) != "" && charset.Of(value) == charset.Foreign {
			return s.fail(errCharset, at)
		}
		return nil
	}
	if s.again {
		if s.pos != len(f.value) {
			return s.fail(errDifferent, at)
		}
		return nil
	}
	f.value, f.found = f.collect.String(), true
	for _, alternative := range f.required {
		s.missing[alternative]--
		if s.missing[alternative] == 0 && s.completeAt < 0 {
			s.completeAt = at
		}
	}
	return nil
}
