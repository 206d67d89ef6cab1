//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// reportProfiles writes what requests allocate, and extracts of the profiles of
// Caddy with captcha.
func (b *bench) reportProfiles(ctx context.Context, w io.Writer, results []result) error {
	fmt.Fprintln(w, "| allocations per request | plain | captcha | more |\n|---|--:|--:|--:|")
	for _, r := range results {
		if p, o := r.allocs[0], r.allocs[1]; r.memory == nil {
			fmt.Fprintf(w, "| %s | %.1f, %.1f kB | %.1f, %.1f kB | %.0f, %.1f kB |\n", r.name,
				p.number, p.bytes/1e3, o.number, o.bytes/1e3, o.number-p.number, (o.bytes-p.bytes)/1e3)
		}
	}
	for _, r := range results {
		if r.control || r.memory != nil {
			continue
		}
		for _, what := range []struct{ title, file, options string }{
			{"CPU time", ".captcha.cpu.pb.gz", "-cum"},
			{"allocated objects", ".captcha.allocs.pb.gz", "-cum -sample_index=alloc_objects"},
		} {
			if err := top(ctx, w, r.name+", "+what.title, filepath.Join(b.profile, r.name+what.file), what.options); err != nil {
				return err
			}
		}
	}
	heaps, err := filepath.Glob(filepath.Join(b.profile, "*.heap.pb.gz"))
	for _, file := range heaps {
		if err == nil {
			err = top(ctx, w, strings.TrimSuffix(filepath.Base(file), ".heap.pb.gz")+", heap in use", file, "-sample_index=inuse_space")
		}
	}
	return err
}

const ours = "caddy-captcha/caddy-captcha"

// topLine is one of pprof's: flat, flat%, sum%, cum, cum%, and the function.
var topLine = regexp.MustCompile(`^\s*\S+\s+(\S+%)\s+\S+%\s+\S+\s+(\S+%)\s+(.+)$`)

// behind calls the handlers behind ours: its share says nothing.
var behind = regexp.MustCompile(`\.(ServeHTTP|forward)$`)

// top writes the first lines of `go tool pprof -top`: the share of a function
// with what it calls, and by itself. By cumulated share, only ours count.
func top(ctx context.Context, w io.Writer, title, file, options string) error {
	args := append([]string{"tool", "pprof", "-top", "-nodecount=1000"}, strings.Fields(options)...)
	out, err := exec.CommandContext(ctx, "go", append(args, file)...).Output()
	if err != nil {
		return fmt.Errorf("go %s %s: %w", strings.Join(args, " "), file, err)
	}
	fmt.Fprintf(w, "\n```\n%s\n", title)
	left := 8
	for line := range strings.Lines(string(out)) {
		m := topLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if len(m) == 0 || strings.HasPrefix(options, "-cum") && (!strings.Contains(m[3], ours) || behind.MatchString(m[3])) {
			continue
		}
		if left--; left >= 0 {
			fmt.Fprintf(w, "%8s %8s  %s\n", m[2], m[1], strings.ReplaceAll(m[3], "github.com/"+ours, "captcha"))
		}
	}
	fmt.Fprintln(w, "```")
	return nil
}
