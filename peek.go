package captcha

import (
	"bytes"
	"io"
	"sync"
)

// peeked is a body of which the beginning was read, to be looked at, and is given on
// before the rest. No budget counts it: it is small, and gone as soon as it is read.
type peeked struct {
	rest io.ReadCloser

	mu    sync.Mutex
	buf   *[]byte // from peekBuffers; nil once it is given on
	start []byte  // what of it was not given on yet
	err   error   // what reading rest ended with
}

// peekBuffers are as large as what the server reads at once: where a client sends
// header and body together, the body is given on as it would be without us, in one
// piece, and a proxy sends it in one.
var peekBuffers = bufferPool(4 << 10)

// peek reads at least so much of a body, unless it ends before, and what else there is.
func peek(body io.ReadCloser, least int) *peeked {
	p := &peeked{rest: body, buf: peekBuffers.Get().(*[]byte)}
	n, err := io.ReadAtLeast(body, *p.buf, least)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	p.start, p.err = (*p.buf)[:n], err
	return p
}

func (p *peeked) hasPrefix(prefix []byte) bool { return bytes.HasPrefix(p.start, prefix) }

// Read implements io.Reader.
func (p *peeked) Read(b []byte) (int, error) {
	p.mu.Lock()
	if p.buf == nil {
		p.mu.Unlock()
		if p.err != nil {
			return 0, p.err
		}
		return p.rest.Read(b)
	}
	defer p.mu.Unlock()
	n := copy(b, p.start)
	if p.start = p.start[n:]; len(p.start) > 0 {
		return n, nil
	}
	peekBuffers.Put(p.buf)
	p.buf, p.start = nil, nil
	return n, p.err
}

// Close leaves the client's side open, as that of heldBody does.
func (p *peeked) Close() error { return nil }
