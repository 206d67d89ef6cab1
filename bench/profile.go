//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profileCase counts the allocations of both servers and profiles both.
func (b *bench) profileCase(ctx context.Context, r *result, p, o *load) error {
	for i, l := range []*load{p, o} {
		name := [...]string{"plain", "captcha"}[i]
		var err error
		if r.allocs[i], err = b.allocations(ctx, l); err != nil {
			return err
		}
		if err := b.profileLoad(ctx, l, filepath.Join(b.profile, r.name+"."+name)); err != nil {
			return err
		}
	}
	return nil
}

// profileLoad takes profiles while it sends the rest of the rounds.
func (b *bench) profileLoad(ctx context.Context, l *load, file string) error {
	var wg sync.WaitGroup
	kinds := [...]struct{ path, name string }{{"profile", "cpu"}, {"allocs", "allocs"}}
	var errs [len(kinds)]error
	for i, kind := range kinds {
		wg.Go(func() {
			errs[i] = fetch(ctx, l.server, fmt.Sprintf("/debug/pprof/%s?seconds=%d", kind.path, profileSeconds), fmt.Sprintf("%s.%s.pb.gz", file, kind.name))
		})
	}
	var err error
	for begin := time.Now(); err == nil && l.slices <= b.rounds && time.Since(begin) < profileSeconds*time.Second; {
		_, err = l.slice(b.slice)
	}
	wg.Wait()
	return errors.Join(append(errs[:], err)...)
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
