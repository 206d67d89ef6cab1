package captcha

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// waitUntil waits for something that is sure to come.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// heldCalls are verifications that get no answer until answer is closed.
type heldCalls struct {
	answer    chan struct{}
	mu        sync.Mutex
	now, most int
}

func (h *heldCalls) hold(_ providertest.Call, what int) (int, string) {
	if what != callVerify {
		return 0, ""
	}
	h.add(1)
	defer h.add(-1)
	<-h.answer
	return 0, ""
}

func (h *heldCalls) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += n
	h.most = max(h.most, h.now)
}

// count returns how many are held, and how many were at once.
func (h *heldCalls) count() (now, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now, h.most
}

// Promise 3: tokens that look like tokens, more at once than there is room for,
// while the provider takes its time with them. The probe still gets through, those
// without room are asked to try again, and nobody is let in.
func TestAFloodOfTokensDoesNotKeepTheProbeOutD43D100(t *testing.T) {
	g := newGateway(t, "turnstile")
	held := &heldCalls{answer: make(chan struct{})}
	g.set(held.hold)
	e := serve(t, "captcha /login* {\n"+g.block(false)+`
		fallback off
		verify_timeout 1m
		bypass_check poll 1s {
			timeout 5s
			fails 1
		}
		failover {
			unreachable allow
		}
	}
	reverse_proxy {app}`)
	const posts = maxCalls + 100
	replies := make(chan reply, posts)
	for i := range posts {
		req := e.request("POST", "/login", formType, fmt.Sprintf("cf-turnstile-response=0.flood%020d", i))
		go func() { replies <- e.do(req) }()
	}
	full := time.Now()
	waitUntil(t, "the provider has as many calls as it gets", func() bool {
		full = time.Now()
		now, _ := held.count()
		return now >= maxCalls
	})
	h := g.health()
	var o overview
	waitUntil(t, "three probes since", func() bool {
		o = h.overview(time.Now())
		return o.last.At.After(full.Add(3 * time.Second))
	})
	if o.state != up || o.last.Err != "" || len(o.outages) > 0 {
		t.Errorf("the provider counts as %s after a probe with %q, %d outages", o.state, o.last.Err, len(o.outages))
	}
	close(held.answer)
	for range posts {
		if r := <-replies; r.StatusCode != 403 {
			t.Fatalf("a token that nobody was given: %s %s", r.Status, r.body)
		}
	}
	if _, most := held.count(); most != maxCalls {
		t.Errorf("%d calls at once, want %d", most, maxCalls)
	}
	if r := e.app.take(); len(r) > 0 {
		t.Errorf("%d requests reached the app", len(r))
	}
}
