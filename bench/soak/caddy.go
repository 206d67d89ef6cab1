//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// build builds the repository's Caddy.
func build(ctx context.Context, binary string, race bool) error {
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/caddy")...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building ../cmd/caddy (run it as: go -C bench run ./soak): %w", err)
	}
	return nil
}

// server is the Caddy process.
type server struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	plain   string // its address for http
	secure  string // and for https
	admin   string
	home    string
	temp    string // the directory that it alone has for temporary files
	logFile string
}

// startCaddy runs Caddy with the first configuration.
func (s *soak) startCaddy(ctx context.Context) (*server, error) {
	c := &server{exited: make(chan struct{}), home: filepath.Join(s.dir, "home"), temp: filepath.Join(s.dir, "tmp"), logFile: filepath.Join(s.dir, "log")}
	for _, dir := range []string{c.home, c.temp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	for _, addr := range []*string{&c.plain, &c.secure, &c.admin} {
		if *addr, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	s.caddy = c
	config := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(s.caddyfile(0)), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c.cmd = exec.Command(s.options.caddy, "run", "--config", config, "--adapter", "caddyfile")
	c.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+c.home, "XDG_CONFIG_HOME="+c.home, "HOME="+c.home, "TMPDIR="+c.temp, "GORACE=halt_on_error=0")
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = c.cmd.Wait(); close(c.exited) }()
	for range 600 {
		if conn, err := net.Dial("tcp", c.secure); err == nil {
			return c, conn.Close()
		}
		if c.ended() || !wait(ctx, 100*time.Millisecond) {
			break
		}
	}
	text, _ := os.ReadFile(c.logFile)
	return c, fmt.Errorf("no answer of Caddy on %s: %s", c.secure, text)
}

func (c *server) ended() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

func (c *server) stop() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
