package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// node is a store with a connection of its own, as another process has it.
func node(t testing.TB, r Redis) *Redis {
	t.Helper()
	n := &r
	if err := n.resolve(); err != nil {
		t.Fatal(err)
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	options, err := n.final.client()
	if err != nil {
		t.Fatal(err)
	}
	n.server = newServer(options, n.final.Prefix)
	t.Cleanup(func() { _ = n.server.Destruct() })
	return n
}

func at(r *fleettest.Redis) Redis { return Redis{Address: []string{r.Addr}} }

func soon() time.Time { return time.Now().Add(time.Minute) }

// claim claims until the store answers: after trouble, it needs to connect again.
func claim(t testing.TB, n *Redis, key string) bool {
	t.Helper()
	var ok bool
	fleettest.Until(t, "an answer to a claim", 20*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var err error
		ok, err = n.Claim(ctx, key, soon())
		return err == nil
	})
	return ok
}

// kinds are the ways in which Redis runs.
func kinds(t *testing.T, try func(t *testing.T, r Redis)) {
	for name, start := range map[string]func(t *testing.T) Redis{
		"single":   func(t *testing.T) Redis { return at(fleettest.StartRedis(t)) },
		"sentinel": startSentinel,
		"cluster":  startCluster,
		"acl":      startWithACL,
		"tls":      startWithTLS,
	} {
		t.Run(name, func(t *testing.T) { try(t, start(t)) })
	}
}

