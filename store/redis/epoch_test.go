package redis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// A lost memory is noticed by every node, in the claim that would spend a token a
// second time, and for no other reason.
func TestLostMemoryIsNoticedD117(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, r *fleettest.Redis){
		"flush": func(_ *testing.T, r *fleettest.Redis) { r.Do("FLUSHALL") },
		"restart": func(_ *testing.T, r *fleettest.Redis) {
			r.Kill()
			r.Restart()
		},
		"old snapshot": func(t *testing.T, r *fleettest.Redis) {
			// what it saved has the epoch, and not the token
			r.Kill()
			if err := os.Rename(filepath.Join(r.Dir, "kept.rdb"), filepath.Join(r.Dir, "dump.rdb")); err != nil {
				t.Fatal(err)
			}
			r.Restart()
			if r.Do("EXISTS", "captcha:{00}:epoch") != ":1" {
				t.Fatal("the snapshot was not restored")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := fleettest.StartRedis(t)
			a, b := node(t, at(server)), node(t, at(server))
			claim(t, a, "connect")
			claim(t, b, "connect")
			since := a.Since()
			if since.IsZero() || !since.Equal(b.Since()) {
				t.Fatalf("the memory begins at %s for one node and at %s for the other", since, b.Since())
			}
			server.Do("SAVE")
			if err := os.Rename(filepath.Join(server.Dir, "dump.rdb"), filepath.Join(server.Dir, "kept.rdb")); err != nil {
				t.Fatal(err)
			}
			issued := since.Add(time.Millisecond)
			fleettest.Until(t, "the first second to pass", 5*time.Second, func() bool { return time.Now().After(issued) })
			if !claim(t, a, "token") || claim(t, b, "token") {
				t.Fatal("a claim does not hold")
			}
			if !a.Since().Equal(since) || !b.Since().Equal(since) {
				t.Fatal("the memory began anew without a loss")
			}
			lose(t, server)
			for i, n := range []*Redis{b, a} {
				if first := claim(t, n, "token"); first && !n.Since().After(issued) {
					t.Errorf("node %d claimed the token a second time, and believes that its memory begins at %s", i, n.Since())
				}
				if !n.Since().After(issued) {
					t.Errorf("node %d has not noticed", i)
				}
			}
			later := a.Since()
			claim(t, a, "more")
			claim(t, b, "more")
			if !a.Since().Equal(later) {
				t.Error("noticed twice")
			}
		})
	}
}

// A node that only comes after the loss believes the others.
func TestNewNodeKnowsWhenTheMemoryBegan(t *testing.T) {
	server := fleettest.StartRedis(t)
	a := node(t, at(server))
	claim(t, a, "x")
	server.Do("FLUSHALL")
	claim(t, a, "x")
	b := node(t, at(server))
	claim(t, b, "x")
	if !b.Since().Equal(a.Since()) || a.Since().Before(time.Now().Add(-time.Minute)) {
		t.Errorf("%s and %s", a.Since(), b.Since())
	}
}

// The replica that takes over may not know what was spent last.
func TestFailoverIsNoticed(t *testing.T) {
	r, master, replica := startReplicas(t)
	a, b := node(t, r), node(t, r)
	claim(t, a, "connect")
	claim(t, b, "connect")
	since := a.Since()
	master.Kill()
	fleettest.Until(t, "the failover", 60*time.Second, func() bool {
		return strings.HasPrefix(replica.Ask("ROLE"), "*3") && replica.Ask("EVAL", `return redis.call('INFO','replication'):match('role:(%a+)')`, "0") == "master"
	})
	claim(t, a, "token")
	claim(t, b, "token")
	if !a.Since().After(since) || !b.Since().After(since) {
		t.Errorf("not noticed: %s, %s, was %s", a.Since(), b.Since(), since)
	}
}

