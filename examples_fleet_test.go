package captcha_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// startExampleRedis is the Redis of examples/fleet.
func startExampleRedis(t *testing.T) {
	redis := fleettest.StartRedis(t)
	setEnv(t, "{env.REDIS_PASSWORD}")
	rule := aclRule(t)
	redis.Do(append([]string{"ACL", "SETUSER"}, rule...)...)
	t.Setenv("REDIS", redis.Addr)
	t.Setenv("SHARED", t.TempDir())
}

// aclRule is the user that docs/fleet.md recommends, with the example's password.
func aclRule(t *testing.T) []string {
	t.Helper()
	_, rest, _ := strings.Cut(readFile(t, "docs/fleet.md"), "\nuser ")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(strings.ReplaceAll(line, "<password>", "redis_password-0123456789abcdef0123456789abcdef"))
}

func tryFleet(t *testing.T, site string) {
	// a store whose memory is new asks for everything anew for a second
	fleettest.Until(t, "a token to count", 30*time.Second, func() bool {
		r := post(t, site+"/login", formType, "a=1", "Captcha-Token", challenged(t, post(t, site+"/login", formType, "a=1")))
		return r.StatusCode == http.StatusOK
	})
	checkProtected(t, site, "/login")
	checkClearance(t, site+"/login", site+"/login")
}
