package captcha

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// logLines are the lines of the log that have a word.
func (e *edge) logLines(t *testing.T, word string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return found
}

// A flood of requests that meet a fault, or that policy decides, writes so many
// lines a second at most.
func TestFloodsDoNotFillTheLog(t *testing.T) {
	const posts, perSecond = 300, 10
	for message, c := range map[string]struct {
		answer hook
		status int
	}{
		"a verification gave no verdict": {func(_ providertest.Call, what int) (int, string) {
			if what == callVerify {
				return 500, "{}"
			}
			return 0, ""
		}, 403},
		`"failover","provider"`: {func(providertest.Call, int) (int, string) { return 500, "{}" }, 200},
	} {
		t.Run(message, func(t *testing.T) {
			g := newGateway(t, "turnstile")
			g.set(c.answer)
			e := guard(t, g, "", failover("unreachable allow"))
			start := time.Now()
			for i := range posts {
				r := e.post("/login", formType, fmt.Sprintf("cf-turnstile-response=0.flood%020d", i))
				if r.StatusCode != c.status {
					t.Fatalf("%s: %s, want %d", r.Status, r.body, c.status)
				}
			}
			spans := int(time.Since(start)/time.Second) + 2 // which begin with a line
			n := len(e.logLines(t, message))
			if n < perSecond || n > spans*perSecond+posts/100 {
				t.Errorf("%d requests wrote %d lines in %d spans of a second", posts, n, spans)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}