// In a cluster the connection to the replica that takes over is already there.
func TestFailoverInAClusterIsNoticed(t *testing.T) {
	r, nodes := startNodes(t, 4)
	master, replica := nodes[0], nodes[3]
	role := func(n *fleettest.Redis, of string) bool {
		return n.Ask("EVAL", `return redis.call('INFO','replication'):match('role:(%a+)')`, "0") == of
	}
	replica.Do("CLUSTER", "REPLICATE", master.Do("CLUSTER", "MYID"))
	fleettest.Until(t, "the replica to follow its master", 60*time.Second, func() bool {
		return replica.Do("EVAL", `return string.match(redis.call('INFO','replication'), 'master_link_status:(%a+)') or ''`, "0") == "up"
	})
	n := node(t, r)
	everywhere := func(round string) {
		for i := range 5 * clusterBuckets {
			claim(t, n, fmt.Sprint(round, i))
		}
	}
	everywhere("before")
	fleettest.Until(t, "all epochs to be known", 30*time.Second, func() bool {
		n.server.memory.mu.Lock()
		defer n.server.memory.mu.Unlock()
		return !slices.Contains(n.server.memory.epochs[:], "")
	})
	everywhere("again")
	since, dials := n.Since(), n.server.dials.Load()
	replica.Do("CLUSTER", "FAILOVER", "TAKEOVER")
	fleettest.Until(t, "the failover", 60*time.Second, func() bool { return role(replica, "master") && role(master, "slave") })
	everywhere("after")
	if !n.Since().After(since) {
		t.Errorf("not noticed: %s, was %s; %d connections were begun, %d before", n.Since(), since, n.server.dials.Load(), dials)
	}
}

// The first claim in a cluster learns all epochs, so that Since does not move
// with each of the next ones.
func TestEpochsOfAClusterAreLearnedAtOnce(t *testing.T) {
	n := node(t, startCluster(t))
	claim(t, n, "first")
	fleettest.Until(t, "all epochs to be known", 30*time.Second, func() bool {
		n.server.memory.mu.Lock()
		defer n.server.memory.mu.Unlock()
		return !slices.Contains(n.server.memory.epochs[:], "")
	})
}

// Words that cannot be right.
func TestOddEpochs(t *testing.T) {
	now := time.Now()
	for _, epoch := range []string{"", "x", "x y", "-5 a", fmt.Sprint(now.Add(time.Hour).UnixMilli()) + " a", "99999999999999999999 a"} {
		var m memory
		m.learn(0, epoch+" first", now)
		m.learn(0, epoch+" second", now)
		if m.begin().Before(now) || m.begin().After(now.Add(margin)) {
			t.Errorf("%q: the memory begins at %s", epoch, m.begin())
		}
	}
	var m memory
	m.learn(0, "1000 old", now)
	if m.begin().UnixMilli() != 1000 {
		t.Errorf("an old memory begins at %s", m.begin())
	}
	m.learn(0, "2000 another one that claims to be old", now)
	if m.begin().Before(now) {
		t.Errorf("a memory that is new to us begins at %s", m.begin())
	}
}

// FuzzEpoch learns whatever a script may return: the memory never begins later
// than now, a margin included, and never earlier than it was known to.
func FuzzEpoch(f *testing.F) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, seed := range [][2]string{
		{"1799999999000 A 0011/2233", "1800000000000 B 0011/2233"}, {"1000 a", "2000 b"}, {"", "x"}, {"-5 a", "1800000099999 a"},
		{"99999999999999999999 a", "9223372036854775807 a"}, {"-9223372036854775808", "+1 "}, {"1e3 a", " 1800000000000"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		var m memory
		latest := now.Add(margin)
		for _, epoch := range []string{first, second, first} {
			before, known := m.begin(), m.epochs[1]
			isNew := m.learn(1, epoch, now)
			switch since := m.begin(); {
			case isNew == (epoch == known):
				t.Fatalf("%q behind %q: new is %v", epoch, known, isNew)
			case since.Before(before) || since.After(latest):
				t.Fatalf("%q behind %q: the memory begins at %s, was %s", epoch, known, since, before)
			case isNew && known != "" && since.Before(now.Add(-time.Minute)):
				t.Fatalf("%q behind %q: a memory that is new to us begins at %s", epoch, known, since)
			}
		}
		if value := field("\r\n"+first+":"+second, first+":"); first != "" && !strings.HasPrefix(second, value) {
			t.Fatalf("the field %q is %q in %q", first, value, second)
		}
	})
}

func TestErrorsAreErrors(t *testing.T) {
	server := fleettest.StartRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
	n := node(t, at(server))
	claim(t, n, "connect")
	server.Do("CONFIG", "SET", "maxmemory", "1")
	if ok, err := n.Claim(t.Context(), "full", soon()); ok || err == nil {
		t.Errorf("a full server: %t, %v", ok, err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	server.Pause()
	defer server.Continue()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if ok, err := n.Claim(ctx, "paused", soon()); ok || err == nil {
		t.Errorf("a paused server: %t, %v", ok, err)
	}
}
