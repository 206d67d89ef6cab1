//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profileCase counts the allocations of both servers and profiles both.
func (b *bench) profileCase(ctx context.Context, c kase, p, o *load) error {
	for i, l := range []*load{p, o} {
		name := [...]string{"plain", "captcha"}[i]
		a, err := b.allocations(ctx, l)
		if err != nil {
			return err
		}
		fmt.Printf("%s, %s: %.1f allocations, %.0f bytes per request\n", c.name, name, a.number, a.bytes)
		if err := b.profileLoad(ctx, l, filepath.Join(b.profile, c.name+"."+name)); err != nil {
			return err
		}
	}
	return nil
}

// profileLoad takes profiles while it sends the rest of the rounds.
func (b *bench) profileLoad(ctx context.Context, l *load, file string) error {
	done := make(chan error, 1)
	go func() {
		done <- fetch(ctx, l.server, fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds), file+".cpu.pb.gz")
	}()
	for begin := time.Now(); l.slices <= b.rounds && time.Since(begin) < profileSeconds*time.Second; {
		if _, err := l.slice(b.slice); err != nil {
			return err
		}
	}
	if err := <-done; err != nil {
		return err
	}
	return fetch(ctx, l.server, "/debug/pprof/allocs", file+".allocs.pb.gz")
}

const profileSeconds = 5

type allocations struct{ number, bytes float64 }

// allocations measures what one slice of requests allocates.
func (b *bench) allocations(ctx context.Context, l *load) (allocations, error) {
	if _, err := l.slice(b.slice); err != nil { // to get warm
		return allocations{}, err
	}
	before, err := memory(ctx, l.server)
	if err != nil {
		return allocations{}, err
	}
	s, err := l.slice(b.slice)
	if err != nil {
		return allocations{}, err
	}
	after, err := memory(ctx, l.server)
	n := float64(s.requests)
	return allocations{float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n}, err
}

type memstats struct{ Mallocs, TotalAlloc uint64 }

func memory(ctx context.Context, s *server) (memstats, error) {
	var doc struct{ Memstats memstats }
	body, err := adminGet(ctx, s, "/debug/vars")
	if err == nil {
		err = json.Unmarshal(body, &doc)
	}
	return doc.Memstats, err
}

func fetch(ctx context.Context, s *server, path, file string) error {
	body, err := adminGet(ctx, s, path)
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
}

func adminGet(ctx context.Context, s *server, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, body)
	}
	return body, err
}
