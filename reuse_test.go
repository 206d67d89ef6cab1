package captcha

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// spoil takes what is used again out of its pools, all the time, overwrites it, and
// puts it back. Whoever goes on using what they have given back meets bytes that
// nobody has sent, and the race detector meets them.
func spoil(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	end := make(chan struct{})
	thief := func(pool *sync.Pool, overwrite func(any)) {
		wg.Go(func() {
			for tick := time.Tick(200 * time.Microsecond); ; {
				select {
				case <-end:
					return
				case <-tick:
					one := pool.Get()
					overwrite(one)
					pool.Put(one)
				}
			}
		})
	}
	junk := bytes.Repeat([]byte{0xDD}, 32<<10)
	for _, pool := range []*sync.Pool{&peekBuffers, &firstRooms, &readyBuffers, &spillBuffers, &pageRooms, &copyBuffers} {
		thief(pool, func(one any) { copy(*one.(*[]byte), junk) })
	}
	thief(&searches, func(one any) { *one.(*search) = search{} }) // it is empty as it is
	t.Cleanup(func() {
		close(end)
		wg.Wait()
	})
}

// parcel is a visitor's form, each part of which says whose it is.
type parcel struct {
	id, size int
	begin    string // of the form: what it is taken for
}

func (f parcel) text() []byte {
	mark := fmt.Sprintf("&visitor=%08d,+and+nobody+else", f.id)
	return []byte(f.begin + strings.Repeat(mark, f.size/len(mark)+1))[:f.size]
}

// query says which parcel it is.
func (f parcel) query() string {
	return url.Values{"id": {strconv.Itoa(f.id)}, "size": {strconv.Itoa(f.size)}, "begin": {f.begin}}.Encode()
}

func parcelOf(r *http.Request) parcel {
	q := r.URL.Query()
	id, _ := strconv.Atoi(q.Get("id"))
	size, _ := strconv.Atoi(q.Get("size"))
	return parcel{id, size, q.Get("begin")}
}

// careless is a handler behind us that reads the body in two goroutines, and does not
// wait for them. Over HTTP/3 it is one: quic-go's body is not made for two at once.
type careless struct{}

var (
	carelessReaders sync.WaitGroup
	carelessFound   atomic.Int64 // pieces that are not of the parcel
)

func init() {
	caddy.RegisterModule(careless{})
	httpcaddyfile.RegisterHandlerDirective("captcha_test_careless", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return careless{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("captcha_test_careless", httpcaddyfile.Before, "respond")
}

func (careless) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha_test_careless", New: func() caddy.Module { return new(careless) }}
}

func (careless) ServeHTTP(_ http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	text, body, readers := parcelOf(r).text(), r.Body, 2
	if r.ProtoMajor == 3 {
		readers = 1
	}
	for range readers {
		carelessReaders.Go(func() {
			buf := make([]byte, 700)
			for {
				n, err := body.Read(buf)
				if !bytes.Contains(text, buf[:n]) {
					carelessFound.Add(1)
				}
				if err != nil {
					return
				}
			}
		})
	}
	return nil
}

// postbox is an app that sees whose bytes it gets, and has bad manners if asked: it
// answers before it has read anything, or all, or breaks off.
type postbox struct {
	t     *testing.T
	whole atomic.Int64
}

func (p *postbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	f := parcelOf(r)
	size := f.size
	switch r.URL.Query().Get("app") {
	case "early":
		return
	case "half":
		_, _ = p.read(f, io.LimitReader(r.Body, int64(size/2)))
		return
	case "breaks off":
		_, _ = p.read(f, io.LimitReader(r.Body, int64(size/2)))
		panic(http.ErrAbortHandler)
	}
	n, err := p.read(f, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if n != size {
		p.t.Errorf("parcel %d of %d bytes has come as a whole one of %d", f.id, size, n)
	}
	p.whole.Add(1)
}

// read reads a parcel, and looks at each byte.
func (p *postbox) read(f parcel, body io.Reader) (n int, err error) {
	text := f.text()
	for buf := make([]byte, 3000); err == nil; {
		var more int
		more, err = body.Read(buf)
		if !bytes.HasPrefix(text[n:], buf[:more]) {
			p.t.Errorf("parcel %d, from byte %d on: %.60q, want %.60q", f.id, n, buf[:more], text[n:])
			return n, errors.New("a stranger's parcel")
		}
		n += more
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// sender is a visitor who sends parcels.
type sender struct {
	*protocols
	h      *Handler
	cookie string
}

// send sends a parcel. Where the client gives up, it does so in the middle.
func (s *sender) send(f parcel, proto, path, app string, sized, givesUp bool, headers ...string) (resp *http.Response, body []byte, err error) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	text := io.Reader(bytes.NewReader(f.text()))
	if givesUp {
		text = io.MultiReader(io.LimitReader(text, int64(f.size/2)), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, ctx.Err()
		}))
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+path+"?"+f.query()+"&app="+url.QueryEscape(app), io.NopCloser(text))
	if err != nil {
		return nil, nil, err
	}
	req.ContentLength = -1
	if sized {
		req.ContentLength = int64(f.size)
	}
	req.Header.Set("Content-Type", formType)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], strings.ReplaceAll(headers[i+1], "{origin}", s.url))
	}
	resp, err = s.transports[proto].RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

