// Package fleettest runs the processes of a fleet in tests: Redis, and programs
// of ours. They end with the test, also where it is killed.
package fleettest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program.
type Process struct {
	t     testing.TB
	pid   int
	stdin io.Closer
	done  chan struct{} // closed when it has ended
	once  sync.Once
}

// guard starts a program, prints its process ID, and kills it when our end of
// the pipe closes, which the kernel does if we die.
const guard = `exec 3<&0; "$@" </dev/null >/dev/null 2>&1 & p=$!; echo $p
(read _ <&3; kill -9 $p 2>/dev/null) & wait $p`

// Start runs a program with further environment variables until the test ends.
func Start(t testing.TB, env []string, program string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", guard, "sh", program}, args...)...)
	cmd.Env = append(cmd.Environ(), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	pid, err2 := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || err2 != nil {
		t.Fatalf("%s: no process ID: %v %v", program, err, err2)
	}
	p := &Process{t: t, pid: pid, stdin: stdin, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the process at once, and waits for its end.
func (p *Process) Kill() {
	p.once.Do(func() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		_ = p.stdin.Close()
	})
	<-p.done
}

// Pause stops the process where it is, Continue lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil {
		p.t.Errorf("signal %s: %v", s, err)
	}
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// FreePort returns a port of an address that nobody listens on.
func FreePort(t testing.TB, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Until waits for a condition, and fails the test where it does not come.
func Until(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(fmt.Sprintf("waited for %s in vain: ", limit) + what)
}