func TestClaimOnceOverTheFleetD116(t *testing.T) { // promise 2
	kinds(t, func(t *testing.T, r Redis) {
		nodes := []*Redis{node(t, r), node(t, r), node(t, r)}
		for _, n := range nodes {
			claim(t, n, "connect")
		}
		for round := range 20 {
			key := fmt.Sprintf("token %d", round)
			var wg sync.WaitGroup
			var won, lost, failed atomic.Int32
			for i := range 90 {
				wg.Go(func() {
					switch ok, err := nodes[i%3].Claim(context.Background(), key, soon()); {
					case err != nil:
						failed.Add(1)
						t.Error(err)
					case ok:
						won.Add(1)
					default:
						lost.Add(1)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || lost.Load() != 89 {
				t.Fatalf("round %d: %d won, %d lost, %d failed", round, won.Load(), lost.Load(), failed.Load())
			}
		}
	})
}

func TestReleaseCountAndEnd(t *testing.T) {
	kinds(t, func(t *testing.T, r Redis) {
		a, b, ctx := node(t, r), node(t, r), context.Background()
		if !claim(t, a, "x") || claim(t, b, "x") {
			t.Fatal("a claim does not hold")
		}
		if err := b.Release(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if !claim(t, b, "x") {
			t.Error("what was let go of cannot be claimed")
		}
		for want := int64(1); want <= 6; want++ {
			n, err := []*Redis{a, b}[want%2].Count(ctx, "x", soon()) // the claim of this name is another thing
			if n != want || err != nil {
				t.Errorf("count %d, %v; want %d", n, err, want)
			}
		}
		if ok, err := a.Claim(ctx, "past", time.Now().Add(-time.Second)); ok || err != nil {
			t.Errorf("a claim until a moment ago: %t, %v", ok, err)
		}
		if ok, err := a.Claim(ctx, "short", time.Now().Add(50*time.Millisecond)); !ok || err != nil {
			t.Errorf("%t, %v", ok, err)
		}
		fleettest.Until(t, "a claim to end", 5*time.Second, func() bool { return claim(t, b, "short") })
	})
}

func TestPrefixesAndDatabasesAreApart(t *testing.T) {
	server := fleettest.StartRedis(t)
	for i, r := range []Redis{{}, {Prefix: "other"}, {DB: 3}} {
		r.Address = []string{server.Addr}
		if !claim(t, node(t, r), "x") {
			t.Errorf("%d: another fleet's claim counts", i)
		}
	}
}

// A round trip is all that a claim takes.
func TestClaimTakesOneCommand(t *testing.T) {
	server := fleettest.StartRedis(t)
	n := node(t, at(server))
	claim(t, n, "connect")
	claim(t, n, "compare")
	server.Do("CONFIG", "RESETSTAT")
	for i := range 10 {
		claim(t, n, fmt.Sprint(i))
	}
	if stat := server.Do("EVAL", `return string.match(redis.call('INFO','commandstats'), 'cmdstat_evalsha:calls=(%d+)')`, "0"); stat != "10" {
		t.Errorf("10 claims took %s scripts", stat)
	}
	if stat := server.Do("EVAL", `return string.match(redis.call('INFO','commandstats'), 'cmdstat_info:calls=(%d+)') or 'none'`, "0"); stat != "1" { // the question before this one
		t.Errorf("claims on a known connection asked the server who it is: %s", stat)
	}
}

func TestProvision(t *testing.T) {
	t.Setenv("REDIS_TEST_PASSWORD", "secret")
	t.Setenv("REDIS_TEST_EMPTY", "")
	for _, c := range []struct {
		name string
		r    Redis
		want string
	}{
		{"defaults", Redis{}, ""},
		{"placeholder", Redis{Password: "{env.REDIS_TEST_PASSWORD}"}, ""},
		{"empty placeholder", Redis{Password: "{env.REDIS_TEST_EMPTY}"}, "password: "},
		{"no port", Redis{Address: []string{"redis"}}, "must be host:port"},
		{"db", Redis{DB: -1}, "db must be from 0"},
		{"db of a cluster", Redis{DB: 1, Address: []string{"a:1", "b:1"}}, "a cluster has only db 0"},
		{"user", Redis{Username: "a"}, "username needs a password"},
		{"sentinel password", Redis{SentinelPassword: "a"}, "need sentinel_master"},
		{"sentinel user", Redis{SentinelMaster: "m", SentinelUsername: "a"}, "needs a sentinel_password"},
		{"prefix", Redis{Prefix: "a b"}, "prefix must be 1 to 64"},
		{"long prefix", Redis{Prefix: strings.Repeat("x", 65)}, "prefix must be 1 to 64"},
		{"authority", Redis{TLSTrustedCA: "/nonexistent"}, "tls_trusted_ca"},
		{"no certificate", Redis{TLSTrustedCA: "redis_test.go"}, "has no certificate in PEM format"},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		err := c.r.Provision(ctx)
		if err == nil {
			err = c.r.Validate()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err := errors.Join(c.r.Cleanup(), c.r.Cleanup()); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

func TestReloadKeepsTheConnection(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	old, fresh, other := new(Redis), &Redis{Prefix: defaultPrefix}, &Redis{Prefix: "other"}
	for _, r := range []*Redis{old, fresh, other} {
		if err := r.Provision(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if old.server != fresh.server || old.server == other.server {
		t.Error("configurations that say the same share one connection, and no others")
	}
	for _, r := range []*Redis{old, fresh, other} {
		if r.server.closed {
			t.Error("closed while it is in use")
		}
		if err := r.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if !old.server.closed || old.server.client != nil {
		t.Error("not closed, or connected without need")
	}
	if _, err := old.Claim(context.Background(), "x", soon()); !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for text, want := range map[string]string{
		"redis": "",
		"redis {\naddress a:1 b:2\n tls\n db 0\n}": "",
		"redis host":                      "takes a block",
		"redis {\naddress\n}":             "at least one host:port",
		"redis {\ntls on\n}":              "tls takes no value",
		"redis {\ndb one\n}":              "db must be a number",
		"redis {\ndb\n}":                  "db needs one value",
		"redis {\nprefix a b\n}":          "prefix needs one value, got 2",
		"redis {\nprefix a\n prefix b\n}": "already specified",
		"redis {\nadress a:1\n}":          "unrecognized subdirective 'adress'",
	} {
		err := new(Redis).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
