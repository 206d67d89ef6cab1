package redis

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
	"github.com/caddy-captcha/caddy-captcha/store"
)

// listener writes down what it hears.
type listener struct {
	mu     sync.Mutex
	joined int
	texts  []string
}

func follow(t *testing.T, n *Redis) *listener {
	t.Helper()
	l := new(listener)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Follow(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.joined++
		}, func(name string, text []byte) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.texts = append(l.texts, name+"="+string(text))
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

func (l *listener) heard(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.texts, text)
}

func (l *listener) joins() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined
}

func TestBoard(t *testing.T) {
	kinds(t, func(t *testing.T, r Redis) {
		a, b, ctx := node(t, r), node(t, r), context.Background()
		claim(t, a, "connect")
		claim(t, b, "connect")
		l := follow(t, b)
		fleettest.Until(t, "joining", 20*time.Second, func() bool { return l.joins() == 1 })
		if text, err := b.Read(ctx, "health/1"); text != nil || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		if err := a.Post(ctx, "health/1", []byte("down\nand more"), time.Minute); err != nil {
			t.Fatal(err)
		}
		fleettest.Until(t, "the news", 5*time.Second, func() bool { return l.heard("health/1=down\nand more") })
		if text, err := b.Read(ctx, "health/1"); string(text) != "down\nand more" || err != nil {
			t.Errorf("%q, %v", text, err)
		}

		lease := func(n *Redis, who string, ttl time.Duration) bool {
			got, err := n.Lease(ctx, "lead/1", who, ttl)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		if !lease(a, "a", time.Minute) || lease(b, "b", time.Minute) || !lease(a, "a", time.Minute) {
			t.Error("a lease does not hold")
		}
		lease(b, "b", 0) // of another
		if lease(b, "b", time.Minute) {
			t.Error("a lease was given up by another node")
		}
		lease(a, "a", 0)
		if !lease(b, "b", 50*time.Millisecond) {
			t.Error("a lease that was given up cannot be taken")
		}
		fleettest.Until(t, "the lease to end", 5*time.Second, func() bool { return lease(a, "a", time.Minute) })

		one, err := a.Secret(ctx, []byte("one\x00\xff"))
		two, err2 := b.Secret(ctx, []byte("two"))
		if string(one) != "one\x00\xff" || string(two) != string(one) || err != nil || err2 != nil {
			t.Errorf("%q %v, %q %v", one, err, two, err2)
		}
	})
}

// A follower joins again after a restart, and no odd message harms it.
func TestBoardComesBack(t *testing.T) {
	server := fleettest.StartRedis(t)
	n := node(t, at(server))
	l := follow(t, n)
	fleettest.Until(t, "joining", 20*time.Second, func() bool { return l.joins() == 1 })
	server.Kill()
	server.Restart()
	fleettest.Until(t, "joining again", 20*time.Second, func() bool { return l.joins() >= 2 })
	channel := n.server.channel()
	for _, odd := range []string{"", "\n", "no newline", strings.Repeat("x", maxName+1) + "\ntoo long a name", "big\n" + strings.Repeat("x", store.MaxText+maxName)} {
		server.Do("PUBLISH", channel, odd)
	}
	server.Do("PUBLISH", channel, "a\nb")
	fleettest.Until(t, "the news", 10*time.Second, func() bool { return l.heard("a=b") })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.texts) != 2 || l.texts[0] != "=" { // an empty name is for the host to ignore
		t.Errorf("heard %.200q", l.texts)
	}
}
