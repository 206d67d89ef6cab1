//go:build fleet

package captcha_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// The proof on a real fleet: three Caddy processes, one Redis, one load. With
// FLEET_SECONDS the faults last longer, and with FLEET_RELOADS there are more
// reloads, than a test run has time for:
//
//	FLEET_SECONDS=10 FLEET_RELOADS=60 go test -tags fleet -run TestFleetOfProcesses -v .
func TestFleetOfProcesses(t *testing.T) {
	t.Run("deny", func(t *testing.T) {
		f := startFleet(t, "deny")
		t.Run("one token, one node", f.testRace)
		t.Run("an outage is known by all", f.testOutage)
		for name, fault := range f.faults() {
			t.Run(name, func(t *testing.T) { f.under(t, true, fault) })
		}
		f.checkLogs(t)
	})
	t.Run("local", func(t *testing.T) {
		f := startFleet(t, "local")
		for name, fault := range f.faults() {
			t.Run(name, func(t *testing.T) { f.under(t, false, fault) })
		}
		f.checkLogs(t)
	})
}

// span is how long a fault lasts.
func span() time.Duration { return time.Duration(fromEnv("FLEET_SECONDS", 2)) * time.Second }

func fromEnv(name string, standard int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return standard
}

// faults are what happens under load.
func (f *fleetOf) faults() map[string]func(t *testing.T) {
	wait := func() { time.Sleep(span()) } // how long the load lasts
	return map[string]func(t *testing.T){
		"redis killed": func(*testing.T) {
			f.redis.Kill()
			wait()
			f.redis.Restart()
		},
		"redis paused": func(*testing.T) {
			f.redis.Pause()
			wait()
			f.redis.Continue()
		},
		"redis slow": func(*testing.T) {
			f.proxy.Slow(50 * time.Millisecond)
			wait()
			f.proxy.Slow(0)
		},
		"redis too slow": func(*testing.T) {
			f.proxy.Slow(400 * time.Millisecond)
			wait()
			f.proxy.Slow(0)
		},
		"redis flushed": func(*testing.T) {
			f.redis.Do("FLUSHALL")
			wait()
		},
		"an old snapshot": func(t *testing.T) {
			f.redis.Do("SAVE")
			kept := filepath.Join(f.redis.Dir, "dump.rdb")
			wait()
			f.redis.Kill()
			f.redis.Restart()
			if f.redis.Do("EXISTS", "captcha:{00}:epoch") != ":1" {
				t.Errorf("%s was not restored", kept)
			}
			_ = os.Remove(kept)
		},
		"a node killed": func(*testing.T) {
			f.nodes[2].Kill()
			wait()
			f.start(f.nodes[2])
		},
		"reloads": func(t *testing.T) {
			for i := range fromEnv("FLEET_RELOADS", 5) {
				for _, n := range f.nodes {
					if err := f.reload(n, i); err != nil {
						t.Errorf("reload %d: %v", i, err)
					}
				}
				time.Sleep(time.Second) // one a second
			}
		},
	}
}

// under lets a fault happen under load. Visitors race with themselves only where
// a token counts once whatever happens.
func (f *fleetOf) under(t *testing.T, race bool, happen func(*testing.T)) {
	f.untilShared()
	l := f.load(race)
	fleettest.Until(t, "the load to run", time.Minute, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.counts[entered] >= 20
	})
	begin, lone := time.Now(), f.timesAlone(t)
	happen(t)
	f.untilShared()
	l.mu.Lock()
	before := l.counts[entered]
	l.mu.Unlock()
	fleettest.Until(t, "the load to go on", time.Minute, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.counts[entered] >= before+20
	})
	if race || f.timesAlone(t) == lone { // no node has been alone
		begin = time.Time{}
	}
	l.end(t, begin)
}

// timesAlone counts how often a node has gone on alone, as the logs say.
func (f *fleetOf) timesAlone(t *testing.T) (n int) {
	for i := range f.nodes {
		n += strings.Count(readFile(t, f.log(i)), "this node goes on alone")
	}
	return n
}

func (f *fleetOf) log(i int) string { return filepath.Join(f.dir, fmt.Sprintf("log-%d", i+1)) }

// testRace sends each token to all nodes at once, several times.
func (f *fleetOf) testRace(t *testing.T) {
	f.untilShared()
	for i := range 100 {
		token, err := f.nodes[i%3].token()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("race %d", i)
		var wg sync.WaitGroup
		for j := range 9 {
			wg.Go(func() { f.nodes[j%3].enter(token, name, name) })
		}
		wg.Wait()
		f.app.mu.Lock()
		if n := len(f.app.token[name]); n > 1 || n == 0 && f.nodes[0].storeOK() && f.nodes[1].storeOK() && f.nodes[2].storeOK() && i > 0 {
			t.Errorf("%s got in %d times", name, n)
		}
		f.app.mu.Unlock()
	}
}

// testOutage lets the provider fail, and looks at who knows it when.
func (f *fleetOf) testOutage(t *testing.T) {
	fleettest.Until(t, "the provider to be up everywhere", time.Minute, func() bool { return f.all("up") })
	before := f.provider.calls.Load()
	time.Sleep(6 * time.Second) // polls of three intervals
	if n := f.provider.calls.Load() - before; n > 6 {
		t.Errorf("%d probes in three intervals: more than one node polls", n)
	}
	f.provider.down.Store(true)
	fleettest.Until(t, "one node to notice", 30*time.Second, func() bool {
		return f.nodes[0].state() == "down" || f.nodes[1].state() == "down" || f.nodes[2].state() == "down"
	})
	start := time.Now()
	fleettest.Until(t, "all to know", time.Second, func() bool { return f.all("down") })
	t.Logf("all nodes knew of the outage %s after the first", time.Since(start).Round(time.Millisecond))
	before = f.provider.calls.Load()
	for i := range 9 {
		if code, body, err := f.nodes[i%3].post("/provider", "cf-turnstile-response=0.AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"); code != 403 || !strings.Contains(body, "provider-unreachable") {
			t.Errorf("%d %s %v", code, body, err)
		}
	}
	if n := f.provider.calls.Load() - before; n > 2 { // a probe may be among them
		t.Errorf("a dead provider was asked %d times", n)
	}
	f.provider.down.Store(false)
	fleettest.Until(t, "all to see it up again", time.Minute, func() bool { return f.all("up") })
}

func (f *fleetOf) all(state string) bool {
	return f.nodes[0].state() == state && f.nodes[1].state() == state && f.nodes[2].state() == state
}

// checkLogs looks for what must not be in a log.
func (f *fleetOf) checkLogs(t *testing.T) {
	for i := range f.nodes {
		log := readFile(t, f.log(i))
		for _, bad := range []string{"panic", "DATA RACE"} {
			if strings.Contains(log, bad) {
				t.Errorf("the log of node %d has %q", i+1, bad)
			}
		}
	}
}
