package captcha

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Whoever prints the request's variables sees the status, and neither the token nor
// addresses in memory.
func TestOutcomePrintsItsStatus(t *testing.T) {
	o := &outcome{
		judged: &judged{found: found{fields: map[string]string{"altcha": "secret"}}},
		story:  story{status: statusPassed, provider: "pow"},
	}
	if got := caddy.ToString(o); got != "passed" {
		t.Errorf("%q", got)
	}
}
