package captcha

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// withRedis runs the site of small with a Redis behind it.
func withRedis(t *testing.T, failure, site string) (*edge, *fleettest.Redis, string) {
	t.Helper()
	redis := fleettest.StartRedis(t)
	global := fmt.Sprintf("captcha {\n\tstore redis {\n\t\taddress %s\n\t}\n\tstore_failure %s\n}", redis.Addr, failure)
	e := serve(t, "respond later")
	e.load(global, site)
	untilStore(t, true)
	untilCounts(t, e)
	return e, redis, global
}

func untilStore(t *testing.T, ok bool) {
	t.Helper()
	fleettest.Until(t, fmt.Sprintf("the store to be there: %t", ok), 30*time.Second, func() bool {
		_, body := call(t, "GET", "/captcha/status", "")
		var doc statusDoc
		return json.Unmarshal(body, &doc) == nil && doc.Store.Kind == "redis" && doc.Store.OK == ok
	})
}

// untilCounts waits until the first second of a new memory is over.
func untilCounts(t *testing.T, e *edge) {
	t.Helper()
	fleettest.Until(t, "a token to count", 30*time.Second, func() bool { return e.form("/login", e.token("/login")).StatusCode == 200 })
	e.app.take()
}

func TestStoreFailureDeny(t *testing.T) {
	e, redis, _ := withRedis(t, failureDeny, small)
	token := e.token("/login")
	redis.Kill()
	untilStore(t, false)
	r := e.form("/login", token)
	e.wantProblem(r, 503, "try-again")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing") // needs no claim
	redis.Restart()
	untilStore(t, true)
	e.wantProblem(e.form("/login", token), 403, "token-expired") // from before the memory
	untilCounts(t, e)
	wantTold(t, e)
}

// wantTold checks that the log says that the store went away, once for each time, and
// that it came back. A machine that stands still for a moment is a store that does not
// answer, too: it may have gone away more than once.
func wantTold(t *testing.T, e *edge) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`the store (does not answer|is back)`).FindAllString(string(log), -1)
	for i, line := range told {
		if gone := strings.HasSuffix(line, "answer"); gone != (i%2 == 0) {
			t.Fatalf("logged: %q", told)
		}
	}
	if len(told) == 0 || len(told)%2 != 0 {
		t.Errorf("logged: %q", told)
	}
}

func TestStoreFailureLocal(t *testing.T) {
	e, redis, global := withRedis(t, failureLocal, small)
	before, spent := e.token("/login"), e.token("/login")
	e.wantForwarded(e.form("/login", spent))
	redis.Kill()
	untilStore(t, false)
	e.wantProblem(e.form("/login", before), 403, "token-expired") // another node may have claimed it
	e.wantProblem(e.form("/login", spent), 403, "token-expired")
	alone := e.token("/login")
	e.wantForwarded(e.form("/login", alone))
	e.load(global, small+"\n\theader X-Reload 1")
	e.wantProblem(e.form("/login", alone), 403, "token-duplicate")
	redis.Restart()
	untilStore(t, true)
	if n := redis.Do("EVAL", `return #redis.call('KEYS', 'captcha:*:claim:*')`, "0"); n == ":0" {
		t.Error("nothing was handed over")
	}
	untilCounts(t, e)
}

// A flush between the look at the token and its claim is noticed by the claim.
func TestFlushLetsNothingInTwice(t *testing.T) {
	e, redis, _ := withRedis(t, failureLocal, small)
	for range 10 {
		token := e.token("/login")
		e.wantForwarded(e.form("/login", token))
		redis.Do("FLUSHALL")
		// as if another node sent it: this one would know it
		runningStore.Load().local = ownMemory{newSharedStore()}
		e.wantProblem(e.form("/login", token), 403, "token-expired")
		untilCounts(t, e)
	}
}

func TestUsesAreCountedOverTheFleet(t *testing.T) {
	e, redis, _ := withRedis(t, failureLocal, "captcha /login* {\n\tprovider pow {\n\t\tdifficulty 1000\n\t}\n\tclearance 1h {\n\t\tuses 3\n\t}\n}\nreverse_proxy {app}")
	r := e.form("/login", e.token("/login"))
	e.wantForwarded(r)
	cookie, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
	for i := range 5 {
		if r := e.post("/login", formType, "a=1", "Cookie", cookie); (r.StatusCode == 200) != (i < 3) {
			t.Errorf("use %d: %s", i+1, r.Status)
		}
	}
	if n := redis.Do("EVAL", `local k = redis.call('KEYS', 'captcha:*:count:*'); return redis.call('GET', k[1])`, "0"); n != "5" {
		t.Errorf("Redis counted %s", n)
	}
}

func TestReloadsWithRedisLeakNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/DeRuina/timberjack.(*Logger).millRun"),    // Caddy's log file
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"), // ends with its next tick
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).watchCtx"))
	t.Run("", func(t *testing.T) {
		e, _, global := withRedis(t, failureLocal, small)
		token := e.token("/login")
		e.wantForwarded(e.form("/login", token))
		for i := range 10 {
			e.load(strings.Replace(global, "local", []string{"local", "deny"}[i%2], 1), small+fmt.Sprintf("\n\theader X-Reload %d", i))
			e.wantProblem(e.form("/login", token), 403, "token-duplicate")
			e.wantForwarded(e.form("/login", e.token("/login")))
		}
		e.load("", "respond gone")
		e.http.CloseIdleConnections()
	})
}
