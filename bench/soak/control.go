//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// admin speaks to Caddy's admin endpoint, whose listener each reload replaces.
var admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// call asks the admin endpoint, once more where a reload was in the way.
func (s *soak) call(ctx context.Context, method, path, contentType string, body []byte) (status int, text []byte, err error) {
	for range 3 {
		var r *http.Request
		if r, err = http.NewRequestWithContext(ctx, method, "http://"+s.caddy.admin+path, bytes.NewReader(body)); err != nil {
			return 0, nil, err
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		var resp *http.Response
		if resp, err = admin.Do(r); err == nil {
			text, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err == nil {
				return resp.StatusCode, text, nil
			}
		}
		if !wait(ctx, 100*time.Millisecond) {
			break
		}
	}
	return 0, nil, err
}

// reload is one reload, as the report shows it.
type reload struct {
	at     time.Time
	took   time.Duration
	broken string // which of the broken configurations; empty for a good one
}

// reloadAll reloads at every interval: two configurations in turn, and a broken
// one as each third.
func (s *soak) reloadAll(on, all context.Context) {
	bad := s.brokenConfigs()
	names := slices.Sorted(maps.Keys(bad))
	n, next := 0, 0
	for i := 1; wait(on, s.reload) && s.book.broken() < tooMany; i++ {
		begin := time.Now()
		name := ""
		if i%3 == 0 {
			name = names[next%len(names)]
			next++
			s.rejected(all, name, bad[name])
		} else {
			n = 1 - n
			if err := s.loadGood(all, n); err != nil && all.Err() == nil {
				s.book.violation("a good configuration was not loaded: %v", err)
			}
		}
		s.mu.Lock()
		s.reloads = append(s.reloads, reload{begin, time.Since(begin), name})
		s.mu.Unlock()
	}
}

// loadGood loads a good configuration, and sees it in force.
func (s *soak) loadGood(ctx context.Context, n int) error {
	status, text, err := s.call(ctx, http.MethodPost, "/load", "text/caddyfile", []byte(s.caddyfile(n)))
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%d %s", status, text)
	}
	if got := s.inForce(ctx); got != fmt.Sprint(n) {
		return fmt.Errorf("configuration %q is in force, not %d", got, n)
	}
	return nil
}

// inForce names the configuration that answers. A connection that still waits at
// the old listener when that is closed is reset: that is so with every Caddy.
func (s *soak) inForce(ctx context.Context) (name string) {
	c := s.clients[2] // with a connection of its own
	for range 5 {
		resp, err := c.http.Do(c.request(ctx, http.MethodGet, "/which", "", nil))
		if err == nil {
			_ = resp.Body.Close()
			return resp.Header.Get("X-Config")
		}
		name = err.Error()
	}
	return name
}

// rejected loads a broken configuration: it must be refused, and change nothing.
func (s *soak) rejected(ctx context.Context, name, config string) {
	look := func() (string, map[string]int) {
		_, text, err := s.call(ctx, http.MethodGet, "/config/", "", nil)
		if err != nil {
			return err.Error(), nil
		}
		status, err := s.status(ctx)
		if err != nil {
			return err.Error(), nil
		}
		ids := make(map[string]int)
		for _, p := range status.Providers {
			ids[p.ID] = len(p.Outages)
		}
		return s.inForce(ctx) + string(text), ids
	}
	before, had := look()
	status, text, err := s.call(ctx, http.MethodPost, "/load", "text/caddyfile", []byte(config))
	if ctx.Err() != nil {
		return
	}
	if err != nil || status < 400 {
		s.book.violation("the broken configuration %q was answered with %d %s %v", name, status, text, err)
	}
	after, have := look()
	if before != after {
		s.book.violation("the refused configuration %q has changed the running one: %.300q… is now %.300q…", name, before, after)
	}
	for id, n := range had {
		if m, ok := have[id]; !ok || m < n {
			s.book.violation("the refused configuration %q has lost provider %s: %d outages of %d are known", name, id, m, n)
		}
	}
	if len(have) > len(had) {
		s.book.violation("the refused configuration %q has left providers behind: %v, before %v", name, have, had)
	}
}

// statusDoc is what /captcha/status answers, as far as it is looked at.
type statusDoc struct {
	Providers []providerDoc
}

type providerDoc struct {
	ID, Name       string
	State          string
	Misconfigured  bool
	ThrottledUntil *time.Time `json:"throttled_until"`
	Drill          bool
	Outages        []outageDoc
}

