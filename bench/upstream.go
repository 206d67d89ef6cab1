//go:build linux

package main

import (
	"cmp"
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

// Very many small bodies may come at once, and few large ones.
const smallBody = 512 << 10

var (
	buffers      = sync.Pool{New: func() any { return make([]byte, 64<<10) }}
	smallBuffers = sync.Pool{New: func() any { return make([]byte, 4<<10) }}
)

// newUpstream listens at addr, or, where that is empty, at any free port.
func newUpstream(addr string) (*upstream, error) {
	l, err := net.Listen("tcp", cmp.Or(addr, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: l.Addr().String()}
	u.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pool := &buffers
		if r.ContentLength < smallBody {
			pool = &smallBuffers
		}
		buf := pool.Get().([]byte)
		defer pool.Put(buf) //nolint:staticcheck // an allocation of 24 bytes is not what is measured
		// hidden ReadFrom and WriteTo would bring buffers of their own
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, buf); err != nil {
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
