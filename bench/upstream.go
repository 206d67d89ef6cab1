//go:build linux

package main

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// upstream is the app behind both servers. It reads what it is sent and answers
// with little, so that the way to it is what is measured.
type upstream struct {
	addr   string
	server http.Server
}

const answerText = "the app has answered\n"

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func newUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: l.Addr().String()}
	u.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := buffers.Get().(*[64 << 10]byte)
		defer buffers.Put(buf)
		// hidden ReadFrom and WriteTo would bring buffers of their own
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, buf[:]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if r.URL.Path == pagePath {
			w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
			_, _ = io.WriteString(w, pageText)
			return
		}
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		_, _ = io.WriteString(w, answerText)
	})
	go func() { _ = u.server.Serve(l) }()
	return u, nil
}

func (u *upstream) close() { _ = u.server.Close() }
