//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// figure is what a case of memory has shown.
type figure struct {
	table string  // in Markdown
	value float64 // what the goal is about, in MB
	limit float64 // the goal
}

const mb = 1 << 20

type memstats struct{ Mallocs, TotalAlloc, HeapAlloc, StackInuse uint64 }

// memory reads the counters of Go's runtime.
func memory(ctx context.Context, s *server) (memstats, error) {
	var doc struct{ Memstats memstats }
	body, err := adminGet(ctx, s, "/debug/vars")
	if err == nil {
		err = json.Unmarshal(body, &doc)
	}
	return doc.Memstats, err
}

// held is the heap that is in use after a collection of garbage, in bytes. The
// second one frees what had a finalizer. With -profile, the heap's profile is kept.
func (b *bench) held(ctx context.Context, s *server, name string) (int64, error) {
	for range 2 {
		if _, err := adminGet(ctx, s, "/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
	}
	if b.profile != "" {
		if err := fetch(ctx, s, "/debug/pprof/heap", filepath.Join(b.profile, name+".heap.pb.gz")); err != nil {
			return 0, err
		}
	}
	m, err := memory(ctx, s)
	if b.profile != "" {
		fmt.Fprintf(os.Stderr, "  %s: heap %s MB, stacks %s MB\n", name, inMB(int64(m.HeapAlloc)), inMB(int64(m.StackInuse)))
	}
	return int64(m.HeapAlloc), err
}

func inMB(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/mb) }
