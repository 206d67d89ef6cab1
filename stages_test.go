package captcha

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// stage is a handler without a server around it.
type stage struct {
	*Handler
	next caddyhttp.Handler
}

func newStage(tb testing.TB, h *Handler) *stage {
	tb.Helper()
	config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"storage":{"module":"file_system","root":%q}}`, tb.TempDir())
	if err := caddy.Load([]byte(config), true); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = caddy.Stop() })
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	tb.Cleanup(cancel)
	if err := errors.Join(h.Provision(ctx), h.Validate()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Cleanup() })
	if err := h.app.Start(); err != nil {
		tb.Fatal(err)
	}
	return &stage{h, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})}
}

// request is one as Caddy's server hands it to a handler.
func (s *stage) request(method, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://example.com/login", strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "192.0.2.1"})
	return r.WithContext(ctx)
}

func (s *stage) token(tb testing.TB) string {
	tb.Helper()
	doc, err := s.chain[0].issue(tb.Context(), s.chain[0].provider.(provider.Challenger), provider.Request{Host: "example.com", Received: time.Now()})
	if err != nil {
		tb.Fatal(err)
	}
	return powtest.Solve(doc)
}

// The stages of a request, one by one: what the handler costs without the server,
// the proxy and the network around it.
func BenchmarkStages(b *testing.B) {
	s := newStage(b, &Handler{
		ProviderRaw: []byte(`{"name":"pow","difficulty":1000}`), Clearance: &Clearance{Duration: caddy.Duration(time.Hour)},
	})
	form := "user=alice&password=correct+horse+battery+staple&remember=1"
	browser := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin", "Origin", "http://example.com", "Accept-Language", "de-CH,de;q=0.9,en;q=0.8"}
	w := httptest.NewRecorder()
	s.grantClearance(w, s.request("POST", ""), time.Now())
	cookie, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")

	for _, c := range []struct {
		name    string
		request func() *http.Request
		status  status
	}{
		{"strip", nil, ""},
		{"get", func() *http.Request { return s.request("GET", "") }, ""},
		{"cleared", func() *http.Request { return s.request("POST", form, append(browser, "Cookie", cookie)...) }, statusCleared},
		{"token", func() *http.Request {
			return s.request("POST", form+"&altcha="+url.QueryEscape(s.token(b)), browser...)
		}, statusPassed},
		{"page", func() *http.Request { return s.request("POST", form, browser...) }, ""},
		{"problem", func() *http.Request { return s.request("POST", form) }, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.status == statusPassed { // what it costs to grant one is another matter
				defer func(was Clearance) { *s.Clearance = was }(*s.Clearance)
				s.Clearance.Duration = 0
			}
			s.bench(b, c.request, c.status)
		})
	}
}

func (s *stage) bench(b *testing.B, request func() *http.Request, want status) {
	b.ReportAllocs()
	var h caddyhttp.MiddlewareHandler = s.Handler
	if request == nil {
		h, request = stripHandler{}, func() *http.Request { return s.request("GET", "") }
	}
	const batch = 100
	w := &discardWriter{header: make(http.Header)}
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		all := make([]*http.Request, min(batch, b.N-done))
		for i := range all {
			all[i] = request()
		}
		b.StartTimer()
		for _, r := range all {
			clear(w.header)
			if err := h.ServeHTTP(w, r, s.next); err != nil {
				b.Fatal(err)
			}
			if got := r.Header.Get(headerStatus); got != string(want) {
				b.Fatalf("status %q, want %q: %s", got, want, w.body.Bytes())
			}
		}
	}
}

// discardWriter keeps the last answer only.
type discardWriter struct {
	header http.Header
	body   bytes.Buffer
}

func (d *discardWriter) Header() http.Header { return d.header }

func (d *discardWriter) WriteHeader(int) { d.body.Reset() }

func (d *discardWriter) Write(p []byte) (int, error) { return d.body.Write(p) }

// What is not protected costs nothing (docs/threat-model.md, promise 10).
func TestNothingIsAllocatedForWhatIsNotProtected(t *testing.T) {
	s := newStage(t, new(Handler))
	r := s.request("GET", "")
	w := &discardWriter{header: make(http.Header)}
	for name, h := range map[string]caddyhttp.MiddlewareHandler{"strip": stripHandler{}, "captcha": s.Handler} {
		if n := testing.AllocsPerRun(100, func() { _ = h.ServeHTTP(w, r, s.next) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
