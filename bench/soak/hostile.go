//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// attacker tries everything but to solve what it is asked. Nothing of it may
// reach the app, and no connection that it breaks may cost more than itself.
type attacker struct {
	s *soak
	c *client
	n int
}

// proof is a token that has opened a request.
type proof struct {
	lane  *lane
	by    string
	token map[string]string
	at    time.Time
}

// spent remembers some of the tokens that were spent.
func (s *soak) spent(l *lane, by string, token map[string]string) {
	if l.gate != nil && l.gate.unreachable == "allow" {
		return // there it may not have been looked at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs = append(s.proofs[max(0, len(s.proofs)-200):], proof{l, by, token, time.Now()})
}

// old returns a token that was spent.
func (s *soak) old() (proof, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proofs) == 0 {
		return proof{}, false
	}
	return s.proofs[dice(len(s.proofs))], true
}

// forgery is in every forged header.
const forgery = "forged-by-a-client"

var forged = []string{
	"X-Captcha-Status", "passed; " + forgery, "X-Captcha-Provider", "pow " + forgery, "X-Captcha-Score", "1 " + forgery,
	"x-captcha-reason", forgery, "X_Captcha_Status", "passed " + forgery, "X-CAPTCHA_status", forgery,
	"Connection", "X-Captcha-Status, keep-alive",
}

// attack sends a request that must not reach the app.
func (s *soak) attack(ctx context.Context, c *client, t *ticket, r *http.Request) reply {
	got := s.do(ctx, c, "hostile: "+t.kind, r)
	if got.byApp() && !t.lane.signal && (t.lane.gate == nil || t.lane.gate.unreachable != "allow") {
		s.book.violation("%s was answered by the app: %d %s", t.nonce, got.status, got.body)
	}
	return got
}

// attacks are done in turn.
func (a *attacker) attacks() []func(context.Context, *lane) {
	return []func(context.Context, *lane){
		a.forge, a.junk, a.replay, a.race, a.twoTokens, a.nearlyTheField, a.forgedSeal, a.stolenSeal, a.forgedClearance,
		a.wrongProof, a.override, a.leave, a.smuggle, a.breakOff, a.junk, a.forge, a.replay, a.odd,
	}
}

func (a *attacker) work(on, all context.Context) {
	lanes := a.s.lanes
	list := a.attacks()
	for a.n = dice(1000); on.Err() == nil && a.s.book.broken() < tooMany; a.n++ {
		ctx, cancel := context.WithTimeout(all, time.Minute)
		list[a.n%len(list)](ctx, lanes[dice(len(lanes))])
		cancel()
	}
}

// post sends a form that must not reach the app.
func (a *attacker) post(ctx context.Context, kind string, l *lane, contentType, body string, headers ...string) {
	t := a.s.book.open(kind, l)
	defer a.s.book.closeTicket(t)
	a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, contentType, []byte(body), headers...))
}

// forge sends the headers that the edge sets, and no token.
func (a *attacker) forge(ctx context.Context, l *lane) {
	a.post(ctx, "forged-headers", l, urlencoded, "a=1", forged...)
}

// junk sends a token that nobody was given.
func (a *attacker) junk(ctx context.Context, l *lane) {
	text := url.Values{"altcha": {randomHex(dice(400))}, "a": {"1"}}
	if l.gate != nil && a.n%4 != 0 {
		text = l.gate.junk(a.n)
	} else if a.n%3 == 0 {
		text.Set("altcha", base64Of(`{"algorithm":"SHA-256","challenge":"`+randomHex(32)+`","number":17,"salt":"`+randomHex(12)+`?expires=99999999999&","signature":"`+randomHex(32)+`"}`))
	}
	a.post(ctx, "junk-token", l, urlencoded, text.Encode())
}

func values(token map[string]string) url.Values {
	v := url.Values{}
	for name, value := range token {
		v.Set(name, value)
	}
	return v
}

// replay sends a token that was spent.
func (a *attacker) replay(ctx context.Context, _ *lane) {
	p, ok := a.s.old()
	if !ok {
		return
	}
	if a.n%2 == 0 && len(p.token) == 1 {
		a.post(ctx, "replay", p.lane, "application/json", `{"a":1}`, "Captcha-Token", headerToken(p.token))
		return
	}
	a.post(ctx, "replay", p.lane, urlencoded, values(p.token).Encode()+"&a=1")
}

