//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// slowKind is a way to upload slowly. What comes slowly is 1 KB a second, for
// slowSeconds.
type slowKind struct {
	name    string
	options string // of captcha
	early   int    // KB that are sent at once
	spilled int    // of how many there is a temporary file, at most
}

const slowSeconds = 10

func slowKinds() []slowKind {
	return []slowKind{
		{"4 KB at once", "", 4, 0},
		{"64 KB at once, `max_buffer 4KiB`", "max_buffer 4KiB", 64, math.MaxInt},
		{"256 KB at once", "", 256, 4096}, // as many as have room in memory
	}
}

// slowUploads measures the memory that very many forms with files need at once,
// whose token comes last: all of each has to be held until then.
func slowUploads(ctx context.Context, b *bench) (figure, error) {
	f := figure{limit: 1024, table: "| slow uploads | at once | | peak memory while they come, MB | until all are answered, MB | temporary files | forwarded | 503 | otherwise |\n" +
		"|---|--:|---|--:|--:|--:|--:|--:|--:|\n"}
	for i, kind := range slowKinds() {
		for _, name := range []string{"plain", "captcha"} {
			lines, more := "", math.MaxInt // plain Caddy has a connection to the upstream for each
			if name == "captcha" {
				lines = fmt.Sprintf("\n\tcaptcha /form* {\n\t\t%s\n\t\tprovider pow {\n\t\t\tdifficulty 1000\n\t\t}\n\t}", kind.options)
				more = kind.spilled
			}
			n, err := filesFor(b.slow, more)
			if err != nil {
				return f, err
			}
			got, err := b.slowUploads(ctx, n, kind, lines, fmt.Sprintf("slow.%d.%s", i, name))
			if err != nil {
				return f, fmt.Errorf("%s, %s: %w", kind.name, name, err)
			}
			f.table += fmt.Sprintf("| %s | %d | %s | %s | %s | %d | %d | %d | %d |\n", kind.name, n, name,
				inMB(got.coming), inMB(got.peak), got.files, got.statuses[200], got.statuses[503], n-got.statuses[200]-got.statuses[503])
			if lines != "" {
				f.value = max(f.value, float64(got.peak)/mb)
			}
		}
	}
	return f, nil
}

// filesFor lets this process, and those that it starts, open a file for each of n
// uploads, and another one for at most more of them. It returns for how many
// uploads that is enough: only root may raise the hard limit.
func filesFor(n, more int) (int, error) {
	const besides = 600
	need := uint64(n + min(n, more) + besides)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	raised := syscall.Rlimit{Cur: max(limit.Cur, need), Max: max(limit.Max, need)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return n, nil
	}
	limit.Cur = limit.Max
	room := int(limit.Max) - besides
	n = min(n, max(room/2, room-more))
	fmt.Fprintf(os.Stderr, "  the hard limit of open files, %d, is enough for %d\n", limit.Max, n)
	if n < 1 {
		return 0, errors.New("too few open files are allowed: raise ulimit -Hn")
	}
	return n, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// All begin within seconds, on a machine that may be busy.
const slowSite = `http://%s {%s
	reverse_proxy %s {
		transport http {
			dial_timeout 30s
		}
	}
}
`

// slowly is what the slow uploads of one server have shown.
type slowly struct {
	coming, peak int64 // memory, in bytes
	files        int   // temporary files at the end
	statuses     map[int]int
}

func (b *bench) slowUploads(ctx context.Context, n int, kind slowKind, lines, name string) (slowly, error) {
	got := slowly{statuses: make(map[int]int)}
	addr, err := freeAddress()
	if err != nil {
		return got, err
	}
	s := new(server)
	if err := b.launch(ctx, s, name, fmt.Sprintf(slowSite, addr, lines, b.upstream.addr), addr, true); err != nil {
		return got, err
	}
	defer s.stop()
	list := make([]string, n)
	if lines != "" {
		if list, err = tokens(ctx, addr, n); err != nil {
			return got, err
		}
	}
	uploads := make([]*slowUpload, n)
	defer func() {
		for _, u := range uploads {
			u.close()
		}
	}()
	form := newSlowForm(addr, kind.early)
	err = all(ctx, n, func(i int) (err error) {
		uploads[i], err = form.begin(addr, i)
		time.Sleep(slowWorkers * time.Second / 2000) // 2000 a second: a queue of connections to accept holds 4096
		return err
	})
	if err != nil {
		return got, err
	}
	if err = trickle(ctx, uploads); err == nil {
		got.coming, err = s.peak()
	}
	if err != nil {
		return got, err
	}
	if got.files, err = s.temporaryFiles(); err != nil {
		return got, err
	}
	if b.profile != "" {
		if _, err := b.held(ctx, s, name); err != nil {
			return got, err
		}
	}
	if err = got.finish(ctx, uploads, list, name); err == nil {
		got.peak, err = s.peak()
	}
	return got, err
}

// finish sends the rest of all uploads, with their tokens, and counts the answers.
func (s *slowly) finish(ctx context.Context, uploads []*slowUpload, list []string, name string) error {
	err := all(ctx, len(uploads), func(i int) error {
		uploads[i].end(list[i])
		return nil
	})
	if err != nil {
		return err
	}
	for _, u := range uploads {
		s.statuses[u.status]++
		err = cmp.Or(err, u.err)
	}
	if s.statuses[200]+s.statuses[503] != len(uploads) { // a busy machine sends too slowly, which is 408
		fmt.Fprintf(os.Stderr, "  %s: answers by status, 0 for none: %v %v\n", name, s.statuses, err)
	}
	return nil
}

const slowWorkers = 64

// all runs do for 0 to n-1, some at a time.
func all(ctx context.Context, n int, do func(int) error) error {
	var errs [slowWorkers]error
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += slowWorkers {
				if errs[w] = ctx.Err(); errs[w] == nil {
					errs[w] = do(i)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// trickle sends a KB of each upload every second.
func trickle(ctx context.Context, uploads []*slowUpload) error {
	kb := []byte(strings.Repeat("x", 1<<10))
	begin := time.Now()
	for second := range slowSeconds {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(begin.Add(time.Duration(second) * time.Second))):
		}
		for _, u := range uploads {
			u.write(kb)
		}
	}
	time.Sleep(time.Second) // let the last of it arrive
	return nil
}

// temporaryFiles counts those that s has open.
func (s *server) temporaryFiles() (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", s.pid)
	entries, err := os.ReadDir(dir)
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.Contains(target, "caddy-captcha-") {
			n++
		}
	}
	return n, err
}
