//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// visitor is honest: each of its forms must reach the app, complete and once.
type visitor struct {
	s *soak
	c *client
}

// patience is how long an honest form may take, with a provider down, refusing
// us, and throttling us meanwhile.
const patience = 2 * time.Minute

// work sends forms until on is done; the last of them is seen through.
func (v *visitor) work(on, all context.Context) {
	lanes := v.s.lanes
	for n := dice(20); on.Err() == nil && v.s.book.broken() < tooMany; n++ {
		ctx, cancel := context.WithTimeout(all, patience+time.Minute)
		l := lanes[dice(len(lanes))]
		switch n % 10 {
		case 0, 1, 2:
			v.script(ctx, l)
		case 3, 4, 5, 6:
			v.browser(ctx, l)
		case 7:
			v.cleared(ctx, lanes[2])
		case 8:
			v.page(ctx)
		case 9:
			v.free(ctx)
		}
		cancel()
	}
}

// script asks for a puzzle, solves it, and sends the form with the token.
func (v *visitor) script(ctx context.Context, l *lane) {
	f := newForm("urlencoded", "multipart", "multipart", "json", "header")
	t := v.s.book.open("script", l)
	defer v.s.book.closeTicket(t)
	v.deliver(ctx, t, f, forged) // whoever has a proof could still lie about it
}

// deliver sends a form until the app has it, and returns the app's answer.
func (v *visitor) deliver(ctx context.Context, t *ticket, f form, headers []string) (got reply) {
	var token map[string]string
	by, last := "", "nothing"
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		if token == nil {
			p, ok := v.s.ask(ctx, v.c, t.lane)
			if !ok {
				wait(ctx, 500*time.Millisecond)
				continue
			}
			by, token = v.s.solve(t.lane, p)
		}
		body, more := f.body(token), headers
		if f.format == "header" {
			body, more = f.body(nil), append([]string{"Captcha-Token", headerToken(token)}, headers...)
		}
		got = v.send(ctx, t, f.contentType(), body, more)
		if got.byApp() && got.status == http.StatusOK {
			v.s.spent(t.lane, by, token)
			v.s.book.done(t, len(body))
			return got
		}
		last = describe(got)
		token = nil
		switch p := got.problem(); {
		case got.err != nil, got.status == http.StatusServiceUnavailable, p.Reason == "try-again":
			wait(ctx, 500*time.Millisecond)
		case got.status == http.StatusRequestEntityTooLarge && f.last: // as the reference says: the token first
			f.last = false
		case got.status == http.StatusForbidden && p.Captcha != nil:
			by, token = v.s.solve(t.lane, *p.Captcha)
		default:
			v.s.book.violation("%s: an honest form was answered with %s", t.nonce, last)
			return got
		}
	}
	if ctx.Err() == nil {
		v.s.book.violation("%s: an honest form was lost: it never came through in %v; last: %s", t.nonce, patience, last)
	}
	return got
}

// send sends a request that may reach the app, once, with its body as it is.
func (v *visitor) send(ctx context.Context, t *ticket, contentType string, body []byte, headers []string) reply {
	v.s.book.allow(t, contentType, body)
	return v.sendAs(ctx, t, contentType, body, body, headers)
}

// sendAs is send, after it was allowed, of a body that stands for another.
func (v *visitor) sendAs(ctx context.Context, t *ticket, contentType string, body, stands []byte, headers []string) reply {
	got := v.s.do(ctx, v.c, "honest: "+t.kind, v.c.request(ctx, http.MethodPost, t.lane.path+"/form?n="+t.nonce, contentType, body, headers...))
	switch {
	case got.err != nil: // it may have arrived
	case !got.byApp():
		v.s.book.refused(t)
	default:
		if sum := sha256.Sum256(stands); string(got.body) != hex.EncodeToString(sum[:]) {
			v.s.book.violation("%s: the app's answer is %q, for a body of %d bytes with the hash %x", t.nonce, got.body, len(stands), sum)
		}
	}
	return got
}

