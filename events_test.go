package captcha

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// heard is a subscriber of Caddy's events: it remembers their names.
type heard struct{}

var events = struct {
	sync.Mutex
	names []string
}{}

func init() { caddy.RegisterModule(heard{}) }

func (heard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.captcha_test", New: func() caddy.Module { return new(heard) }}
}

func (heard) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (heard) Handle(_ context.Context, e caddy.Event) error {
	events.Lock()
	defer events.Unlock()
	events.names = append(events.names, e.Name())
	return nil
}

const listening = `events {
		on captcha.outage_started captcha_test
		on captcha.outage_ended captcha_test
		on captcha.never_reached captcha_test
		on captcha.misconfigured captcha_test
		on captcha.throttled captcha_test
	}`

// hear waits for an event, which is told in the background.
func hear(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(chaosBound); time.Now().Before(end); time.Sleep(time.Millisecond) {
		events.Lock()
		i := slices.Index(events.names, name)
		if i >= 0 {
			events.names = slices.Delete(events.names, i, i+1)
		}
		events.Unlock()
		if i >= 0 {
			return
		}
	}
	t.Errorf("no event %s", name)
}

// logged waits for a line of the log that has all the words.
func (e *edge) logged(t *testing.T, words ...string) {
	t.Helper()
	var text []byte
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, _ = os.ReadFile(filepath.Join(e.dir, "log"))
		for l := range strings.SplitSeq(string(text), "\n") {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l, w) }) {
				return
			}
		}
	}
	t.Errorf("no line with %q in the log", words)
}
