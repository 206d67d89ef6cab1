//go:build linux

// Command soak runs one Caddy with captcha under honest and hostile load, with
// reloads, drills, provider faults and clients that go away, and holds it to the
// promises of the design all the time.
//
//	go -C bench run ./soak [flags]
//
// Everything is on 127.0.0.1. It ends by itself, takes its Caddy with it, and
// exits with 1 where a promise was broken or a resource was not given back.
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
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	time   time.Duration
	rate   int
	reload time.Duration
	race   bool
	caddy  string
	docs   string
	keep   string
	redis  string
}

func init() {
	// Children are told to die with the thread that started them. The main
	// thread lives as long as the process.
	runtime.LockOSThread()
}

func main() {
	o, err := parseFlags()
	if err == nil {
		err = runBounded(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// runBounded ends a hang, and what it is told to end.
func runBounded(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.time+10*time.Minute)
	defer cancel()
	return run(ctx, o)
}

func parseFlags() (options, error) {
	var o options
	flag.DurationVar(&o.time, "time", 30*time.Minute, "how long the load lasts")
	flag.IntVar(&o.rate, "rate", 120, "requests per second in all, at most")
	flag.DurationVar(&o.reload, "reload", 10*time.Second, "time between two reloads")
	flag.BoolVar(&o.race, "race", false, "build Caddy with the race detector")
	flag.StringVar(&o.caddy, "caddy", "", "Caddy binary with the plugin (default: built from ../cmd/caddy)")
	flag.StringVar(&o.docs, "docs", "", "write reliability.md and reliability.svg into this directory, such as ../docs")
	flag.StringVar(&o.keep, "log", "", "keep Caddy's log in this file")
	flag.StringVar(&o.redis, "redis", "", "address of a Redis to claim in (default: Caddy's own memory)")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case o.time < 10*time.Second || o.time > 24*time.Hour:
		return o, errors.New("time must be from 10s to 24h")
	case o.rate < 1 || o.rate > 1000 || o.reload < time.Second:
		return o, errors.New("rate must be from 1 to 1000, reload at least 1s")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "captcha-soak-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.caddy == "" {
		o.caddy = filepath.Join(dir, "caddy")
		if err := build(ctx, o.caddy, o.race); err != nil {
			return err
		}
	}
	s := &soak{options: o, dir: dir, commit: commit(), began: time.Now(), book: newBook(), pace: make(chan struct{})}
	defer s.close()
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	s.judge()
	if s.keep != "" {
		if text, err := os.ReadFile(s.caddy.logFile); err == nil {
			_ = os.WriteFile(s.keep, text, 0o600)
		}
	}
	if err := s.report(os.Stdout); err != nil {
		return err
	}
	if n := s.book.broken(); n > 0 {
		return fmt.Errorf("%d times something was not as it should be; see above", n)
	}
	return nil
}