// race sends one good token many times at once: at most one may come through.
func (a *attacker) race(ctx context.Context, l *lane) {
	if l.gate != nil && l.gate.unreachable == "allow" {
		return
	}
	p, ok := a.s.ask(ctx, a.c, l)
	if !ok {
		return
	}
	_, token := a.s.solve(l, p)
	text := values(token).Encode()
	shared := &allowance{may: 1}
	var all sync.WaitGroup
	for i := range 5 {
		t := a.s.book.open("race", l)
		t.allowed = shared // before anybody else sees it
		c := a.s.clients[(a.n+i)%len(a.s.clients)]
		all.Go(func() {
			defer a.s.book.closeTicket(t)
			a.s.do(ctx, c, "hostile: race", c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, urlencoded, []byte(text)))
		})
	}
	all.Wait()
}

// good returns a token that nobody has spent, or none.
func (a *attacker) good(ctx context.Context, l *lane) (by string, token map[string]string) {
	if p, ok := a.s.ask(ctx, a.c, l); ok {
		return a.s.solve(l, p)
	}
	return "", nil
}

// twoTokens is ambiguous: whichever the app would read, one was not verified.
func (a *attacker) twoTokens(ctx context.Context, l *lane) {
	by, one := a.good(ctx, l)
	by2, two := a.good(ctx, l)
	if one == nil || two == nil || by != by2 { // those of two providers are no ambiguity
		return
	}
	a.post(ctx, "two-tokens", l, urlencoded, values(one).Encode()+"&a=1&"+values(two).Encode())
}

// nearlyTheField has the token under names that some parsers take for the field's,
// or in a body that two parsers read differently.
func (a *attacker) nearlyTheField(ctx context.Context, l *lane) {
	_, token := a.good(ctx, l)
	if len(token) != 1 {
		return
	}
	for name, value := range token {
		value = url.QueryEscape(value)
		for kind, body := range map[string]string{
			"other-case": strings.ToUpper(name) + "=" + value,
			"brackets":   name + "[]=" + value,
			"space":      "+" + name + "=" + value,
			"nul":        name + "%00=" + value,
			"both-cases": name + "=" + value + "&" + strings.ToUpper(name) + "=x",
		} {
			a.post(ctx, kind, l, urlencoded, body+"&a=1")
		}
		text := base64Of("x")
		a.post(ctx, "json-twice", l, "application/json", fmt.Sprintf(`{%q:%q,%q:%q}`, name, token[name], name, text))
		a.post(ctx, "json-and-more", l, "application/json", fmt.Sprintf(`{%q:%q} {}`, name, token[name]))
		a.post(ctx, "encoded", l, urlencoded, name+"="+value, "Content-Encoding", "gzip")
		a.post(ctx, "two-headers", l, "text/plain", "a", "Captcha-Token", token[name], "Captcha-Token", text)
	}
}

// page gets a challenge page that carries a form which nobody may submit.
func (a *attacker) page(ctx context.Context, l *lane, t *ticket, from string) string {
	v := &visitor{s: a.s, c: a.c}
	return sealIn(a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, urlencoded, []byte("evil=1"), v.navigates(from)...)))
}

// forgedSeal brings a seal that the edge has not made like this, with a good token.
func (a *attacker) forgedSeal(ctx context.Context, l *lane) {
	t := a.s.book.open("forged-seal", l)
	defer a.s.book.closeTicket(t)
	seal := a.page(ctx, l, t, "same-origin")
	if len(seal) < 100 {
		return
	}
	nav := (&visitor{s: a.s, c: a.c}).navigates("same-origin")
	at := 10 + dice(len(seal)-20)
	other := byte('A')
	if seal[at] == other {
		other = 'B'
	}
	for _, s := range []string{seal[:at] + string(other) + seal[at+1:], seal[:at], randomHex(60), "AAAA"} {
		_, token := a.good(ctx, l)
		if token == nil {
			return
		}
		a.post(ctx, "forged-seal", l, urlencoded, values(token).Encode()+"&captcha-seal="+s, nav...)
	}
	// as it is, but without a token, with a spent one, and for another address
	a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, urlencoded, []byte("captcha-seal="+seal), nav...))
	if p, ok := a.s.old(); ok {
		a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, urlencoded, []byte(values(p.token).Encode()+"&captcha-seal="+seal), nav...))
	}
	if _, token := a.good(ctx, l); token != nil {
		a.post(ctx, "moved-seal", l, urlencoded, values(token).Encode()+"&captcha-seal="+seal, nav...)
	}
}

// stolenSeal has a page submitted by another site, and a form of another site
// submitted by the page.
func (a *attacker) stolenSeal(ctx context.Context, l *lane) {
	t := a.s.book.open("stolen-seal", l)
	defer a.s.book.closeTicket(t)
	for _, from := range [][2]string{{"same-origin", "cross-site"}, {"cross-site", "same-origin"}} {
		seal := a.page(ctx, l, t, from[0])
		_, token := a.good(ctx, l)
		if seal == "" || token == nil {
			continue
		}
		nav := (&visitor{s: a.s, c: a.c}).navigates(from[1])
		a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, urlencoded, []byte(values(token).Encode()+"&captcha-seal="+seal), nav...))
	}
}

