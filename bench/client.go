//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a keep-alive connection of a client that does as little as it can:
// it shares the machine with what it measures.
type conn struct {
	net.Conn
	r     *bufio.Reader
	first time.Time // when the last answer's body began
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return over(c), nil
}

func over(c net.Conn) *conn { return &conn{Conn: c, r: bufio.NewReaderSize(c, 32<<10)} }

// anyCertificate is for servers on this machine, which this command has started.
var anyCertificate = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // 127.0.0.1

// dial is the same for a site of s, over TLS where that is the secure one.
func (s *server) dial(addr string) (*conn, error) {
	c, err := dial(addr)
	if err != nil || addr != s.secure {
		return c, err
	}
	secure := tls.Client(c.Conn, anyCertificate)
	if err := secure.Handshake(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return over(secure), nil
}

// base is where the URLs of a site of s begin.
func (s *server) base(addr string) string {
	if addr == s.secure {
		return "https://" + addr
	}
	return "http://" + addr
}

// do sends a request, and reads the answer to its end.
func (c *conn) do(request []byte) (status int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	return c.answer()
}

// answer reads an answer that says how long it is, or comes in chunks.
func (c *conn) answer() (status int, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("not an HTTP/1.1 answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length, chunked := -1, false
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		const name = "Content-Length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, err
			}
		}
		chunked = chunked || string(bytes.ToLower(bytes.TrimSpace(line))) == "transfer-encoding: chunked"
	}
	if length < 0 && !chunked {
		return status, errors.New("an answer with neither Content-Length nor chunks")
	}
	if _, err = c.r.Peek(1); err != nil && length != 0 {
		return status, err
	}
	c.first = time.Now()
	if chunked {
		return status, c.discardChunks()
	}
	_, err = c.r.Discard(length)
	return status, err
}

func (c *conn) discardChunks() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		if _, err := c.r.Discard(int(size) + 2); err != nil || size == 0 {
			return err
		}
	}
}

// sample is what one slice has shown.
type sample struct {
	requests  int
	took      time.Duration
	cpu       time.Duration // of the server
	latencies []time.Duration
	firsts    []time.Duration // until the body began
}

func (s sample) rate() float64       { return float64(s.requests) / s.took.Seconds() }
func (s sample) cpuPerReq() float64  { return s.cpu.Seconds() / float64(s.requests) }
func (s sample) p(q float64) float64 { return percentile(s.latencies, q).Seconds() }
func (s sample) firstByte() float64  { return percentile(s.firsts, 0.50).Seconds() }

// load sends one kind of request to one server.
type load struct {
	server *server
	conns  []*conn
	status int // of every answer
	slices int // so far

	// one request for all, or in turn those of a list, of which every slice
	// has a part of its own
	request  []byte
	list     [][]byte
	perSlice int
}

func newLoad(s *server, addr string, connections, status int) (*load, error) {
	l := &load{server: s, status: status}
	for range connections {
		c, err := s.dial(addr)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// source returns a function that gives the next request; nil at the end.
func (l *load) source() func() []byte {
	defer func() { l.slices++ }()
	if l.list == nil {
		return func() []byte { return l.request }
	}
	part := l.list[l.slices*l.perSlice : (l.slices+1)*l.perSlice]
	var next atomic.Int64
	return func() []byte {
		if i := int(next.Add(1)) - 1; i < len(part) {
			return part[i]
		}
		return nil
	}
}

// slice sends requests for some time, or as long as there are some.
func (l *load) slice(d time.Duration) (sample, error) {
	next := l.source()
	before, err := l.server.cpu()
	if err != nil {
		return sample{}, err
	}
	var wg sync.WaitGroup
	latencies, firsts, errs := make([][]time.Duration, len(l.conns)), make([][]time.Duration, len(l.conns)), make([]error, len(l.conns))
	begin := time.Now()
	end := begin.Add(d)
	if l.list != nil {
		end = begin.Add(time.Minute)
	}
	for i, c := range l.conns {
		_ = c.SetDeadline(end.Add(30 * time.Second))
		wg.Go(func() { latencies[i], firsts[i], errs[i] = l.send(c, next, end) })
	}
	wg.Wait()
	s := sample{took: time.Since(begin)}
	after, err := l.server.cpu()
	s.cpu = after - before
	s.latencies, s.firsts = slices.Concat(latencies...), slices.Concat(firsts...)
	s.requests = len(s.latencies)
	if err = errors.Join(append(errs, err)...); err == nil && s.requests == 0 {
		err = errors.New("no request was answered in time")
	}
	return s, err
}

// send sends one request at least, however late the machine lets it begin.
func (l *load) send(c *conn, next func() []byte, end time.Time) (latencies, firsts []time.Duration, err error) {
	for now := time.Now(); len(latencies) == 0 || now.Before(end); {
		request := next()
		if request == nil {
			break
		}
		status, err := c.do(request)
		if err != nil {
			return nil, nil, err
		}
		if status != l.status {
			return nil, nil, fmt.Errorf("status %d instead of %d", status, l.status)
		}
		done := time.Now()
		latencies, firsts = append(latencies, done.Sub(now)), append(firsts, c.first.Sub(now))
		now = done
	}
	return latencies, firsts, nil
}
