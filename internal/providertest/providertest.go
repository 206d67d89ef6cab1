// Package providertest is a provider on the loopback interface: strict about
// what it is asked, and with every fault that a provider on the Internet has.
// It is for tests only.
//
// A test writes the provider's true protocol as an http.Handler that reports
// every violation with Strict, and Suite.Run drives the provider under test
// through all faults:
//
//	s := providertest.New(t, protocol)
//	p := newProvider(s.URL())
//	s.Inject(providertest.Hang)
package providertest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// bounded is how long a fault lasts whose client never gives up.
const bounded = 10 * time.Second

// Call is a request that the server received.
type Call struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte
}

// Server is a provider that a test can break. It never keeps a connection, so
// what is injected holds from the next call on.
type Server struct {
	t        testing.TB
	protocol http.Handler
	other    *httptest.Server
	ca       string
	done     chan struct{}

	plain, secure *door

	mu        sync.Mutex
	fault     Fault
	calls     []Call
	elsewhere []Call
}

// New starts a server whose true protocol is protocol. It ends with the test.
func New(t testing.TB, protocol http.Handler) *Server {
	t.Helper()
	s := &Server{t: t, protocol: protocol, fault: None, done: make(chan struct{})}
	s.other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := record(r)
		s.mu.Lock()
		s.elsewhere = append(s.elsewhere, call)
		s.mu.Unlock()
		protocol.ServeHTTP(w, r) // it would pass the token
	}))
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, authorities().good.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	s.plain = newDoor(t, s, nil)
	s.secure = newDoor(t, s, &tls.Config{GetCertificate: s.certificate})
	t.Cleanup(s.close)
	return s
}

// URL is where the server answers over http, without a trailing slash.
func (s *Server) URL() string { return "http://" + s.plain.address }

// TLSURL is where the same server answers over https, with a certificate that
// only CA vouches for.
func (s *Server) TLSURL() string { return "https://" + s.secure.address }

// CA is the PEM file of the certificate authority behind TLSURL.
func (s *Server) CA() string { return s.ca }

// Inject breaks the server in one way, or mends it with None.
func (s *Server) Inject(f Fault) {
	s.t.Helper()
	s.mu.Lock()
	s.fault = f
	s.mu.Unlock()
	for _, d := range []*door{s.plain, s.secure} {
		if f == Refuse {
			d.shut()
		} else if err := d.open(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Calls are the calls so far, in order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Elsewhere are the calls at the server that Redirect names. There must be none.
func (s *Server) Elsewhere() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.elsewhere...)
}

// Strict reports a violation of the protocol as an error of the test.
func (s *Server) Strict(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("protocol: "+format, args...)
}

func (s *Server) injected() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

func (s *Server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.injected() == BadCertificate {
		return &authorities().bad.leaf, nil
	}
	return &authorities().good.leaf, nil
}

func (s *Server) close() {
	close(s.done)
	s.plain.close()
	s.secure.close()
	s.other.Close()
}

// ServeHTTP asks the protocol, always, and then answers as the fault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := record(r)
	s.mu.Lock()
	s.calls = append(s.calls, call)
	fault := s.fault
	s.mu.Unlock()
	answer := httptest.NewRecorder()
	s.protocol.ServeHTTP(answer, r)
	s.answer(w, r, fault, answer.Result())
}

// record reads r, and leaves its body to be read again.
func record(r *http.Request) Call {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(), Body: body}
}

// door is an address that can refuse.
type door struct {
	address string
	tls     *tls.Config
	server  *http.Server
	serving sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
}

func newDoor(t testing.TB, h http.Handler, config *tls.Config) *door {
	t.Helper()
	d := &door{address: "127.0.0.1:0", tls: config}
	d.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.serving.Add(1)
			defer d.serving.Done()
			h.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	d.server.SetKeepAlivesEnabled(false)
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		return err
	}
	d.listener, d.address = l, l.Addr().String()
	if d.tls != nil {
		l = tls.NewListener(l, d.tls)
	}
	d.serving.Go(func() {
		if err := d.server.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	})
	return nil
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		d.listener.Close()
		d.listener = nil
	}
}

func (d *door) close() {
	d.shut()
	_ = d.server.Close()
	d.serving.Wait()
}

// Serve is New for a protocol that is a function from call to answer.
func Serve(t testing.TB, protocol func(*Server) Answerer) *Server {
	t.Helper()
	var answer Answerer
	s := New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer(record(r))
		if len(body) > 0 && body[0] == '{' {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	answer = protocol(s)
	return s
}
