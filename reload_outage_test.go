package captcha

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Promise 12: a thousand reloads with pollers leave one poller for each identity
// that is used, and none in the end.
func TestAThousandReloadsLeakNoPoller(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	a := new(mute)
	var before *App
	for i := range 1000 {
		app := &App{store: newKeeper(defaultStoreName, nil)}
		for j := range 3 {
			l := &link{provider: idle{a}, name: "idle", identity: fmt.Sprintf("idle\x00%d", j)}
			if i%10 == 9 && j == 2 {
				l.identity += "another" // one comes and goes
			}
			l.check = &BypassCheck{Mode: checkPoll, Interval: caddy.Duration(time.Hour)}
			if err := app.watch(l); err != nil {
				t.Fatal(err)
			}
		}
		app.reporter = quiet()
		app.startChecks()
		if before != nil { // Caddy cleans the old config up once the new one runs
			for _, l := range before.links {
				before.unwatch(l)
			}
		}
		before = app
	}
	if n, _ := healths.References("idle\x000"); n != 1 {
		t.Errorf("%d references are left", n)
	}
	for _, l := range before.links {
		before.unwatch(l)
	}
}

// idle is a provider that only knows its health.
type idle struct{ *mute }

func (idle) Fields() []string { return []string{"idle"} }

func (idle) Parse(context.Context, provider.Request, map[string]string) (t provider.Token, err error) {
	return
}

func (idle) Verify(context.Context, provider.Request, provider.Token) (v provider.Verdict, err error) {
	return
}

// Real reloads while a provider is down, hangs and is being probed: the outage is
// one, its record stays, and nothing is left in the end.
func TestReloadsInAnOutageLeakNothingD114(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/DeRuina/timberjack.(*Logger).millRun"),    // Caddy's log file
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")) // ends with its next tick
	t.Run("", func(t *testing.T) {
		g := newGateway(t, "geetest")
		site := guardSite(g, "", "bypass_check poll 1s {\n\ttimeout 200ms\n\tfails 1\n}")
		e := serve(t, site)
		<-g.health().confirm()
		g.Inject(providertest.Hang)
		h := g.health()
		for !h.standing(time.Now()).down {
			<-h.confirm()
		}
		since := h.standing(time.Now()).start
		for i := range 12 {
			mode := []string{"poll 1s", "request 1s", "passive"}[i%3]
			h.confirm() // under way while the config changes
			e.load("", strings.Replace(site, "poll 1s", mode, 1)+fmt.Sprintf("\n\theader X-Reload %d", i))
			e.wantProblem(e.post("/login", formType, "a=1"), 403, "token-missing")
			if s := g.health().standing(time.Now()); g.health() != h || !s.down || !s.start.Equal(since) {
				t.Fatalf("after reload %d: %+v", i, s)
			}
		}
		g.Inject(providertest.None)
		for h.standing(time.Now()).down {
			<-h.confirm()
		}
		if o := h.overview(time.Now()); len(o.outages) != 1 || o.outages[0].FailedOver < 12 {
			t.Errorf("%+v", o.outages)
		}
		e.load("", "respond gone") // nobody uses it any more
		if g.health() != nil {
			t.Error("the health outlives its last config")
		}
		e.http.CloseIdleConnections()
	})
}
