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

// server is a Caddy process.
type server struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{}

	proxy   string // address of the reverse proxy; with captcha on /form*
	cleared string // the same, with clearances
	outage  string // the same, with a provider that is down and pow behind it
	files   string // address of a file server of dir/www
	pages   string // the same, with captcha_inject
	through string // the reverse proxy with captcha_inject
	shaped  string // the file server with Caddy's templates
	admin   string
}

// What stands in front of the reverse proxies. Tokens are few hashes, which
// costs the client less and the server the same.
const (
	captchaLines = `
	captcha /form* {
		provider pow {
			difficulty 1000
			expires 24h
		}
	}`
	clearedLines = `
	captcha /form* {
		clearance 24h
		provider pow {
			difficulty 1000
			expires 24h
		}
	}`
)

// outageLines name a provider at a port where nobody listens.
const outageLines = `
	captcha /form* {
		provider turnstile {
			site_key 0x4AAAAAAAbench
			secret_key 0x4AAAAAAAbench-secret
			verify_url http://127.0.0.1:1/siteverify
		}
		fallback pow {
			difficulty 1000
			expires 24h
		}
		bypass_check passive {
			fails 1
		}
	}`

// start runs a Caddy, with captcha or without.
func (b *bench) start(ctx context.Context, name string, captcha bool) (*server, error) {
	s := &server{exited: make(chan struct{})}
	home, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return nil, err
	}
	for _, addr := range []*string{&s.proxy, &s.cleared, &s.outage, &s.files, &s.pages, &s.through, &s.shaped, &s.admin} {
		if *addr, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	admin, first, second, third, inject := "off", "", "", "", ""
	if b.profile != "" {
		admin = s.admin
	}
	if captcha {
		first, second, third, inject = captchaLines, clearedLines, outageLines, captchaLines+"\n\tcaptcha_inject"
	}
	config := filepath.Join(home, "Caddyfile")
	text := fmt.Sprintf(`{
	admin %s
	default_bind 127.0.0.1
	persist_config off
	auto_https off
	storage file_system %s
	log {
		level ERROR
		exclude captcha.bypass
	}
}
http://%s {%s
	reverse_proxy %s
}
http://%s {%s
	reverse_proxy %s
}
http://%s {%s
	reverse_proxy %s
}
http://%s {
	root %s
	file_server
}
http://%s {%s
	root %s
	file_server
}
http://%s {%s
	reverse_proxy %s
}
http://%s {
	root %s
	templates
	file_server
}
`, admin, filepath.Join(home, "storage"), s.proxy, first, b.upstream.addr, s.cleared, second, b.upstream.addr, s.outage, third, b.upstream.addr, s.files, b.www(),
		s.pages, inject, b.www(), s.through, inject, b.upstream.addr, s.shaped, b.www())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(b.caddy, "run", "--config", config)
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.procs), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "HOME="+home)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w\n%s", name, err, s.log.String())
	}
	return s, nil
}

// await waits until s takes connections.
func (s *server) await(ctx context.Context) error {
	for range 300 {
		c, err := net.Dial("tcp", s.files)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("Caddy has ended: %v", s.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("Caddy does not answer on %s", s.files)
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// cpu is the time that all threads of s have spent on a core.
func (s *server) cpu() (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("Caddy has ended, or this kernel has no schedstat: %s", s.log.String())
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
func (s *server) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/%d/status", s.cmd.Process.Pid)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