// challenged sends a parcel without a token, and opens what the page carries.
func (s *sender) challenged(f parcel, proto string, sized bool) {
	resp, page, err := s.send(f, proto, "/direct", "", sized, false, browser("same-origin")...)
	if err != nil || resp.StatusCode != 403 {
		s.t.Errorf("parcel %d over %s: %v, %v", f.id, proto, resp, err)
		return
	}
	seal := append(sealInput.FindSubmatch(page), nil, nil)[1]
	box, err := base64.RawURLEncoding.DecodeString(string(seal))
	plain, openErr := s.h.sealer.Open(s.t.Context(), box, nil)
	_, carried, ok := parseSealed(plain)
	if err = errors.Join(err, openErr); err != nil || !ok || !bytes.Equal(carried, f.text()) {
		s.t.Errorf("parcel %d: the page carries %.60q, %v", f.id, carried, err)
	}
	if bytes.IndexByte(page, 0xDD) >= 0 || bytes.Count(page, []byte("</html>")) != 1 || !bytes.HasSuffix(bytes.TrimSpace(page), []byte("</html>")) {
		s.t.Errorf("parcel %d: a page of %d bytes that is spoilt", f.id, len(page))
	}
}

// parcels sends n parcels in all ways there are, and returns how many must have come.
func (s *sender) parcels(first, n int) (whole int64) {
	cleared := append(browser("same-origin"), "Cookie", s.cookie)
	protos := []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}
	for id := first; id < first+n; id++ {
		size := []int{100, 4095, 4096, 4097, 20_000, 150_000}[rand.IntN(6)] + rand.IntN(100)
		f := parcel{id, size, []string{"name=", "altcha="}[rand.IntN(2)]} // looked at, and held
		proto, sized := protos[rand.IntN(3)], rand.IntN(2) == 0
		path := []string{"/direct", "/buffered", "/retried", "/signal", "/careless", ""}[rand.IntN(6)]
		app := []string{"", "", "early", "half", "breaks off"}[rand.IntN(5)]
		headers := cleared
		switch path {
		case "":
			f.begin = "name="
			s.challenged(f, proto, sized)
			continue
		case "/signal": // searched to its end
			headers = nil
		}
		givesUp := rand.IntN(4) == 0
		resp, _, err := s.send(f, proto, path, app, sized, givesUp, headers...)
		if givesUp || app != "" || path == "/careless" {
			continue
		}
		if err != nil || resp.StatusCode != 200 {
			s.t.Errorf("parcel %d of %d bytes to %s over %s: %v, %v", id, size, path, proto, resp, err)
		}
		whole++
	}
	return whole
}

// Apps answer before they have read, proxies read on after they have an answer, and
// clients go away in the middle. Memory is used again, and yet nobody's bytes ever
// reach the app, or a page, as someone else's.
func TestNobodyGetsAStrangersBytes(t *testing.T) {
	box := &postbox{t: t}
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	const options = "{\nmax_buffer 8KiB\nmax_body 1MiB\nclearance 1h\nprovider pow {\ndifficulty 1000\n}\n"
	e := serveAll(t, fmt.Sprintf(`@enforced not path /signal*
	captcha @enforced `+options+`}
	captcha /signal* `+options+`mode signal
	}
	captcha_test_careless /careless
	reverse_proxy /buffered* %[1]s {
		request_buffers 16KiB
	}
	reverse_proxy /retried* 127.0.0.1:%[2]d %[1]s {
		lb_policy round_robin
		lb_retries 50
	}
	reverse_proxy %[1]s`, server.Listener.Addr(), freePort(t)))
	cleared := e.post("/direct?size=0&app=early", formType, "altcha="+url.QueryEscape(e.token("/direct"))).Cookies()
	if len(cleared) != 1 {
		t.Fatal("no clearance")
	}
	s := &sender{protocols: e, h: e.handler(), cookie: cleared[0].Name + "=" + cleared[0].Value}
	spoil(t)
	const senders, each = 12, 20
	var wg sync.WaitGroup
	var whole atomic.Int64
	for n := range senders {
		wg.Go(func() { whole.Add(s.parcels(n*each, each)) })
	}
	wg.Wait()
	carelessReaders.Wait()
	if n := carelessFound.Load(); n != 0 {
		t.Errorf("a careless handler has found %d pieces of other bodies", n)
	}
	if got := box.whole.Load(); got < whole.Load() || whole.Load() < senders {
		t.Errorf("%d parcels came whole, want %d", got, whole.Load())
	}
}
