package captcha

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// A key that the provider accepts again, or a certificate that verifies again, is
// noticed, also where nobody polls: while it is wrong, nobody's token is asked
// about, so no failed verification ever starts a confirmation.
func TestMisconfigurationEndsInPassiveMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := startHealth(t, nil)
		a.fail(&provider.Fault{Class: provider.Misconfigured, Err: errors.New("403")})
		<-h.doubt()
		a.mend()
		time.Sleep(time.Hour)
		if s := h.standing(time.Now()).situation(); s != "" {
			t.Errorf("an hour after the provider accepts us again: %q, %d probes", s, a.calls.Load())
		}
	})
}

// A confirmation is up to `fails` probes, whatever they say: one that began with a
// failed probe does not go on for ever where the next says that the quota is spent
// or that the key is wrong.
func TestConfirmationEnds(t *testing.T) {
	for _, class := range []provider.Class{provider.Throttled, provider.Misconfigured} {
		synctest.Test(t, func(t *testing.T) {
			h, a := startHealth(t, nil)
			a.fail(errDown)
			done := h.doubt()
			time.Sleep(100 * time.Millisecond) // the first probe has failed
			a.fail(&provider.Fault{Class: class, Err: errors.New("not now"), RetryAfter: time.Minute})
			time.Sleep(50 * time.Second)
			select {
			case <-done:
			default:
				t.Errorf("%s: a confirmation still goes on after %d probes in 50 s", class, a.calls.Load())
			}
			if n := a.calls.Load(); n > 10 {
				t.Errorf("%s: %d probes in 50 s", class, n)
			}
		})
	}
}

// mute is a provider whose status API never answers.
type mute struct{ testAsker }

func (*mute) Status(context.Context) (bool, error) { return false, errors.New("no answer") }

// A reload hands a running poller another logger.
func TestReloadWhileTheStatusAPIIsMute(t *testing.T) {
	h := newHealth("id", "fake")
	defer h.Destruct()
	a := new(mute)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 200 {
				h.start(a, (*BypassCheck)(nil).resolve(true), quiet(), nil)
				<-h.confirm()
			}
		})
	}
	wg.Wait()
}

// Nobody waits longer than verify_timeout for a provider that does not answer,
// nor does who only asks for a challenge: GeeTest's register hangs here, and
// nothing is known of an outage yet.
func TestChallengeOfAHangingProviderIsBoundedD50(t *testing.T) {
	g := newGateway(t, "geetest")
	e := serve(t, "captcha /login* {\n"+g.block(false)+"\nverify_timeout 500ms\nbypass_check passive {\n\ttimeout 200ms\n}\n}\ncaptcha_challenge /register\nreverse_proxy {app}")
	g.Inject(providertest.Hang)
	start := time.Now()
	r := e.post("/login", formType, "a=1")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a visitor waited %s for a challenge", took)
	}
	e.wantProblem(r, 403, "token-missing")
	if !strings.Contains(string(r.body), `"provider":"pow"`) {
		t.Errorf("%s", r.body)
	}
}

// A script that asks for a puzzle meets the outage first: it gets the fallback's, as
// the answer that it asked for, in every mode.
func TestPuzzleAtTheBeginningOfAnOutage(t *testing.T) {
	for _, mode := range []string{"enforce", "signal"} {
		g := newGateway(t, "geetest")
		e := serve(t, "captcha /login* {\nmode "+mode+"\n"+g.block(false)+"\nbypass_check passive {\n\ttimeout 200ms\n}\n}\nreverse_proxy {app}")
		g.Inject(providertest.Hang)
		r := e.post("/login", "", "", "Captcha-Request", "challenge")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(r.body), `"provider":"pow"`) {
			t.Errorf("%s: %s %s", mode, r.Status, r.body)
		}
		_ = caddy.Stop()
	}
}

// Who has judged tokens was reached: an outage after that is no matter of an
// egress firewall.
func TestVerdictsAreReach(t *testing.T) {
	g := newGateway(t, "trustcaptcha")
	p := page{guard(t, g, "", ""), g, t}
	p.want(p.send(p.regular()), 200, "", "passed")
	p.total()
	if s, _ := statusOf(t, "trustcaptcha"); !s.Reached {
		t.Errorf("a provider that has passed a token was never reached: %+v", s)
	}
	p.logged(t, "the provider is down", "trustcaptcha", "evidence")
}
