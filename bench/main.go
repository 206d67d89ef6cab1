//go:build linux

// Command bench measures what captcha costs. It runs Caddy as a plain
// reverse proxy and the same binary with captcha in front of the same upstream,
// and sends the same requests to both in short alternating slices, so that what
// else happens on the machine meets both alike.
//
//	go -C bench run . [flags]
//
// It talks to 127.0.0.1 only, ends by itself, and takes its servers with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	rounds      int
	restarts    int
	slice       time.Duration
	connections int
	tokens      int
	uploadMB    int
	uploads     int
	procs       int
	only        string
	sites       int
	slow        int
	warm        int
	caddy       string
	profile     string
	timeout     time.Duration

	upstream     string
	otherURL     string
	otherAddr    string // of otherURL
	otherPath    string
	otherHeaders headers
	otherPID     int
}

func init() {
	// Children are told to die with the thread that started them. The main
	// thread lives as long as the process.
	runtime.LockOSThread()
}

func main() {
	if err := benchmark(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func benchmark() error {
	o, err := parseFlags()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	return run(ctx, o)
}

func parseFlags() (options, error) {
	var o options
	var seconds float64
	flag.IntVar(&o.rounds, "rounds", 360, "how often each case is measured on both servers")
	flag.IntVar(&o.restarts, "restarts", 6, "how many pairs of new processes the rounds of a case are spread over")
	flag.IntVar(&o.warm, "warm", 6, "slices on each new process that do not count")
	flag.Float64Var(&seconds, "seconds", 0.05, "length of one slice of a round")
	flag.IntVar(&o.connections, "connections", 8, "keep-alive connections")
	flag.IntVar(&o.tokens, "tokens", 72000, "tokens that are spent, solved in advance; each opens one request")
	flag.IntVar(&o.uploadMB, "upload-mb", 2048, "size of the large upload")
	flag.IntVar(&o.uploads, "uploads", 5, "how many large uploads to each server")
	flag.IntVar(&o.procs, "procs", max(1, runtime.NumCPU()/2), "GOMAXPROCS of each Caddy; fewer than there are cores, or the load generator is what is measured")
	flag.IntVar(&o.sites, "sites", 1000, "idle sites; measured with a fifth of them, too")
	flag.IntVar(&o.slow, "slow", 10000, "slow uploads at once; each needs three open files, and up to 80 KB of disk for a minute")
	flag.StringVar(&o.only, "only", "", "comma-separated cases: "+strings.Join(caseNames(), ", "))
	flag.StringVar(&o.caddy, "caddy", "", "Caddy binary with the plugin (default: built from ../cmd/caddy)")
	flag.StringVar(&o.profile, "profile", "", "write pprof profiles into this directory and count allocations, instead of comparing")
	flag.StringVar(&o.upstream, "upstream", "", "address at which the upstream listens (default: any free port)")
	flag.StringVar(&o.otherURL, "other", "", "compare with this server, http://HOST:PORT, which is in front of the upstream, instead of the cases above")
	flag.StringVar(&o.otherPath, "other-path", "/form", "path that the other server is asked for")
	flag.Var(&o.otherHeaders, "other-header", "'Name: value' that lets a request pass at the other server; can be given again")
	flag.IntVar(&o.otherPID, "other-pid", 0, "process of the other server, to measure its CPU time")
	flag.DurationVar(&o.timeout, "timeout", time.Hour, "end in any case")
	flag.Parse()
	o.slice = time.Duration(seconds * float64(time.Second))
	switch {
	case flag.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case o.restarts < 1 || o.restarts > o.rounds:
		return o, errors.New("restarts must be from 1 to rounds")
	case o.rounds < 1 || o.warm < 1 || o.slice < 10*time.Millisecond || o.connections < 1 || o.procs < 1 || o.uploads < 1 || o.uploadMB < 1 || o.sites < 1 || o.slow < 1:
		return o, errors.New("rounds, connections, procs, uploads, upload-mb, sites, slow and warm must be at least 1, seconds at least 0.01")
	case o.tokens < o.rounds:
		return o, errors.New("tokens must be at least as many as rounds")
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if o.only != "" && !slices.Contains(caseNames(), name) {
			return o, fmt.Errorf("-only: there is no case %q; there are %s", name, strings.Join(caseNames(), ", "))
		}
	}
	err := o.parseOther()
	return o, err
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "captcha-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	describe(o)
	if o.caddy == "" {
		o.caddy = filepath.Join(dir, "caddy")
		if err := build(ctx, o.caddy); err != nil {
			return err
		}
	}
	up, err := newUpstream(o.upstream)
	if err != nil {
		return err
	}
	defer up.close()
	b := &bench{options: o, dir: dir, upstream: up}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	list := cases()
	if o.otherURL != "" {
		if list, err = b.otherCases(ctx); err != nil {
			return err
		}
	}
	var results []result
	for _, c := range list {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), c.name) || o.profile != "" && c.unprofiled() {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s ...\n", c.name)
		r, err := b.measure(ctx, c)
		if err != nil { // what was measured before it is told
			err = fmt.Errorf("%s: %w", c.name, errors.Join(err, context.Cause(ctx)))
			return errors.Join(err, b.tell(ctx, results))
		}
		results = append(results, r)
	}
	return b.tell(ctx, results)
}

func (b *bench) tell(ctx context.Context, results []result) error {
	switch {
	case b.profile != "":
		return b.reportProfiles(ctx, os.Stdout, results)
	case b.otherURL != "":
		reportOther(os.Stdout, results, b.otherPID != 0)
	default:
		report(os.Stdout, results)
	}
	return nil
}
