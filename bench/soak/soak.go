//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// soak is one run.
type soak struct {
	options
	dir    string
	commit string
	began  time.Time // of the run; times in the report count from here

	book      *book
	app       *app
	providers []*gateway
	lanes     []*lane
	caddy     *server
	clients   []*client
	watch     *watch
	pace      chan struct{} // one for each request

	loadFrom, loadTo time.Time

	mu      sync.Mutex
	proofs  []proof // tokens that have opened a request
	reloads []reload
	drills  int
}

const (
	honestWorkers  = 14
	hostileWorkers = 12
	slowWorkers    = 4
)

// start starts everything there is, warms it up, and notes what it takes when
// nobody asks for anything.
func (s *soak) start(ctx context.Context) error {
	var err error
	if s.app, err = newApp(s.book); err != nil {
		return err
	}
	for _, kind := range kinds {
		g, err := newGateway(kind)
		if err != nil {
			return err
		}
		s.providers = append(s.providers, g)
	}
	s.lanes = s.newLanes()
	if s.caddy, err = s.startCaddy(ctx); err != nil {
		return err
	}
	if s.clients, err = s.newClients(); err != nil {
		return err
	}
	stop := s.tick(ctx)
	defer stop()
	v := &visitor{s: s, c: s.clients[0]}
	for _, l := range s.lanes { // caches, keys and connections come with the first request
		v.script(ctx, l)
	}
	s.watch = newWatch(s)
	if err := s.rest(ctx); err != nil {
		return err
	}
	return s.watch.settle(ctx)
}

// tick lets requests go, as many in a second as there may be.
func (s *soak) tick(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(time.Second / time.Duration(s.rate))
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			select {
			case s.pace <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}

// load is the load, and the quiet after it.
func (s *soak) load(ctx context.Context) error {
	all, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := s.tick(all)
	defer stop()
	s.loadFrom = time.Now()
	on, end := context.WithTimeout(all, s.time)
	defer end()
	var watching, load, play sync.WaitGroup
	watching.Go(func() { s.watch.run(all) })
	play.Go(func() { s.reloadAll(on, all) })
	play.Go(func() { s.drillAll(on) })
	for i, g := range s.providers {
		play.Go(func() { s.breakDown(on, all, g, i) })
	}
	for i := range honestWorkers {
		load.Go(func() { (&visitor{s: s, c: s.clients[i%len(s.clients)]}).work(on, all) })
	}
	for i := range hostileWorkers {
		load.Go(func() { (&attacker{s: s, c: s.clients[i%len(s.clients)]}).work(on, all) })
	}
	for range slowWorkers {
		load.Go(func() { (&attacker{s: s, c: s.clients[0]}).dawdle(on, all) })
	}
	for on.Err() == nil && s.book.broken() < tooMany && !s.caddy.ended() {
		time.Sleep(100 * time.Millisecond)
	}
	end()
	load.Wait()
	play.Wait()
	s.loadTo = time.Now()
	err := s.quiet(ctx)
	cancel()
	watching.Wait()
	if s.caddy.ended() {
		s.book.violation("Caddy has ended: %v", s.caddy.cmd.ProcessState)
	}
	return errors.Join(err, ctx.Err())
}

// quiet waits until what the load has taken is given back.
func (s *soak) quiet(ctx context.Context) error {
	if s.caddy.ended() {
		return nil
	}
	if err := s.rest(ctx); err != nil {
		s.book.violation("the last reload: %v", err)
	}
	return s.watch.settleAgain(ctx)
}

// rest loads the other configuration and then the first one, which ends what the
// last one kept open to the app, and closes the visitors' connections.
func (s *soak) rest(ctx context.Context) error {
	for _, n := range []int{1, 0} {
		if err := s.loadGood(ctx, n); err != nil {
			return err
		}
	}
	for _, c := range s.clients {
		c.close()
	}
	return nil
}

// close ends what was started.
func (s *soak) close() {
	if s.caddy != nil {
		s.caddy.stop()
	}
	for _, g := range s.providers {
		g.close()
	}
	if s.app != nil {
		s.app.close()
	}
}

// wait waits, and reports whether to go on.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *soak) at(t time.Time) string {
	return fmt.Sprintf("%.1fs", t.Sub(s.loadFrom).Seconds())
}
