package captcha

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/caddy-captcha/caddy-captcha/internal/formtoken"
)

// maxTokenLen is the longest value of one field of a token, in bytes.
const maxTokenLen = 8 << 10

// found is what a request carries for us.
type found struct {
	fields  map[string]string // of tokens, by name
	header  string            // the token header's value
	seal    string            // what a challenge page of ours carried
	page    *carried          // the same, opened
	blocked bool              // the page says that the widget could not be loaded
	body    *heldBody         // what was read in search of both; nil where nothing was
}

// release lets go of what was read, once the request has been answered.
func (f found) release() {
	if f.body != nil {
		f.body.release()
	}
}

// end lets go of what was read of r. Where judging it has panicked, that is whatever
// its body holds. Where what follows us has failed, an error route may give it to
// another app, which needs the body.
func (f found) end(r *http.Request, judged bool, failed error) {
	if held, ok := r.Body.(*heldBody); ok && !judged {
		f.body = held
	}
	if failed == nil {
		f.release()
		return
	}
	context.AfterFunc(r.Context(), f.release)
}

// badRequest is a request that is refused for what it is, not for its token.
type badRequest struct {
	finding
	detail string // for the log
}

func (b *badRequest) Error() string { return string(b.reason) + ": " + b.detail }

func refuse(code int, reason finding, detail string) error {
	reason.refused = code
	return &badRequest{reason, detail}
}

// extract finds the token of r, in its header or else in its body. The body is
// left in r as it was, to be read again from its beginning.
func (h *Handler) extract(w http.ResponseWriter, r *http.Request) (found, error) {
	if values := r.Header[h.tokenHeader]; len(values) > 1 {
		return found{}, refuse(http.StatusBadRequest, failed(reasonBadRequest), "two token headers")
	} else if len(values) == 1 && values[0] != "" {
		return found{header: values[0]}, nil
	}
	if r.Body == nil || r.Body == http.NoBody {
		return found{}, nil
	}
	format, err := formtoken.ParseContentType(r.Header["Content-Type"], r.Header["Content-Encoding"])
	switch {
	case errors.Is(err, formtoken.ErrUnsupported):
		return found{}, refuse(http.StatusUnsupportedMediaType, failed(reasonEncoding), err.Error())
	case err != nil:
		return found{}, refuse(http.StatusBadRequest, failed(reasonBadRequest), err.Error())
	case format.Kind == formtoken.None:
		return found{}, nil
	}
	s := searches.Get().(*search)
	defer s.end()
	h.wanted[format.Kind].Start(&s.scanner, format)
	s.h, s.format, s.longer = h, format, r.ContentLength > h.MaxBuffer
	s.body = &heldBody{budgets: &h.app.shared.budgets, share: shareOf(clientIP(r)), rest: r.Body}
	if h.Mode != modeSignal {
		s.pace = keepPace(w, r.Body)
		defer s.pace.stop()
	}
	r.Body = s.body
	if err = s.run(); err != nil {
		return found{body: s.body}, s.explain(err)
	}
	return s.found()
}

// none reports whether the request carries no token at all.
func (f found) none() bool { return f.header == "" && len(f.fields) == 0 }

// token returns the fields of one provider's token; nil where they are not all
// there. A token header holds the one field's value, or, for a provider with
// several, their JSON object in base64url.
func (f found) token(l *link) map[string]string {
	names := l.fields
	all := f.fields
	switch {
	case f.header == "" && len(all) == 0:
		return nil
	case f.header == "":
	case len(names) == 1:
		all = map[string]string{names[0]: f.header}
	default:
		all = fieldsOf(f.header, maxTokenLen*len(names))
	}
	if len(all) == len(names) && len(names) == 1 {
		if _, ok := all[names[0]]; ok {
			return all
		}
		return nil
	}
	token := make(map[string]string, len(names))
	for _, name := range names {
		value, ok := all[name]
		if !ok {
			return nil
		}
		token[name] = value
	}
	return token
}

// fieldsOf reads the JSON object of a token header; nil where it is none.
func fieldsOf(header string, maxLen int) (fields map[string]string) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "="))
	if err != nil || len(text) > maxLen || json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

