package captcha

import (
	"fmt"
	"net"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Promise 12: a config that cannot be started whole takes nothing from the one
// that runs, although its captcha app may have been started already.
func TestFailedReloadChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const global = "captcha {\n\t\tstore redis {\n\t\t\taddress 127.0.0.1:1\n\t\t}\n\t\t%s\n\t}"
	e := serve(t, "captcha /login\nreverse_proxy {app}")
	e.load(fmt.Sprintf(global, ""), "captcha /login\nreverse_proxy {app}")
	app := running.Load()
	remote, limit := *app.store.remote.Load(), app.shared.disk.limit.Load()
	for range 8 { // apps are started in random order
		site := fmt.Sprintf("captcha /login\nreverse_proxy {app}\n}\nhttp://127.0.0.1:%d {\n\trespond ok", taken.Addr().(*net.TCPAddr).Port)
		if caddy.Load(e.adapt(fmt.Sprintf(global, "store_failure deny\n\t\tmax_spill 1MiB"), site), true) == nil {
			t.Fatal("a listener on a port that is taken")
		}
		if running.Load() != app || runningStore.Load() != app.store {
			t.Fatal("status tells of another config")
		}
		if *app.store.remote.Load() != remote || app.store.deny.Load() || app.shared.disk.limit.Load() != limit {
			t.Fatal("the settings of the config that failed are used")
		}
	}
}