type outageDoc struct {
	Start    time.Time
	End      *time.Time
	Evidence string
	Drill    bool
}

func (p providerDoc) down() bool { return p.State == "down" || p.State == "recovering" }

func (p providerDoc) well() bool {
	return !p.down() && !p.Misconfigured && p.ThrottledUntil == nil
}

func (s *soak) status(ctx context.Context) (doc statusDoc, err error) {
	_, text, err := s.call(ctx, http.MethodGet, "/captcha/status", "", nil)
	if err != nil {
		return doc, err
	}
	err = json.Unmarshal(text, &doc)
	return doc, err
}

func (s *soak) provider(ctx context.Context, name string) (providerDoc, error) {
	doc, err := s.status(ctx)
	for _, p := range doc.Providers {
		if p.Name == name {
			return p, nil
		}
	}
	return providerDoc{}, errors.Join(err, fmt.Errorf("/captcha/status does not know %s", name))
}

// drillAll drills one provider after another.
func (s *soak) drillAll(on context.Context) {
	for wait(on, 20*time.Second+time.Duration(dice(20))*time.Second) {
		g := s.providers[dice(len(s.providers))]
		status, text, err := s.call(on, http.MethodPost, "/captcha/drill/"+g.kind, "application/json", []byte(`{"for":"4s"}`))
		if on.Err() != nil {
			return
		}
		if err != nil || status != http.StatusNoContent {
			s.book.violation("a drill was answered with %d %s %v", status, text, err)
			continue
		}
		s.mu.Lock()
		s.drills++
		cut := s.drills%2 == 0
		s.mu.Unlock()
		if cut && wait(on, 2*time.Second) {
			if status, text, err := s.call(on, http.MethodDelete, "/captcha/drill/"+g.kind, "", nil); on.Err() == nil && status != http.StatusNoContent {
				s.book.violation("the end of a drill was answered with %d %s %v", status, text, err)
			}
		}
	}
}

// span is a time in which a provider was broken, and when the edge knew.
type span struct {
	fault    fault
	from, to time.Time
	noticed  time.Duration // after from; 0 where there is nothing to notice
	back     time.Duration // after to
}

const noticeTime = time.Minute // bounds both

// breakDown breaks a provider in one way after another, and mends it each time.
func (s *soak) breakDown(on, all context.Context, g *gateway, i int) {
	faults := []fault{refuse, wrongKey, status5, quota, hang, captive, slow, reset, cut, drip}
	if !wait(on, time.Duration(2+3*i)*time.Second) {
		return
	}
	for n := 3 * i; ; n++ {
		f := faults[n%len(faults)]
		sp := span{fault: f, from: time.Now()}
		g.spoil(f)
		s.until(all, g, func(p providerDoc) bool {
			switch f {
			case wrongKey:
				return p.Misconfigured
			case quota:
				return p.ThrottledUntil != nil
			case slow:
				return true
			}
			return p.down() && !p.Drill
		}, string(f), &sp.noticed, sp.from)
		wait(on, 4*time.Second+time.Duration(dice(8000))*time.Millisecond)
		g.spoil(none)
		sp.to = time.Now()
		s.until(all, g, providerDoc.well, "mended", &sp.back, sp.to)
		g.mu.Lock()
		g.spans = append(g.spans, sp)
		g.mu.Unlock()
		if !wait(on, 10*time.Second+time.Duration(dice(12000))*time.Millisecond) {
			return
		}
	}
}

// spoil breaks the gateway, or mends it with none.
func (g *gateway) spoil(f fault) {
	g.mu.Lock()
	g.fault = f
	g.mu.Unlock()
	if f == refuse {
		_ = g.door.shut()
	} else if g.door.listener == nil {
		if err := g.door.open(g.server); err != nil {
			panic(err) // the port is held
		}
	}
}

// until waits until the edge knows.
func (s *soak) until(ctx context.Context, g *gateway, is func(providerDoc) bool, what string, took *time.Duration, from time.Time) {
	var p providerDoc
	var err error
	for time.Since(from) < noticeTime && ctx.Err() == nil && !s.caddy.ended() {
		if p, err = s.provider(ctx, g.kind); err == nil && is(p) {
			*took = time.Since(from)
			return
		}
		wait(ctx, 250*time.Millisecond)
	}
	if ctx.Err() == nil && !s.caddy.ended() {
		s.book.violation("%s: %s: not noticed in %v: %+v %v", g.kind, what, noticeTime, p, err)
	}
}
