package captcha

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A proxy sends each piece that it reads in a system call of its own, so what came at
// once goes on at once.
func TestPeekedBodyGoesOnInOnePiece(t *testing.T) {
	text := "name=" + strings.Repeat("x", 1000)
	p := peek(readCloser(text), maxFieldName)
	if !p.hasPrefix([]byte("name=")) || p.hasPrefix([]byte("token=")) {
		t.Error("the beginning is not what was looked at")
	}
	b := make([]byte, 32<<10)
	if n, err := p.Read(b); string(b[:n]) != text || err != nil && err != io.EOF {
		t.Errorf("first read: %d bytes of %d, %v", n, len(text), err)
	}
	if n, err := p.Read(b); n != 0 || err != io.EOF {
		t.Errorf("then: %d, %v", n, err)
	}
}

// What comes in pieces, is long, ends early or with an error is given on as it came.
func TestPeekedBodies(t *testing.T) {
	broken := errors.New("broken")
	for name, text := range map[string]string{
		"empty": "", "short": "a=b", "as long as a name": strings.Repeat("n", maxFieldName), "long": strings.Repeat("0123456789", 1500),
	} {
		for kind, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "error with data": iotest.DataErrReader,
		} {
			if err := iotest.TestReader(peek(io.NopCloser(wrap(strings.NewReader(text))), maxFieldName), []byte(text)); err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
		p := peek(io.NopCloser(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))), maxFieldName)
		if got, err := io.ReadAll(p); string(got) != text || !errors.Is(err, broken) {
			t.Errorf("%s, broken off: %d bytes, %v", name, len(got), err)
		}
	}
}

// A body that somebody before us has looked into is no slower to be given up.
func TestSlowBodyThatWasLookedInto(t *testing.T) {
	e := serve(t, small)
	h := e.handler()
	synctest.Test(t, func(t *testing.T) {
		for name, look := range map[string]func(io.ReadCloser) io.ReadCloser{
			"peeked": func(body io.ReadCloser) io.ReadCloser { return peek(body, 1) },
			"held":   func(body io.ReadCloser) io.ReadCloser { return &heldBody{budgets: new(budgets), rest: body} },
			"both":   func(body io.ReadCloser) io.ReadCloser { return &heldBody{budgets: new(budgets), rest: peek(body, 1)} },
		} {
			body, feed := io.Pipe()
			go func() { _, _ = feed.Write([]byte("a=")) }()
			r := httptest.NewRequest("POST", "/login", look(body))
			r.Header.Set("Content-Type", formType)
			w := httptest.NewRecorder() // has no deadlines, as on HTTP/3
			start := time.Now()
			if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(nil)); err != nil || w.Code != 408 || time.Since(start) > 15*time.Second {
				t.Errorf("%s: %d, %v after %s", name, w.Code, err, time.Since(start))
			}
		}
	})
}
