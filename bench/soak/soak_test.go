//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestBookNoticesBrokenPromises: what reaches the app, and what the book says.
func TestBookNoticesBrokenPromises(t *testing.T) {
	const body = "a=1"
	pow := &lane{path: "/pow"}
	once := func(b *book, t *ticket) { b.allow(t, urlencoded, []byte(body)) }
	for _, c := range []struct {
		name    string
		lane    *lane
		prepare func(*book, *ticket)
		header  string
		body    string
		times   int
		want    string // empty where all is well
	}{
		{"a form that was solved", pow, once, "X-Captcha-Status: passed|X-Captcha-Provider: pow", body, 1, ""},
		{"one that was not", pow, func(*book, *ticket) {}, "X-Captcha-Status: passed|X-Captcha-Provider: pow", body, 1, "may 0 times"},
		{"one that comes twice", pow, once, "X-Captcha-Status: passed|X-Captcha-Provider: pow", body, 2, "may 1 times"},
		{"one that was refused, and came", pow, func(b *book, t *ticket) { once(b, t); b.refused(t) }, "X-Captcha-Status: passed|X-Captcha-Provider: pow", body, 1, "may 0 times"},
		{"one that came changed", pow, once, "X-Captcha-Status: passed|X-Captcha-Provider: pow", "a=2", 1, "came changed"},
		{"one that nobody has judged", pow, once, "", body, 1, `status ""`},
		{"one that another provider has judged", pow, once, "X-Captcha-Status: passed|X-Captcha-Provider: geetest", body, 1, `provider "geetest"`},
		{"a failover where there is none", pow, once, "X-Captcha-Status: failover|X-Captcha-Provider: pow", body, 1, `status "failover"`},
		{"a clearance where there is none", pow, once, "X-Captcha-Status: cleared|X-Captcha-Provider: pow", body, 1, `status "cleared"`},
		{"a one-time clearance", pow, func(b *book, t *ticket) { once(b, t); b.cleared(t) }, "X-Captcha-Status: cleared|X-Captcha-Provider: pow", body, 1, ""},
		{"a forged header", pow, once, "X-Captcha-Status: passed|X-Captcha-Provider: pow|X-Captcha-Reason: " + forgery, body, 1, "forged header"},
		{"headers on a free path", &lane{path: "/free", free: true}, once, "X-Captcha-Status: passed", body, 1, "without captcha"},
		{"a free path", &lane{path: "/free", free: true}, once, "", body, 1, ""},
	} {
		b := newBook()
		ticket := b.open("test", c.lane)
		c.prepare(b, ticket)
		for range c.times {
			r := httptest.NewRequest(http.MethodPost, "/form?n="+ticket.nonce, strings.NewReader(c.body))
			r.Header.Set("Content-Type", urlencoded)
			for line := range strings.SplitSeq(c.header, "|") {
				if name, value, ok := strings.Cut(line, ": "); ok {
					r.Header.Set(name, value)
				}
			}
			(&app{book: b}).ServeHTTP(httptest.NewRecorder(), r)
		}
		said := strings.Join(b.texts, "\n")
		if c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: the book says %q, want %q", c.name, said, c.want)
		}
	}
	b := newBook()
	(&app{book: b}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/form?n=unknown", nil))
	if b.broken() != 1 {
		t.Error("something that nobody sent was not noticed")
	}
}

func TestOnlyTroubleExcusesDiversions(t *testing.T) {
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	end := at(200)
	outages := []outageDoc{{Start: at(100), End: &end}}
	g := &gateway{spans: []span{{fault: quota, from: at(400), to: at(410)}, {fault: wrongKey, from: at(500), to: at(510)}}}
	l := &lane{gate: g}
	for _, c := range []struct {
		what string
		at   int
		want bool
	}{
		{letIn, 99, false}, {letIn, 150, true}, {letIn, 202, false}, {letIn, 405, false},
		{fallbackAsked, 99, false}, {fallbackAsked, 150, true}, {fallbackAsked, 202, false}, {fallbackAsked, 405, true},
		{fallbackProof, 99, false}, {fallbackProof, 205, true}, {fallbackProof, 220, false}, {fallbackProof, 415, true},
		{"provider-unreachable", 150, true}, {"provider-unreachable", 300, false},
		{"throttled", 150, false}, {"throttled", 405, true}, {"throttled", 450, false},
		{"misconfigured", 150, false}, {"misconfigured", 505, true}, {"misconfigured", 600, false},
	} {
		if got := (diversion{l, c.what, at(c.at), at(c.at)}).excused(outages); got != c.want {
			t.Errorf("%s at %d s: excused is %t", c.what, c.at, got)
		}
	}
}

func TestGrowthIsNoticed(t *testing.T) {
	begin := time.Now()
	const n = 400
	for name, c := range map[string]struct {
		fds  func(i int) float64
		flat bool
	}{
		"flat":                    {func(i int) float64 { return 100 + float64(i%7) }, true},
		"growing at first only":   {func(i int) float64 { return min(100, float64(i)) }, true},
		"growing":                 {func(i int) float64 { return 100 + float64(i)/2 }, false},
		"a peak in the last part": {func(i int) float64 { return map[bool]float64{true: 1000, false: 100}[i == 350] }, true},
	} {
		s := &soak{loadFrom: begin, loadTo: begin.Add(n * time.Second)}
		w := newWatch(s)
		for i := range n {
			w.samples = append(w.samples, sample{at: begin.Add(time.Duration(i) * time.Second), fds: c.fds(i)})
		}
		if second, last, ok := w.flat(allSeries()[3]); ok != c.flat {
			t.Errorf("%s: %.0f, then %.0f: flat is %t", name, second, last, ok)
		}
	}
}

func TestFormsKeepTheirFile(t *testing.T) {
	f := form{format: "multipart", edge: "x", fill: noise()[:1000], last: true}
	body := string(f.body(map[string]string{"altcha": "token"}))
	if !strings.Contains(body, string(f.fill)) || !strings.HasSuffix(body, "token\r\n--x--\r\n") {
		t.Errorf("%.200q", body)
	}
	if again := string(f.body(map[string]string{"altcha": "token"})); again != body {
		t.Error("the same form has two bodies")
	}
}
