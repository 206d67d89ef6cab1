package fleettest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience is how long a server may take to start.
const patience = 30 * time.Second

// Redis is a redis-server of a test.
type Redis struct {
	*Process
	t    testing.TB
	Addr string
	Dir  string
	TLS  *tls.Config // of its clients; nil without TLS
	args []string
}

// StartRedis runs a redis-server on a free port, which keeps nothing on disk
// unless the arguments say so.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	return StartRedisAt(t, nil, fmt.Sprintf("127.0.0.1:%d", FreePort(t, "127.0.0.1")), args...)
}

// StartRedisAt is StartRedis at an address. With a TLS configuration it listens
// with TLS only; the arguments say with which certificate.
func StartRedisAt(t testing.TB, secure *tls.Config, addr string, args ...string) *Redis {
	t.Helper()
	r := &Redis{t: t, Addr: addr, Dir: t.TempDir(), TLS: secure}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	plain, encrypted := port, "0"
	if secure != nil {
		plain, encrypted = "0", port
	}
	r.args = append([]string{"--bind", host, "--port", plain, "--dir", r.Dir, "--save", "", "--appendonly", "no"}, args...)
	if secure != nil {
		r.args = append(r.args, "--tls-port", encrypted)
	}
	r.Restart()
	return r
}

// Restart starts the server once it was killed, with what it finds in Dir.
func (r *Redis) Restart() {
	r.t.Helper()
	program := "redis-server"
	if _, err := exec.LookPath(program); err != nil {
		r.t.Fatal("redis-server is missing; install Debian's package redis-server")
	}
	r.Process = Start(r.t, nil, program, r.args...)
	Until(r.t, "redis-server to answer at "+r.Addr, patience, func() bool {
		answer, err := r.try("PING")
		return err == nil && answer != "" // an error is an answer too
	})
}

// Do sends a command and returns the first line of its answer.
func (r *Redis) Do(args ...string) string {
	r.t.Helper()
	answer, err := r.try(args...)
	if err != nil {
		r.t.Errorf("redis: %v: %v", args, err)
	}
	return answer
}

// Ask is Do where the answer may be missing.
func (r *Redis) Ask(args ...string) string {
	answer, _ := r.try(args...)
	return answer
}

func (r *Redis) try(args ...string) (string, error) {
	var conn net.Conn
	var err error
	dialer := &net.Dialer{Timeout: time.Second}
	if r.TLS != nil {
		conn, err = tls.DialWithDialer(dialer, "tcp", r.Addr, r.TLS)
	} else {
		conn, err = dialer.Dial("tcp", r.Addr)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "$") && !strings.HasPrefix(line, "$-1") {
		line, err = in.ReadString('\n')
	}
	return strings.TrimSpace(line), err
}