// forgedClearance brings cookies that the edge has not given.
func (a *attacker) forgedClearance(ctx context.Context, l *lane) {
	v := &visitor{s: a.s, c: a.c}
	clear := a.s.lanes[2]
	t := a.s.book.open("clearance-for-a-forger", clear)
	defer a.s.book.closeTicket(t)
	cookie := cookies(v.deliver(ctx, t, newForm("urlencoded"), nil))
	name, value, ok := strings.Cut(cookie, "=")
	if !ok || len(value) < 20 {
		return
	}
	at := dice(len(value) - 1)
	other := "A"
	if value[at] == 'A' {
		other = "B"
	}
	for _, c := range []string{name + "=" + value[:at] + other + value[at+1:], name + "=" + base64.RawURLEncoding.EncodeToString([]byte(randomHex(30))), name + "=", name + "-once-000000=" + value} {
		a.post(ctx, "forged-clearance", clear, urlencoded, "a=1", "Cookie", c)
	}
	if l != clear {
		a.post(ctx, "clearance-of-another-scope", l, urlencoded, "a=1", "Cookie", cookie)
	}
}

// wrongProof brings a proof of work from where it is the provider to where it is
// the fallback, and from there to another provider's path and back.
func (a *attacker) wrongProof(ctx context.Context, l *lane) {
	lanes, gated := a.s.lanes, a.s.lanes[3:3+len(a.s.providers)]
	if l.gate == nil {
		l = gated[a.n%len(gated)]
	}
	if by, token := a.good(ctx, lanes[0]); by == "pow" {
		a.post(ctx, "primary-as-fallback", l, urlencoded, values(token).Encode())
	}
	by, token := a.good(ctx, l)
	if by != "pow" {
		return // it is not down
	}
	for _, other := range append(slices.Clone(gated), lanes[0], lanes[len(lanes)-1]) {
		if other.gate != l.gate {
			a.post(ctx, "fallback-elsewhere", other, urlencoded, values(token).Encode())
		}
	}
}

// override asks an app that listens to it to take a GET for a POST.
func (a *attacker) override(ctx context.Context, l *lane) {
	t := a.s.book.open("override", l)
	defer a.s.book.closeTicket(t)
	a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodGet, l.path+"/form?_METHOD=post&n="+t.nonce, "", nil))
	a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodGet, l.path+"/form?n="+t.nonce, "", nil, "X-HTTP-Method-Override", "DELETE"))
	a.s.attack(ctx, a.c, t, a.c.request(ctx, http.MethodPut, l.path+"/form?n="+t.nonce, urlencoded, []byte("a=1")))
}

// leave goes away in the middle: with a good token or without, over each protocol.
func (a *attacker) leave(ctx context.Context, l *lane) {
	c := a.s.clients[a.n%len(a.s.clients)]
	f := newForm("multipart")
	var token map[string]string
	t := a.s.book.open("leave", l)
	defer a.s.book.closeTicket(t)
	if a.n%2 == 0 {
		if _, token = a.good(ctx, l); token != nil {
			t.allowed = &allowance{may: 1} // before anybody else sees it
		}
	}
	body := f.body(token)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := c.request(ctx, http.MethodPost, l.path+"/form?n="+t.nonce, f.contentType(), nil)
	r.ContentLength = int64(len(body))
	r.Body = &leaver{Reader: bytes.NewReader(body), left: dice(len(body) + 1), leave: cancel}
	a.s.do(ctx, c, "hostile: leave", r)
}

// leaver is a body whose sender goes away in the middle of it.
type leaver struct {
	*bytes.Reader
	left  int
	leave func()
}

func (l *leaver) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.leave()
		return 0, context.Canceled
	}
	n, err := l.Reader.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

func (*leaver) Close() error { return nil }

// odd sends what is not a form.
func (a *attacker) odd(ctx context.Context, l *lane) {
	a.post(ctx, "preamble", l, "multipart/form-data; boundary=x", "junk\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n")
	a.post(ctx, "unfinished", l, "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\nabc")
	a.post(ctx, "many-pairs", l, urlencoded, strings.Repeat("a=1&", 11000))
	a.post(ctx, "deep-json", l, "application/json", strings.Repeat("[", 100)+strings.Repeat("]", 100))
	a.post(ctx, "utf-16", l, urlencoded+"; charset=utf-16", "a\x00=\x001\x00")
	a.post(ctx, "redeem", l, urlencoded, "captcha-seal=AAAA", "Captcha-Redeem", "1", "Origin", a.c.base, "Sec-Fetch-Site", "same-origin")
}