// want prepares the fields to look for in a body of each kind: those of any one
// provider of the chain make a token. A page of ours sends one first, or says that
// it could get none, or has nothing but its seal.
func (h *Handler) want() {
	var fields []formtoken.Field
	for i, l := range h.chain {
		for _, name := range l.fields {
			fields = append(fields, formtoken.Field{Name: name, MaxLen: maxTokenLen, Alternative: i})
		}
	}
	for i, name := range h.tokenFields {
		fields = append(fields, formtoken.Field{Name: name, MaxLen: maxTokenLen, Alternative: len(h.chain) + i})
	}
	h.pageStarts = [][]byte{[]byte(blockedField + "="), []byte(sealField + "=")}
	for _, l := range h.chain {
		h.pageStarts = append(h.pageStarts, []byte(l.fields[0]+"="))
	}
	h.wanted[formtoken.Multipart] = formtoken.Prepare(fields)
	h.wanted[formtoken.JSON] = h.wanted[formtoken.Multipart]
	h.wanted[formtoken.URLEncoded] = formtoken.Prepare(append(fields,
		formtoken.Field{Name: sealField, MaxLen: int(sealedSize(h.MaxReplay)), Optional: true},
		formtoken.Field{Name: blockedField, MaxLen: 1, Optional: true}))
}

// search reads a body until its token is found, and holds what it has read.
type search struct {
	h       *Handler
	format  formtoken.Format
	scanner formtoken.Scanner
	body    *heldBody
	pace    *pace
	longer  bool  // the body is certainly longer than max_buffer
	full    int   // how many pieces beyond max_buffer, one after the other, filled their buffers
	scanErr error // of the scanner, sticky
	wait    [waitChunk]byte
}

// searches are used again: one is large, and over before the request goes on.
var searches = sync.Pool{New: func() any { return new(search) }}

// end ends a search. What it has found stays.
func (s *search) end() {
	*s = search{}
	searches.Put(s)
}

var errTooLong = errors.New("no token before max_body")

// run fills the memory up to max_buffer and, as long as the token is not there,
// the temporary file up to max_body.
//
// A body that ends within max_buffer is scanned whole, and anything ambiguous in
// it counts. In a longer one the scan ends with the token, and what is ambiguous
// behind it does not count, however the bytes happened to arrive.
func (s *search) run() error {
	for {
		err := s.more()
		s.longer = s.longer || s.body.held() > s.h.MaxBuffer
		switch {
		case s.longer && s.done():
			return nil
		case s.scanErr != nil && (s.longer || err == io.EOF || !s.scanner.Complete()):
			return s.scanErr
		case err == io.EOF:
			return s.scanner.Close()
		case err != nil:
			return err
		case s.body.held() > s.limit():
			return errTooLong
		}
	}
}

// done reports whether a body longer than max_buffer needs no further scan.
func (s *search) done() bool {
	if !s.scanner.Complete() || s.sealFollows() {
		return false
	}
	return s.format.Kind != formtoken.URLEncoded || s.body.held() >= s.scanner.CompleteAt()+int64(len(sealField+"="))
}

// sealFollows reports whether the body is a page's of ours, which puts the
// sealed request right behind the token: that is read to its end. A field of
// that name further behind is none of ours, in whichever chunk it came.
func (s *search) sealFollows() bool {
	at := s.scanner.BeganAt(sealField)
	return at > 0 && (!s.scanner.Complete() || at <= s.scanner.CompleteAt()+int64(len(sealField+"=")))
}

// limit is how far to search.
func (s *search) limit() int64 {
	if s.sealFollows() {
		return max(s.h.MaxBody, sealedSize(s.h.MaxReplay)+maxTokenLen)
	}
	return s.h.MaxBody
}

// inMemory is how much of a body is held in memory. Where max_body is no more than
// max_buffer, one byte more tells without a file that a body is too long.
func (s *search) inMemory() int64 {
	if s.h.MaxBody == s.h.MaxBuffer {
		return s.h.MaxBuffer + 1
	}
	return s.h.MaxBuffer
}

