//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// client is one way to speak to Caddy.
type client struct {
	name string
	base string
	http *http.Client
}

// newClients returns HTTP/1.1 with connections that are kept, HTTP/2 over TLS,
// HTTP/1.1 with a connection for each request, and HTTP/3.
func (s *soak) newClients() ([]*client, error) {
	pem, err := os.ReadFile(filepath.Join(s.caddy.home, "storage", "pki", "authorities", "local", "root.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	make := func(name, base string, t http.RoundTripper) *client {
		return &client{name, base, &http.Client{Transport: t, Timeout: time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	}
	overTCP := func() *http.Transport {
		return &http.Transport{TLSClientConfig: trust.Clone(), MaxIdleConnsPerHost: 20, DisableCompression: true}
	}
	second, closing := overTCP(), overTCP()
	second.ForceAttemptHTTP2, closing.DisableKeepAlives = true, true
	return []*client{
		make("HTTP/1.1", "http://"+s.caddy.plain, overTCP()),
		make("HTTP/2", "https://"+s.caddy.secure, second),
		make("HTTP/1.1, closing", "http://"+s.caddy.plain, closing),
		make("HTTP/3", "https://"+s.caddy.secure, &http3.Transport{TLSClientConfig: trust.Clone(), DisableCompression: true}),
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// lane is a path, and what stands on it.
type lane struct {
	path   string
	gate   *gateway // nil where pow is the provider
	clears bool     // there are clearances
	free   bool     // there is no captcha
	moves  bool     // a reload changes its scope, with which clearances end
	signal bool     // nothing is refused; the app is told
}

const clearanceUses = 6

// newLanes returns those with pow first.
func (s *soak) newLanes() []*lane {
	all := []*lane{{path: "/pow"}, {path: "/moved", clears: true, moves: true}, {path: "/clear", clears: true}}
	for _, g := range s.providers {
		all = append(all, &lane{path: g.path(), gate: g})
	}
	return append(all, &lane{path: "/signal", signal: true})
}

// reply is an answer, or what prevented it.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
	sent   time.Time
	proto  int
}

func (r reply) byApp() bool { return r.header.Get(byApp) != "" }

// problem is the machine-readable answer of the edge.
type problem struct {
	Reason    string
	Reference string
	Captcha   *puzzle
}

// puzzle is what a client is asked to solve.
type puzzle struct {
	Provider  string
	Fields    []string
	Kind      string // of a page
	Challenge document
}

// document is a challenge of pow, or of GeeTest.
type document struct {
	Algorithm, Challenge, Salt, Signature string
	MaxNumber                             int64
	Success                               int
}

func (r reply) problem() (p problem) {
	if strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal(r.body, &p)
	}
	return p
}

// request is one request of a client.
func (c *client) request(ctx context.Context, method, path, contentType string, body []byte, headers ...string) *http.Request {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		panic(err) // paths are ours
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Connection" && strings.HasPrefix(c.base, "https") {
			continue // HTTP/2 and HTTP/3 have none
		}
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	return r
}

// do sends a request, at its turn, and judges what any answer must be.
func (s *soak) do(ctx context.Context, c *client, kind string, r *http.Request) reply {
	select {
	case <-s.pace:
	case <-ctx.Done():
		return reply{err: ctx.Err()}
	}
	sent := time.Now()
	resp, err := c.http.Do(r)
	if err != nil {
		s.book.count(kind, 0)
		return reply{err: err, sent: sent}
	}
	defer resp.Body.Close()
	if version := len("HTTP/1"); resp.Proto[:version] != c.name[:version] {
		s.book.violation("%s: a client of %s was answered over %s", kind, c.name, resp.Proto)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	got := reply{status: resp.StatusCode, header: resp.Header, body: body, err: err, sent: sent, proto: resp.ProtoMajor}
	s.book.count(kind, resp.StatusCode)
	s.judgeReply(kind, r, got)
	return got
}

// documented are the statuses that the reference has for answers of ours, of the
// handler and of the server that reads the request.
var documented = []int{200, 204, 400, 403, 408, 413, 415, 501, 503}

// unavailable are the reasons of a 503.
var unavailable = []string{"try-again", "provider-unreachable", "provider-failover", "throttled", "misconfigured"}

// judgeReply: no status that is not documented, and no failover without a cause.
func (s *soak) judgeReply(kind string, r *http.Request, got reply) {
	if !slices.Contains(documented, got.status) {
		s.book.violation("%s: status %d for %s %s: %v %.500s", kind, got.status, r.Method, r.URL, got.header, got.body)
	}
	l := s.laneOf(r.URL.Path)
	if got.byApp() || l == nil {
		return
	}
	p := got.problem()
	page := strings.HasPrefix(got.header.Get("Content-Type"), "text/html")
	switch {
	case got.status == http.StatusServiceUnavailable && !page && !slices.Contains(unavailable, p.Reason):
		s.book.violation("%s: a 503 that is not ours: %s %s: %v %.500s", kind, r.Method, r.URL, got.header, got.body)
	case l.gate == nil:
	case p.Reason == "misconfigured", p.Reason == "throttled", p.Reason == "provider-unreachable":
		s.book.diverted(l, p.Reason, got.sent)
	case got.header.Get("Captcha-Required") == "pow":
		s.book.diverted(l, fallbackAsked, got.sent)
	}
	for _, secret := range []string{realSecret, s.dir} {
		if strings.Contains(string(got.body), secret) {
			s.book.violation("%s: an answer tells %q", kind, secret)
		}
	}
}

func (s *soak) laneOf(path string) *lane {
	for _, l := range s.lanes {
		if strings.HasPrefix(path, l.path+"/") {
			return l
		}
	}
	return nil
}

// ask gets a path's puzzle.
func (s *soak) ask(ctx context.Context, c *client, l *lane) (p puzzle, ok bool) {
	got := s.do(ctx, c, "ask for a puzzle", c.request(ctx, http.MethodPost, l.path+"/form", "", nil, "Captcha-Request", "challenge"))
	if got.err == nil && got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
		s.book.violation("a puzzle was asked for and answered with %s", describe(got))
	}
	if got.status != http.StatusOK || json.Unmarshal(got.body, &p) != nil {
		return p, false
	}
	return p, true
}

// solve makes the token that a puzzle asks for.
func (s *soak) solve(l *lane, p puzzle) (name string, token map[string]string) {
	if p.Provider != "pow" && l.gate != nil {
		all := make(map[string]string)
		for k, v := range l.gate.solve(p) {
			all[k] = v[0]
		}
		return l.gate.kind, all
	}
	return "pow", map[string]string{"altcha": work(p.Challenge)}
}

// work does the proof of work.
func work(d document) string {
	want, err := hex.DecodeString(d.Challenge)
	if err != nil || d.MaxNumber > 1e6 {
		return ""
	}
	try := []byte(d.Salt)
	for number := range d.MaxNumber + 1 {
		sum := sha256.Sum256(strconv.AppendInt(try[:len(d.Salt)], number, 10))
		if bytes.Equal(sum[:], want) {
			return base64Of(fmt.Sprintf(`{"algorithm":%q,"challenge":%q,"number":%d,"salt":%q,"signature":%q,"took":12}`,
				d.Algorithm, d.Challenge, number, d.Salt, d.Signature))
		}
	}
	return ""
}

func base64URL(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func randomUUID() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}
