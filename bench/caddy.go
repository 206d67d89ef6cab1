//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build builds the repository's Caddy.
func build(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "./cmd/caddy")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building ../cmd/caddy (run it as: go -C bench run .): %w", err)
	}
	return nil
}

// server is a Caddy process, or one that somebody else has started.
type server struct {
	pid    int       // 0 where it is not known
	cmd    *exec.Cmd // nil where it is not ours
	log    bytes.Buffer
	exited chan struct{}
	admin  string

	proxy   string // address of the reverse proxy; with captcha on /form*
	cleared string // the same, with clearances
	outage  string // the same, with a provider that is down and pow behind it
	files   string // address of a file server of dir/www
	pages   string // the same, with captcha_inject
	through string // the reverse proxy with captcha_inject
	shaped  string // the file server with Caddy's templates
	lined   string // the reverse proxy; with lines of Caddy's own instead of captcha
	beside  string // the reverse proxy and nothing else
	secure  string // the same as cleared, over TLS
}

// launch runs a Caddy with the sites of a Caddyfile. ready is an address of one of them.
func (b *bench) launch(ctx context.Context, s *server, name, sites, ready string, admin bool) error {
	home, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return err
	}
	endpoint := "off"
	if admin {
		if s.admin, err = freeAddress(); err != nil {
			return err
		}
		endpoint = s.admin
	}
	global := fmt.Sprintf(globalLines, endpoint, filepath.Join(home, "storage"))
	config := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(config, []byte(global+sites), 0o600); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	s.cmd = exec.Command(b.caddy, "run", "--config", config)
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.procs), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "HOME="+home, "TMPDIR="+home)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.pid = s.cmd.Process.Pid
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	if err := s.await(ctx, ready); err != nil {
		s.stop()
		return fmt.Errorf("%s: %w\n%s", name, err, s.log.String())
	}
	return nil
}

const globalLines = `{
	admin %s
	default_bind 127.0.0.1
	persist_config off
	auto_https disable_redirects
	skip_install_trust
	storage file_system %s
	log {
		level ERROR
		exclude captcha.bypass
	}
}
`

// await waits until s takes connections at addr, and has a certificate where it needs one.
func (s *server) await(ctx context.Context, addr string) error {
	for range 300 {
		c, err := s.dial(addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("this Caddy has ended: %v", s.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("no answer on %s", addr)
}

func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// cpu is the time that all threads of s have spent on a core.
func (s *server) cpu() (time.Duration, error) {
	if s.pid == 0 {
		return 0, nil
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d has ended, or this kernel has no schedstat: %s", s.pid, s.log.String())
	}
	var sum time.Duration
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has just ended
		}
		onCore, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(onCore, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// peak is the most memory that s has had resident, in bytes.
func (s *server) peak() (int64, error) { return s.status("VmHWM:") }

// resident is the memory that s has now.
func (s *server) resident() (int64, error) { return s.status("VmRSS:") }

func (s *server) status(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/status", name, s.pid)
}

// given are the addresses that freeAddress has returned: a system gives a port that
// was closed to whoever asks next.
var given = make(map[string]bool)

// freeAddress returns an address that nobody listens at, each once.
func freeAddress() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		_ = l.Close()
		if !given[addr] {
			given[addr] = true
			return addr, nil
		}
	}
}
