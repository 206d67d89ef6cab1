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

// Promise 3: tokens that look like tokens, more at once than there is room for,
// while the provider takes its time with them. The probe still gets through, those
// without room are asked to try again, and nobody is let in.
func TestAFloodOfTokensDoesNotKeepTheProbeOutD43D100(t *testing.T) {
	g := newGateway(t, "turnstile")
	answer := make(chan struct{})
	var mu sync.Mutex
	var now, most int
	g.set(func(_ providertest.Call, what int) (int, string) {
		if what != callVerify {
			return 0, ""
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-answer
		mu.Lock()
		now--
		mu.Unlock()
		return 0, ""
	})
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
		mu.Lock()
		defer mu.Unlock()
		full = time.Now()
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
	close(answer)
	for range posts {
		if r := <-replies; r.StatusCode != 403 {
			t.Fatalf("a token that nobody was given: %s %s", r.Status, r.body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most != maxCalls {
		t.Errorf("%d calls at once, want %d", most, maxCalls)
	}
	if r := e.app.take(); len(r) > 0 {
		t.Errorf("%d requests reached the app", len(r))
	}
}
