//go:build fleet

package captcha_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// caddyBinary is cmd/caddy, built once.
var caddyBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "captcha-fleet-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "caddy")
	out, err := exec.Command("go", "build", "-race", "-o", name, "./cmd/caddy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if name, err := caddyBinary(); fleetWasBuilt.Load() && err == nil {
		_ = os.RemoveAll(filepath.Dir(name))
	}
	os.Exit(code)
}

var fleetWasBuilt atomic.Bool

// fleetOf is three real Caddy processes, with one Redis and one storage.
type fleetOf struct {
	t        *testing.T
	binary   string
	dir      string
	redis    *fleettest.Redis
	proxy    *fleettest.Proxy // between the nodes and Redis
	app      *entries
	provider *flaky
	nodes    [3]*caddyNode
}

type caddyNode struct {
	*fleettest.Process
	ip, site, config string
	port             int
	admin            *http.Client
}

// entries is the app: it counts who got in.
type entries struct {
	*httptest.Server
	mu    sync.Mutex
	token map[string][]string // the nodes that let a token in
	forms map[string]int
}

// flaky is a provider elsewhere that refuses every token, politely, or fails.
type flaky struct {
	*httptest.Server
	down  atomic.Bool
	calls atomic.Int64
}

func startFleet(t *testing.T, failure string) *fleetOf {
	t.Helper()
	fleetWasBuilt.Store(true)
	binary, err := caddyBinary()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleetOf{t: t, binary: binary, dir: t.TempDir(), redis: fleettest.StartRedis(t), app: newEntries(t), provider: newFlaky(t)}
	f.proxy = fleettest.StartProxy(t, f.redis.Addr)
	for i := range f.nodes {
		ip := fmt.Sprintf("127.0.0.%d", i+1)
		n := &caddyNode{ip: ip, port: fleettest.FreePort(t, ip), config: filepath.Join(f.dir, fmt.Sprintf("Caddyfile-%d", i+1))}
		n.site = fmt.Sprintf("http://%s:%d", ip, n.port)
		socket := filepath.Join(f.dir, fmt.Sprintf("admin-%d", i+1))
		n.admin = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}}
		f.nodes[i] = n
		if err := os.WriteFile(n.config, []byte(f.caddyfile(i, failure, socket)), 0o600); err != nil {
			t.Fatal(err)
		}
		f.start(n)
	}
	f.untilShared()
	return f
}

func (f *fleetOf) caddyfile(i int, failure, socket string) string {
	return fmt.Sprintf(`{
	admin unix/%s
	persist_config off
	auto_https off
	grace_period 2s
	storage file_system %s/storage
	log {
		output file %s/log-%d
	}
	captcha {
		store redis {
			address %s
		}
		store_failure %s
	}
}
http://fleet.test:%d {
	bind 127.0.0.%d
	captcha /form* {
		provider pow {
			difficulty 1000
		}
	}
	captcha /provider* {
		provider turnstile {
			site_key 0x4AAAAAAAtest
			secret_key 0123456789abcdef
			verify_url %s/siteverify
		}
		bypass_check poll 2s {
			timeout 500ms
		}
	}
	reverse_proxy %s {
		header_up X-Node %d
	}
}
`, socket, f.dir, f.dir, i+1, f.proxy.Addr, failure, f.nodes[i].port, i+1, f.provider.URL, strings.TrimPrefix(f.app.URL, "http://"), i+1)
}

// start runs a node, and waits until it serves.
func (f *fleetOf) start(n *caddyNode) {
	f.t.Helper()
	env := []string{"XDG_DATA_HOME=" + f.dir, "XDG_CONFIG_HOME=" + f.dir, "HOME=" + f.dir}
	n.Process = fleettest.Start(f.t, env, f.binary, "run", "--config", n.config, "--adapter", "caddyfile")
	fleettest.Until(f.t, "a node to serve", time.Minute, func() bool {
		if n.Ended() {
			f.t.Fatalf("a node has ended: %s", n.config)
		}
		_, err := n.status()
		return err == nil
	})
}

type nodeStatus struct {
	Providers []struct {
		Name, State string
		Drill       bool
		Outages     []struct{ Evidence string }
	}
	Store struct {
		Kind string
		OK   bool
	}
}

func (n *caddyNode) status() (s nodeStatus, err error) {
	resp, err := n.admin.Get("http://admin/captcha/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&s)
	return s, err
}

// state is that of the provider elsewhere.
func (n *caddyNode) state() string {
	s, err := n.status()
	if err != nil {
		return ""
	}
	for _, p := range s.Providers {
		if p.Name == "turnstile" {
			return p.State
		}
	}
	return ""
}

func (n *caddyNode) storeOK() bool {
	s, err := n.status()
	return err == nil && s.Store.Kind == "redis" && s.Store.OK
}

// untilShared waits until every node has its store, and the first second of a new
// memory is over.
func (f *fleetOf) untilShared() {
	f.t.Helper()
	fleettest.Until(f.t, "the nodes to share the store", time.Minute, func() bool {
		for _, n := range f.nodes {
			if !n.storeOK() {
				return false
			}
		}
		return true
	})
	fleettest.Until(f.t, "a token to count", time.Minute, func() bool {
		token, err := f.nodes[0].token()
		return err == nil && f.nodes[1].enter(token, "warm-up", "warm-up") == entered
	})
}

func (f *fleetOf) reload(n *caddyNode, change int) error {
	text, err := os.ReadFile(n.config)
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("reverse_proxy"), fmt.Appendf(nil, "header X-Reload %d\n\treverse_proxy", change), 1)
	resp, err := n.admin.Post("http://admin/load", "text/caddyfile", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

func newEntries(t *testing.T) *entries {
	e := &entries{token: make(map[string][]string), forms: make(map[string]int)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil {
			e.mu.Lock()
			e.token[r.Form.Get("token")] = append(e.token[r.Form.Get("token")], r.Header.Get("X-Node"))
			e.forms[r.Form.Get("form")]++
			e.mu.Unlock()
		}
		fmt.Fprint(w, "in")
	}))
	t.Cleanup(e.Close)
	return e
}

// forget makes room for another load's names.
func (e *entries) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.token, e.forms = make(map[string][]string), make(map[string]int)
}

func newFlaky(t *testing.T) *flaky {
	p := new(flaky)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.calls.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"success":false,"error-codes":["invalid-input-response"]}`)
	}))
	t.Cleanup(p.Close)
	return p
}
