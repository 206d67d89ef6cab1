package captcha

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// poisoned is a provider whose answers a client can choose by its token, every
// kind of complaint there is, and whose probe is good.
type poisoned struct{}

var poison struct{ verified, probed atomic.Int64 }

func init() { caddy.RegisterModule(poisoned{}) }

func (poisoned) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.providers.poisoned", New: func() caddy.Module { return new(poisoned) }}
}

func (*poisoned) Fields() []string { return []string{"poisoned"} }

func (*poisoned) Parse(_ context.Context, _ provider.Request, fields map[string]string) (provider.Token, error) {
	return provider.Token{Key: "poisoned:" + fields["poisoned"], Expires: time.Now().Add(time.Minute), Fields: fields}, nil
}

func (*poisoned) Verify(_ context.Context, _ provider.Request, token provider.Token) (provider.Verdict, error) {
	poison.verified.Add(1)
	h := fnv.New32()
	h.Write([]byte(token.Fields["poisoned"]))
	fault := func(c provider.Class, again bool) (provider.Verdict, error) {
		return provider.Verdict{}, &provider.Fault{Class: c, Err: errors.New("as the token wants"), Again: again, RetryAfter: time.Hour}
	}
	switch h.Sum32() % 8 {
	case 0:
		return fault(provider.Unavailable, false) // a body that breaks its parser: 500
	case 1:
		return fault(provider.Unavailable, true) // a connection that is reset
	case 2:
		return fault(provider.Misconfigured, false) // a token of another site key
	case 3:
		return fault(provider.Throttled, false) // a quota that is spent: 429
	case 4:
		return provider.Verdict{}, errors.New("what no provider should say")
	case 5:
		return provider.Verdict{Outcome: provider.ClientReported}, nil
	case 6:
		return provider.Verdict{Reason: provider.TokenInvalid}, nil
	}
	return provider.Verdict{Outcome: provider.ClientReported}, &provider.Fault{Class: provider.Unavailable, Err: errors.New("both")}
}

func (*poisoned) Probe(context.Context) error { poison.probed.Add(1); return nil }

// Promise 3: a hundred thousand verifications, each of which fails as its client
// wants it to, move no status and open nothing, although the directive says allow
// wherever it can.
func TestHostileVerificationsMoveNothingD36D40D42(t *testing.T) {
	e := serve(t, "respond 404")
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	t.Cleanup(cancel)
	h := &Handler{
		ProviderRaw: []byte(`{"name":"poisoned"}`), FallbacksRaw: nil,
		BypassCheck: &BypassCheck{Fails: 1, Passes: 1},
		Failover:    &Failover{Unreachable: &Unreachable{Action: allow}, ProviderFailover: &Action{Action: allow}},
	}
	if err := errors.Join(h.Provision(ctx), h.Validate()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	health := h.chain[0].health
	health.start(h.chain[0].provider.(provider.Prober), h.BypassCheck.resolve(false), quiet(), nil)
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	poison.verified.Store(0)
	poison.probed.Store(0)
	var next, moved, opened atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				fd := found{fields: map[string]string{"poisoned": fmt.Sprint("token ", i)}}
				f := h.verify(t.Context(), provider.Request{Host: "example.com", Received: time.Now()}, fd)
				if d := h.decide(f); d.verb == verbForward {
					opened.Add(1)
				}
				if s := health.standing(time.Now()); s.situation() != "" || !s.start.IsZero() {
					moved.Add(1)
				}
			}
		})
	}
	wg.Wait()
	o := health.overview(time.Now())
	if opened.Load() > 0 || moved.Load() > 0 || o.state != up || len(o.outages) > 0 || o.wrong || !o.throttled.IsZero() {
		t.Errorf("%d forwarded, moved %d times: %+v", opened.Load(), moved.Load(), o)
	}
	// at most one confirmation in 10 s, and one that it starts with
	if probes := poison.probed.Load(); probes > 2+int64(time.Since(start)/confirmEvery) {
		t.Errorf("%d probes in %s", probes, time.Since(start))
	}
	if v := poison.verified.Load(); v < int64(n) {
		t.Errorf("%d tokens reached the provider", v)
	}
	if r := e.app.take(); len(r) > 0 {
		t.Errorf("%d requests reached the app", len(r))
	}
}

