package captcha

import (
	"encoding/binary"
	"net/http"
)

// sealed is what a seal says beside the body.
type sealed struct {
	Host    string
	Method  string
	URI     string
	Scope   string
	From    provenance
	Origin  string // for people to read
	Expires int64  // Unix seconds
	Header  http.Header
	// Once marks a seal that carries no body and redeems a one-time clearance.
	Once bool
}

// sealFormat is the first byte of the encoding. An older page of ours that comes
// back with another one is answered with a new challenge, as after a lost key.
const sealFormat = 1

// appendTo encodes s: every text with its length before it, so that each byte of a
// header or a path stays as it came.
func (s *sealed) appendTo(b []byte) []byte {
	text := func(value string) {
		b = binary.AppendUvarint(b, uint64(len(value)))
		b = append(b, value...)
	}
	b = append(b, sealFormat)
	for _, value := range []string{s.Host, s.Method, s.URI, s.Scope, string(s.From), s.Origin} {
		text(value)
	}
	b = binary.AppendVarint(b, s.Expires)
	once := byte(0)
	if s.Once {
		once = 1
	}
	b = append(b, once)
	b = binary.AppendUvarint(b, uint64(len(s.Header)))
	for name, values := range s.Header {
		text(name)
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, value := range values {
			text(value)
		}
	}
	return b
}

// parseSealed decodes what appendTo has written, and returns what follows it.
func parseSealed(b []byte) (s sealed, rest []byte, ok bool) {
	p := unsealer{rest: b, ok: true}
	if p.byte() != sealFormat {
		return s, nil, false
	}
	s.Host, s.Method, s.URI, s.Scope = p.text(), p.text(), p.text(), p.text()
	s.From, s.Origin = provenance(p.text()), p.text()
	s.Expires = p.number()
	s.Once = p.byte() == 1
	s.Header = make(http.Header)
	for range p.count() {
		name := p.text()
		values := make([]string, p.count())
		for i := range values {
			values[i] = p.text()
		}
		s.Header[name] = values
	}
	return s, p.rest, p.ok
}

// unsealer reads from the front of rest, as long as ok.
type unsealer struct {
	rest []byte
	ok   bool
}

func (p *unsealer) take(n int) []byte {
	if p.ok = p.ok && 0 <= n && n <= len(p.rest); !p.ok {
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *unsealer) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

// count is a length. What it counts takes at least a byte each.
func (p *unsealer) count() int {
	n, size := binary.Uvarint(p.rest)
	if p.take(size); size <= 0 || n > uint64(len(p.rest)) {
		p.ok = false
		return 0
	}
	return int(n) //nolint:gosec // no longer than a slice
}

func (p *unsealer) text() string { return string(p.take(p.count())) }

func (p *unsealer) number() int64 {
	n, size := binary.Varint(p.rest)
	if p.take(size); size <= 0 {
		p.ok = false
	}
	return n
}
