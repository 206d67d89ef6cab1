package captcha

import (
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What a client can say without having solved anything is not remembered: whoever
// says it often enough would fill the memory of spent tokens, and nobody else's
// would be accepted any more.
func TestClientsWordFillsNoMemoryD97(t *testing.T) {
	for _, mode := range []string{"enforce", "signal"} {
		g := newGateway(t, "geetest")
		site := "captcha {\nmode " + mode + "\n" + g.block(false) + "\n}\nreverse_proxy {app}"
		e := serve(t, site)
		e.loadWithStore(site, "")
		for range 50 {
			e.post("/", formType, offlineAnswer(randomHex(16)).Encode())
			e.post("/", formType, offlineAnswer(randomHex(16)).Encode(), "Captcha-Redeem", "1", "Origin", e.url)
		}
		// the store is told of the last one while nobody waits
		waitUntil(t, "no claims of tokens that the client made, in mode "+mode, func() bool { return claims() == 0 })
		_ = caddy.Stop()
	}
}

// Where policy takes the client's word, the token that it came with has opened a
// request, and opens no other.
func TestClientsWordOpensOneRequestD40(t *testing.T) {
	g := newGateway(t, "geetest")
	e := serve(t, "captcha {\n"+g.block(false)+"\nfailover {\nclient_reported allow\n}\n}\nreverse_proxy {app}")
	body := offlineAnswer(randomHex(16)).Encode()
	if s := e.wantForwarded(e.post("/", formType, body)); s.Header.Get(headerStatus) != "failover" {
		t.Errorf("the app was told %v", s.Header)
	}
	e.wantProblem(e.post("/", formType, body), 403, "token-duplicate")
}

// One visitor's bodies never take all the room that there is: the next one gets a
// challenge still.
func TestOneNetworkLeavesRoomD127(t *testing.T) {
	e := serve(t, small)
	h := e.handler()
	room := &h.app.shared.budgets
	room.memory.limit.Store(4 << 20)
	room.disk.limit.Store(1 << 20)
	defer room.memory.limit.Store(maxBodiesInMem)
	defer room.disk.limit.Store(defaultMaxSpill)
	post := func(from, contentType string, body io.Reader) int {
		r := e.request("POST", "/login", contentType, "", browser("same-origin")...)
		r.Body, r.ContentLength = io.NopCloser(body), -1
		r = r.WithContext(contextWithVars(r, map[string]any{caddyhttp.ClientIPVarKey: from}))
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, r, nil); err != nil {
			t.Error(err)
		}
		return w.Code
	}
	for _, c := range []struct {
		name, contentType string
		sent              int
		of                *budget
	}{
		{"carried", "text/plain", 60_000, &room.memory},
		{"searched", formType, 60_000, &room.memory},
		{"spilled", formType, 200_000, &room.disk},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := "a=" + strings.Repeat("x", c.sent)
			stalled, end := io.Pipe()
			var wg sync.WaitGroup
			half := c.of.limit.Load() / 2
			waitUntil(t, "half of the room is taken", func() bool {
				wg.Go(func() { post("203.0.113.1", c.contentType, io.MultiReader(strings.NewReader(body), stalled)) })
				return c.of.used.Load() > half-int64(c.sent)-spillChunk
			})
			if code := post("198.51.100.1", c.contentType, strings.NewReader(body)); code != 403 {
				t.Errorf("another visitor: %d", code)
			}
			if used := c.of.used.Load(); used > half {
				t.Errorf("one network holds %d of %d bytes", used, 2*half)
			}
			_ = end.Close()
			wg.Wait()
		})
	}
	e.checkNothingHeld()
}

// The first body of a network may have what there is, and so may all of those that
// come through a proxy nobody has named.
func TestSharesD127(t *testing.T) {
	const limit = 100
	var b budget
	b.limit.Store(limit)
	steps := []struct {
		name   string
		n, own int64
		by     share
		want   bool
	}{
		{"one body, much of the room", 90, 0, 7, true},
		{"the same body, more of it", 10, 90, 7, true},
		{"nothing is left", 1, 0, nobodys, false},
		{"the body is done with", -60, 100, 7, true},
		{"a second one of its network", 20, 0, 7, false},
		{"one that leaves as much", 5, 0, 7, true},
		{"another network", 20, 0, 8, true},
		{"two of nobody's", 10, 0, nobodys, true},
		{"take all the rest", 25, 0, nobodys, true},
		{"and then there is none", 1, 0, 9, false},
	}
	for _, s := range steps {
		if got := b.take(s.n, s.own, s.by); got != s.want {
			t.Errorf("%s: %t, with %d of %d in use", s.name, got, b.used.Load(), limit)
		}
	}
	for ip, want := range map[string]bool{"127.0.0.1": true, "10.1.2.3": true, "fd00::1": true, "fe80::1": true, "203.0.113.1": false, "2001:db8::1": false} {
		if got := shareOf(netip.MustParseAddr(ip)) == nobodys; got != want {
			t.Errorf("%q is nobody's: %t", ip, got)
		}
	}
	if shareOf(netip.Addr{}) != nobodys {
		t.Error("an address that is not known is somebody's")
	}
	for one, other := range map[string]string{"203.0.113.1": "203.0.113.254", "2001:db8:7::1": "2001:db8:7:ffff::1"} {
		if shareOf(netip.MustParseAddr(one)) != shareOf(netip.MustParseAddr(other)) {
			t.Errorf("%s and %s, of one owner, have a share each", one, other)
		}
	}
}