func describe(r reply) string {
	if r.err != nil {
		return r.err.Error()
	}
	return strings.Join(strings.Fields(http.StatusText(r.status)+" "+r.header.Get("Content-Type")+" "+string(r.body[:min(300, len(r.body))])), " ")
}

// headerToken is a token for the header: the value of the one field, or all of
// them as JSON in base64url.
func headerToken(token map[string]string) string {
	if len(token) == 1 {
		for _, value := range token {
			return value
		}
	}
	text, _ := json.Marshal(token) // of strings
	return base64URL(text)
}

// navigates are the headers of a form that a browser sends.
func (v *visitor) navigates(from string) []string {
	h := []string{"Accept", "text/html,application/xhtml+xml", "Accept-Language", "de,en;q=0.5", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", from}
	if from == "same-origin" {
		return append(h, "Origin", v.c.base, "Referer", v.c.base+"/form")
	}
	return append(h, "Origin", "https://evil.example")
}

// browser sends a form without a token, and comes through the challenge page.
func (v *visitor) browser(ctx context.Context, l *lane) {
	f := newForm("urlencoded", "multipart", "multipart", "json", "binary")
	t := v.s.book.open("browser", l)
	defer v.s.book.closeTicket(t)
	body, nav := f.body(nil), v.navigates("same-origin")
	last := "nothing"
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		got := v.send(ctx, t, f.contentType(), body, nav)
		for seal := sealIn(got); seal != ""; seal = sealIn(got) {
			if got = v.answerPage(ctx, t, f, body, got, seal); ctx.Err() != nil {
				return
			}
		}
		last = describe(got)
		switch {
		case got.byApp() && got.status == http.StatusOK:
			v.s.book.done(t, len(body))
			return
		case got.err != nil, got.status == http.StatusServiceUnavailable:
			wait(ctx, 500*time.Millisecond)
		default:
			v.s.book.violation("%s: an honest form was answered with %s", t.nonce, last)
			return
		}
	}
	if ctx.Err() == nil {
		v.s.book.violation("%s: an honest form was lost: it never came through in %v; last: %s", t.nonce, patience, last)
	}
}

// answerPage does what the page's script does.
func (v *visitor) answerPage(ctx context.Context, t *ticket, f form, body []byte, page reply, seal string) reply {
	p := puzzleIn(page)
	if len(p.Fields) == 0 {
		v.s.book.violation("%s: a challenge page without data: %.300s", t.nonce, page.body)
		return reply{err: context.Canceled}
	}
	if p.Fields[0] == "altcha" {
		p.Provider = "pow"
	}
	_, token := v.s.solve(t.lane, p)
	text := url.Values{}
	for name, value := range token {
		text.Set(name, value)
	}
	sealed := []byte(text.Encode() + "&captcha-seal=" + url.QueryEscape(seal)) // token first
	if p.Kind != "redeem" {
		v.s.book.allow(t, f.contentType(), body)
		return v.sendAs(ctx, t, urlencoded, sealed, body, v.navigates("same-origin"))
	}
	// too large to be carried: a one-time clearance, and the form once more
	got := v.s.do(ctx, v.c, "honest: redeem", v.c.request(ctx, http.MethodPost, t.lane.path+"/form?n="+t.nonce, urlencoded, sealed,
		"Captcha-Redeem", "1", "Origin", v.c.base, "Sec-Fetch-Site", "same-origin"))
	if got.status != http.StatusNoContent {
		if got.status == http.StatusForbidden { // the provider went down meanwhile: anew
			got.err = context.DeadlineExceeded
		}
		return got
	}
	v.s.book.cleared(t)
	again := v.send(ctx, t, f.contentType(), body, append(v.navigates("same-origin"), "Cookie", cookies(got)))
	if again.err == nil && !again.byApp() && again.status == http.StatusForbidden && !t.lane.moves {
		v.s.book.violation("%s: a one-time clearance did not open: %s", t.nonce, describe(again))
	}
	return again
}

