package captcha

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
)

// Promise 3: tokens that keep a provider busy take the probe's way to it from
// nobody. Otherwise a crowd of them would make an outage of a provider that is up,
// and open what the directive opens in one.
func TestBusyProviderIsNoOutageD43D100(t *testing.T) {
	g := newGateway(t, "turnstile")
	busy, free := make(chan struct{}, 1000), make(chan struct{})
	g.set(func(_ providertest.Call, what int) (int, string) {
		if what == callVerify {
			busy <- struct{}{}
			<-free
		}
		return 0, ""
	})
	e := serve(t, "captcha {\n"+g.block(false)+"\nbypass_check passive {\ntimeout 1s\nfails 1\n}\nverify_timeout 1m\nfailover {\nunreachable allow\n}\n}\nreverse_proxy {app}")
	e.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 300
	var crowd sync.WaitGroup
	for range 300 {
		crowd.Go(func() {
			if r := e.post("/", formType, url.Values{"cf-turnstile-response": {"0." + randomHex(20)}}.Encode()); r.StatusCode != 403 {
				t.Errorf("%s %s", r.Status, r.body)
			}
		})
	}
	for range 256 { // all the connections that verifications may have
		<-busy
	}
	if n := len(busy); n > 0 {
		t.Errorf("%d calls at once", 256+n)
	}
	<-g.health().confirm()
	o := g.health().overview(time.Now())
	close(free)
	crowd.Wait()
	if o.state != up || len(o.outages) > 0 {
		t.Errorf("a crowd of tokens made an outage: %+v", o)
	}
	if s := e.app.take(); len(s) > 0 {
		t.Errorf("%d requests without a proof reached the app", len(s))
	}
}

// What a client can say without having solved anything is not remembered: whoever
// says it often enough would fill the memory of spent tokens, and nobody else's
// would be accepted any more.
func TestClientsWordFillsNoMemoryD97(t *testing.T) {
	for _, mode := range []string{"enforce", "signal"} {
		g := newGateway(t, "geetest")
		site := "captcha {\nmode " + mode + "\n" + g.block(false) + "\n}\nreverse_proxy {app}"
		e := serve(t, site)
		e.loadWithStore(site, "")
		for range 50 {
			e.post("/", formType, offlineAnswer(randomHex(16)).Encode())
			e.post("/", formType, offlineAnswer(randomHex(16)).Encode(), "Captcha-Redeem", "1", "Origin", e.url)
		}
		if n := claims(); n > 0 {
			t.Errorf("mode %s: %d claims of tokens that the client made", mode, n)
		}
		_ = caddy.Stop()
	}
}
