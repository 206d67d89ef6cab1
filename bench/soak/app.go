//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// app is the app behind Caddy. It knows nothing of CAPTCHAs; it records what
// reaches it.
type app struct {
	addr   string
	server *http.Server
	book   *book
}

// byApp marks the app's own answers.
const byApp = "X-App"

const pageText = `<!doctype html><html><head><meta charset="utf-8"><title>Contact</title></head><body><h1>Contact</h1>
<form id="contact" method="post" action="/clear/contact"><textarea name="message">it&amp;s me</textarea><button>Send</button></form>
</body></html>
`

func newApp(b *book) (*app, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{addr: l.Addr().String(), book: b}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

func (a *app) close() { _ = a.server.Close() }

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(byApp, "1")
	nonce := r.URL.Query().Get("n")
	if nonce == "" && r.Method == http.MethodGet {
		if strings.HasPrefix(r.URL.Path, "/page") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, pageText)
		}
		return
	}
	t := a.book.arrive(nonce, r)
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil || t == nil {
		return // the client has gone; that it began to arrive is noted
	}
	var digest [sha256.Size]byte
	sum.Sum(digest[:0])
	a.book.complete(t, r.Header.Get("Content-Type"), r.ContentLength, digest, n)
	_, _ = io.WriteString(w, hex.EncodeToString(digest[:]))
}
