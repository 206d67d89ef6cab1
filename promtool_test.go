//go:build promtool

// What needs promtool is a step of its own: ./test.sh rules

package captcha

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPromtool checks the rules of examples/observability, runs their tests, and
// parses the dashboard's queries, which stand in a rule file for it.
func TestPromtool(t *testing.T) {
	d, _ := readDashboard(t)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range_s", "86400", "$__range", "1d", "$provider", ".*", "$job", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	n := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			n++
			expr := variables.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable is left in %s", p.Title, expr)
			}
			fmt.Fprintf(&rules, "      - record: query:%d\n        expr: '%s'\n", n, strings.ReplaceAll(expr, "'", "''"))
		}
	}
	if n < 10 {
		t.Errorf("the dashboard has %d queries", n)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", file},
		{"check", "rules", observability + "alerts.yml"},
		{"check", "config", observability + "prometheus.yml"},
		{"test", "rules", observability + "alerts_test.yml", observability + "alerts_day_test.yml"},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