// more reads the next bytes into memory or file, and shows them to the scanner.
func (s *search) more() error {
	b := s.body
	if room := s.inMemory(); b.inMem < room {
		if len(b.mem) == cap(b.mem) && !b.grow(room) {
			return errNoRoom
		}
		have := len(b.mem)
		n, err := s.read(b.mem[have:cap(b.mem)])
		b.mem, b.inMem = b.mem[:have+n], b.inMem+int64(n)
		return cmp.Or(s.scan(b.mem[have:]), err)
	}
	if s.full == 0 {
		return s.spill(s.wait[:])
	}
	buffers := &readyBuffers
	if s.full > 1 {
		buffers = &spillBuffers
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	return s.spill(*buffer)
}

// spill reads the next bytes, at most as many as buf has room for, into the file.
func (s *search) spill(buf []byte) error {
	buf = buf[:min(int64(len(buf)), s.limit()+1-s.body.held())]
	n, err := s.read(buf)
	if n < len(buf) {
		s.full = 0
	} else {
		s.full++
	}
	if n > 0 {
		if spillErr := s.body.spill(buf[:n]); spillErr != nil {
			return spillErr
		}
		if noRoom := s.scan(buf[:n]); noRoom != nil {
			return noRoom
		}
	}
	return err
}

// scan shows p to the scanner, which keeps no reference to it. A seal is kept in
// memory whole: its room is taken as it comes.
func (s *search) scan(p []byte) error {
	if s.scanErr != nil || len(p) == 0 {
		return nil //nolint:nilerr // the caller looks at scanErr
	}
	_, s.scanErr = s.scanner.Write(p)
	if !s.sealFollows() {
		return nil
	}
	if !s.body.budgets.memory.take(int64(len(p)), s.body.memCost, s.body.share) {
		return errNoRoom
	}
	s.body.memCost += int64(len(p))
	return nil
}

// What a client has yet to send is waited for with a small buffer in hand: there may
// be thousands that wait. What has come is read in larger pieces, for as long as they
// are filled. The second one takes what is left of the 4 KB that the server reads from
// a connection at once; behind those, large pieces need no copy of the server's.
const (
	waitChunk  = 256
	readyChunk = 4<<10 - waitChunk
	spillChunk = 32 << 10
)

var (
	readyBuffers = bufferPool(readyChunk)
	spillBuffers = bufferPool(spillChunk)
)

func bufferPool(size int) sync.Pool {
	return sync.Pool{New: func() any {
		buf := make([]byte, size)
		return &buf
	}}
}

// read reads from the client and remembers how that ended.
func (s *search) read(p []byte) (int, error) {
	n, err := s.body.rest.Read(p)
	if s.pace != nil {
		s.pace.count(n)
	}
	if err != nil {
		s.body.ended = err
	}
	return n, err
}

// found returns what the scanner has found.
func (s *search) found() (found, error) {
	f := found{body: s.body, fields: make(map[string]string)}
	if !s.longer || s.sealFollows() {
		f.seal, _ = s.scanner.Value(sealField)
		f.blocked = f.seal != "" && s.scanner.BeganAt(blockedField) > 0
	}
	for _, l := range s.h.chain {
		for _, name := range l.fields {
			if value, ok := s.scanner.Value(name); ok {
				f.fields[name] = value
			}
		}
	}
	own := s.h.chain[0].fields[0]
	for _, alias := range s.h.tokenFields {
		value, ok := s.scanner.Value(alias)
		if have, both := f.fields[own]; ok && both && have != value {
			return f, refuse(http.StatusBadRequest, failed(reasonBadRequest), "two different tokens under two names")
		}
		if ok {
			f.fields[own] = value
		}
	}
	return f, nil
}

// explain turns an error of run into what the handler does about it.
func (s *search) explain(err error) error {
	var ambiguous *formtoken.Error
	switch {
	case errors.As(err, &ambiguous):
		return refuse(http.StatusBadRequest, failed(reasonBadRequest), ambiguous.Detail)
	case errors.Is(err, errTooLong):
		// not refused: the visitor may solve a challenge and send it again
		return &badRequest{failed(reasonTooLarge), err.Error()}
	case errors.Is(err, errNoRoom):
		return refuse(http.StatusServiceUnavailable, failed(reasonTryAgain), err.Error())
	case s.pace != nil && s.pace.tooSlow():
		return refuse(http.StatusRequestTimeout, failed(reasonBadRequest), "the body comes too slowly")
	}
	return err
}
