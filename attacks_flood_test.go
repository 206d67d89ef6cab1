package captcha

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

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
		// the store is told of the last one while nobody waits
		waitUntil(t, "no claims of tokens that the client made, in mode "+mode, func() bool { return claims() == 0 })
		_ = caddy.Stop()
	}
}

// Where policy takes the client's word, the token that it came with has opened a
// request, and opens no other.
func TestClientsWordOpensOneRequestD40(t *testing.T) {
	g := newGateway(t, "geetest")
	e := serve(t, "captcha {\n"+g.block(false)+"\nfailover {\nclient_reported allow\n}\n}\nreverse_proxy {app}")
	body := offlineAnswer(randomHex(16)).Encode()
	if s := e.wantForwarded(e.post("/", formType, body)); s.Header.Get(headerStatus) != "failover" {
		t.Errorf("the app was told %v", s.Header)
	}
	e.wantProblem(e.post("/", formType, body), 403, "token-duplicate")
}