// Tokens that must be judged without the provider: none is asked about.
func TestForgeriesAskNobodyD40(t *testing.T) {
	for _, kind := range []string{"trustcaptcha", "geetest"} {
		g := newGateway(t, kind)
		e := serve(t, "captcha /login* {\n"+g.block(false)+"\nfailover {\nunreachable allow\nclient_reported deny\n}\n}\nreverse_proxy {app}")
		h := e.guardian(t, g)
		for i := range 20_000 {
			var token url.Values
			if kind == "geetest" {
				token = offlineAnswer(randomHex(16))
			} else {
				token = url.Values{"tc-verification-token": {trustToken(randomUUID(), true)}}
			}
			fields := make(map[string]string)
			for k := range token {
				fields[k] = token.Get(k)
			}
			f := h.verify(t.Context(), provider.Request{Host: "127.0.0.1", Received: time.Now()}, found{fields: fields})
			if d := h.decide(f); d.verb == verbForward {
				t.Fatalf("forgery %d: %+v, %+v", i, f, d)
			}
		}
		if n := g.count(callVerify, 0); n > 0 {
			t.Errorf("%s: %d calls for forgeries", kind, n)
		}
		if o := g.health().overview(time.Now()); len(o.outages) > 0 || o.state.isDown() {
			t.Errorf("%s: %+v", kind, o)
		}
	}
}

// guardian is a second handler of the same provider as the site's.
func (e *edge) guardian(t *testing.T, g *gateway) *Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	t.Cleanup(cancel)
	raw := map[string]string{
		"trustcaptcha": `{"name":"trustcaptcha","site_key":"` + gateSite + `","api_key":"` + gateSecret + `","api_url":"` + g.plain + `"}`,
		"geetest":      `{"name":"geetest","captcha_id":"` + gateID + `","captcha_key":"` + gateSecret + `","api_url":"` + g.plain + `","bypass_url":"` + g.plain + `/v1/bypass_status.php"}`,
	}[g.kind]
	h := &Handler{ProviderRaw: []byte(raw), Failover: &Failover{
		Unreachable: &Unreachable{Action: allow}, ClientReported: &ClientReported{Action: deny},
	}}
	if err := errors.Join(h.Provision(ctx), h.Validate()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	return h
}

// oddAnswers answers verifications with one kind of trouble after the other, and
// probes as the provider does.
func oddAnswers() func(providertest.Call, int) (int, string) {
	var n atomic.Int64
	answers := []struct {
		status int
		text   string
	}{
		{500, `{"success":true`},
		{429, `{}`},
		{403, `{"success":false,"error-codes":["invalid-input-secret"]}`},
		{200, `<html>`},
		{200, `{"success":"true","seccode":1,"verificationPassed":"true","error_code":"00"}`},
		{200, `{"success":false,"error-codes":["internal-error"],"error_code":"31"}`},
		{}, // its own
	}
	return func(_ providertest.Call, what int) (int, string) {
		if what != callVerify {
			return 0, ""
		}
		a := answers[n.Add(1)%int64(len(answers))]
		return a.status, a.text
	}
}

// The same over the wire: what a client sends makes the real providers' far ends
// answer with 500, 429, 403, nonsense or nothing, or is nonsense itself.
func TestHostileRequestsMoveNothingD36D45(t *testing.T) {
	var site string
	var gates []*gateway
	for _, kind := range []string{"turnstile", "trustcaptcha", "geetest"} {
		g := newGateway(t, kind)
		g.set(oddAnswers())
		more := []string{}
		if kind == "trustcaptcha" {
			more = append(more, "client_failover")
		}
		site += "captcha /" + kind + "* {\n" + g.block(false, more...) + "\nfallback pow {\n\tdifficulty 1000\n}\nbypass_check passive {\n\ttimeout 5s\n\tfails 1\n}\nfailover {\nunreachable allow\n}\n}\n"
		gates = append(gates, g)
	}
	e := serve(t, site+"reverse_proxy {app}")
	var wg sync.WaitGroup
	for _, g := range gates {
		for part := range 2 {
			wg.Go(func() {
				l := &lane{gateway: g, t: t, e: e, name: g.kind}
				for i := range 600 {
					token := g.odd(i)
					if i%6 == 5 { // broken in ways of its own
						token = url.Values{"altcha": {randomHex(40)}, "captcha-seal": {randomHex(30)}}
					}
					if status, p := l.post(fmt.Sprintf("evil-%d-%d", part, i), token); status == 200 || status == 502 || status == 500 {
						t.Errorf("%s: %v: %d %s", g.kind, token, status, p.Reason)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	for _, g := range gates {
		o := g.health().overview(time.Now())
		if o.state != up || len(o.outages) > 0 || o.wrong || !o.throttled.IsZero() {
			t.Errorf("%s: %+v", g.kind, o)
		}
		if n := g.count(callVerify, 0); n < 100 {
			t.Errorf("%s: only %d tokens reached the provider", g.kind, n)
		}
		t.Logf("%s: %d of 1200 hostile tokens asked about, %d probes", g.kind, g.count(callVerify, 0), g.count(callProbe, 0))
	}
	if s := e.app.take(); len(s) > 0 {
		t.Errorf("%d hostile requests reached the app, the first %s", len(s), s[0].Body)
	}
}
