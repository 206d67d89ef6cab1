//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sample is what the process has at one moment.
type sample struct {
	at         time.Time
	rss        float64 // bytes
	heap       float64 // bytes in use after a collection; 0 where it was not asked for
	goroutines float64
	fds        float64
	temp       float64 // temporary files, with a name or without
	requests   int     // so far
}

// watch takes samples.
type watch struct {
	s       *soak
	rest    sample // before the load
	end     sample // after it
	settled time.Duration

	mu      sync.Mutex
	samples []sample
}

func newWatch(s *soak) *watch { return &watch{s: s} }

const heapEvery = 5 // samples

// run takes a sample a second until it is told to end.
func (w *watch) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if got, err := w.take(ctx, n%heapEvery == 0); err == nil {
			w.mu.Lock()
			w.samples = append(w.samples, got)
			w.mu.Unlock()
		}
		wait(ctx, time.Second)
	}
}

var (
	goroutineLine = regexp.MustCompile(`(?m)^goroutine profile: total (\d+)`)
	heapLine      = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)`)
)

// take asks the process and the kernel.
func (w *watch) take(ctx context.Context, collect bool) (got sample, err error) {
	got.requests = w.s.book.requests()
	ask := func(path string, line *regexp.Regexp) float64 {
		status, text, e := w.s.call(ctx, http.MethodGet, path, "", nil)
		m := line.FindSubmatch(text)
		if e == nil && (status != http.StatusOK || m == nil) {
			e = errors.New("no such line")
		}
		if e != nil {
			err = fmt.Errorf("%s: %d %w", path, status, e)
			return 0
		}
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		return n
	}
	if collect {
		got.heap = ask("/debug/pprof/heap?gc=1&debug=1", heapLine)
	}
	got.goroutines = ask("/debug/pprof/goroutine?debug=1", goroutineLine)
	got.at = time.Now()
	if err == nil {
		got.rss, err = w.resident()
	}
	if err == nil {
		got.fds, got.temp, err = w.files()
	}
	return got, err
}

// resident is the memory that the kernel counts for the process.
func (w *watch) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.s.caddy.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, err
}

// files counts open files, and those among them and in the process's directory
// that are temporary.
func (w *watch) files() (fds, temp float64, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", w.s.caddy.cmd.Process.Pid)
	list, err := os.ReadDir(dir)
	for _, f := range list {
		if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && strings.HasPrefix(to, w.s.caddy.temp+"/") {
			temp++
		}
	}
	left, err2 := os.ReadDir(w.s.caddy.temp)
	for range left {
		temp++
	}
	if err == nil {
		err = err2
	}
	return float64(len(list)), temp, err
}

// settle waits until the process does nothing any more, and notes what it has.
func (w *watch) settle(ctx context.Context) error {
	var last sample
	for range 60 {
		got, err := w.take(ctx, true)
		if err == nil && got.goroutines == last.goroutines && got.fds == last.fds && got.temp == 0 {
			w.rest = got
			return nil
		}
		last = got
		if !wait(ctx, time.Second) {
			break
		}
	}
	return fmt.Errorf("no rest of Caddy after its start: %+v", last)
}

// What may be left when the load has gone: a goroutine that a cache or a runtime
// keeps, and the socket that asks.
const (
	spareGoroutines = 10
	spareFiles      = 3
	restTime        = 90 * time.Second
)

// settleAgain waits until the process has what it had before the load.
func (w *watch) settleAgain(ctx context.Context) error {
	begin := time.Now()
	for {
		got, err := w.take(ctx, true)
		if err == nil {
			w.end, w.settled = got, time.Since(begin)
			if got.temp == 0 && got.goroutines <= w.rest.goroutines+spareGoroutines && got.fds <= w.rest.fds+spareFiles {
				return nil
			}
		}
		if time.Since(begin) > restTime || !wait(ctx, time.Second) {
			break
		}
	}
	w.s.book.violation("not given back %v after the load: %.0f goroutines (before: %.0f), %.0f open files (%.0f), %.0f temporary files",
		restTime, w.end.goroutines, w.rest.goroutines, w.end.fds, w.rest.fds, w.end.temp)
	if _, text, err := w.s.call(ctx, http.MethodGet, "/debug/pprof/goroutine?debug=1", "", nil); err == nil {
		fmt.Fprintf(os.Stderr, "%.20000s\n", text)
	}
	return ctx.Err()
}

// series is one curve of the graphs, and what flat means for it.
type series struct {
	name, unit string
	scale      float64 // of one unit
	of         func(sample) float64
	share      float64 // by which the last quarter may be above the second
	spare      float64 // and how much more, in units
	sparse     bool    // not every sample has it
}

func allSeries() []series {
	const mib = 1 << 20
	return []series{
		{"memory in use after a collection", "MiB", mib, func(s sample) float64 { return s.heap }, 0.20, 6, true},
		{"resident memory", "MiB", mib, func(s sample) float64 { return s.rss }, 0.20, 40, false},
		{"goroutines", "", 1, func(s sample) float64 { return s.goroutines }, 0.25, 40, false},
		{"open files", "", 1, func(s sample) float64 { return s.fds }, 0.25, 20, false},
		{"temporary files", "", 1, func(s sample) float64 { return s.temp }, 0.25, 5, false},
	}
}

// values are the samples of the load that have this.
func (w *watch) values(x series) (at []time.Time, v []float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, got := range w.samples {
		if !got.at.After(w.s.loadTo) && (!x.sparse || x.of(got) > 0) {
			at, v = append(at, got.at), append(v, x.of(got))
		}
	}
	return at, v
}

// quarter is the median of one quarter of the load, from 0 to 3.
func (w *watch) quarter(x series, n int) float64 {
	at, v := w.values(x)
	long := w.s.loadTo.Sub(w.s.loadFrom)
	var part []float64
	for i, t := range at {
		if q := int(4 * t.Sub(w.s.loadFrom) / long); min(q, 3) == n {
			part = append(part, v[i])
		}
	}
	return median(part)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// flatAfter is how long a load must last before its quarters can be compared:
// caches fill in the first minutes.
const flatAfter = 15 * time.Minute

// flat reports whether a series was, and its second and last quarter.
func (w *watch) flat(x series) (second, last float64, ok bool) {
	second, last = w.quarter(x, 1)/x.scale, w.quarter(x, 3)/x.scale
	return second, last, last <= second*(1+x.share)+x.spare
}