var (
	sealInput = regexp.MustCompile(`name="?captcha-seal"?[^>]*value="?([A-Za-z0-9_-]+)`)
	pageData  = regexp.MustCompile(`(?s)id="?captcha-data"?>(.*?)</script>`)
)

// sealIn is what a challenge page carries.
func sealIn(page reply) string {
	if page.err != nil || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		return ""
	}
	if m := sealInput.FindSubmatch(page.body); m != nil {
		return html.UnescapeString(string(m[1]))
	}
	return ""
}

// puzzleIn is what a challenge page's script is given.
func puzzleIn(page reply) (p puzzle) {
	if m := pageData.FindSubmatch(page.body); m != nil {
		_ = json.Unmarshal(m[1], &p)
	}
	return p
}

func cookies(r reply) string {
	var all []string
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// cleared solves once, and comes again as often as its clearance says.
func (v *visitor) cleared(ctx context.Context, l *lane) {
	f := newForm("urlencoded", "multipart", "json")
	t := v.s.book.open("cleared", l)
	defer v.s.book.closeTicket(t)
	got := v.deliver(ctx, t, f, nil)
	cookie := cookies(got)
	if !got.byApp() {
		return
	}
	if cookie == "" {
		v.s.book.violation("%s: no clearance: %v", t.nonce, got.header)
		return
	}
	lost := false
	for range clearanceUses {
		lost = v.again(ctx, l, cookie, lost) || lost
	}
	if lost || ctx.Err() != nil {
		return
	}
	spent := v.s.book.open("clearance-used-up", l)
	defer v.s.book.closeTicket(spent)
	v.s.attack(ctx, v.c, spent, v.c.request(ctx, http.MethodPost, l.path+"/form?n="+spent.nonce, urlencoded, []byte("a=1"), "Cookie", cookie))
}

// again comes with a clearance, and reports whether that may have been used in
// vain. After that, the clearance may end early.
func (v *visitor) again(ctx context.Context, l *lane, cookie string, mayEnd bool) (lost bool) {
	f := newForm("urlencoded", "multipart", "binary")
	t := v.s.book.open("cleared", l)
	defer v.s.book.closeTicket(t)
	body := f.body(nil)
	got := v.send(ctx, t, f.contentType(), body, []string{"Cookie", cookie})
	switch {
	case got.err != nil:
		return true
	case got.byApp():
		v.s.book.done(t, len(body))
	case !mayEnd:
		v.s.book.violation("%s: a clearance did not open: %s", t.nonce, describe(got))
	}
	return false
}

// page gets a page of the app, and sends its form as the injected script would.
func (v *visitor) page(ctx context.Context) {
	got := v.s.do(ctx, v.c, "honest: injected page", v.c.request(ctx, http.MethodGet, "/page", "", nil, v.navigates("same-origin")...))
	if got.err != nil {
		return
	}
	text := string(got.body)
	for _, part := range []string{`<textarea name="message">it&amp;s me</textarea>`, `<form id="contact" method="post" action="/clear/contact">`, "</body></html>\n", "<script"} {
		if !strings.Contains(text, part) {
			v.s.book.violation("captcha_inject: a page without %q: %d %.500s", part, got.status, text)
		}
	}
	v.script(ctx, v.s.lanes[2])
}

// free sends a form where there is no captcha, with forged headers.
func (v *visitor) free(ctx context.Context) {
	t := v.s.book.open("free", &lane{path: "/free", free: true})
	defer v.s.book.closeTicket(t)
	f := newForm("urlencoded", "multipart", "json", "binary")
	body := f.body(nil)
	got := v.send(ctx, t, f.contentType(), body, forged)
	if got.err == nil && !got.byApp() {
		v.s.book.violation("%s: a path without captcha was answered with %s", t.nonce, describe(got))
	}
	if got.err == nil {
		v.s.book.done(t, len(body))
	}
}
