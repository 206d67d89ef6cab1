package captcha

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestServeListensHereOnly(t *testing.T) {
	for at, want := range map[string]string{
		"127.0.0.1:0": "", "[::1]:8080": "", "localhost:0": "", "127.1.2.3:1": "",
		"0.0.0.0:8080":     "write --serve 127.0.0.1:8080",
		":8080":            "write --serve 127.0.0.1:8080",
		"192.0.2.1:0":      "--allow-remote",
		"box.example:8080": "--allow-remote",
		"8080":             "such as --serve 127.0.0.1:0",
	} {
		if err := checkListen(at, false); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", at, err, want)
		}
	}
	if err := checkListen("0.0.0.0:8080", true); err != nil {
		t.Errorf("with --allow-remote: %v", err)
	}
	if code, err := runServe(t.Context(), io.Discard, ":0", false, ""); err == nil || code == caddy.ExitCodeSuccess {
		t.Errorf("%d, %v", code, err)
	}
}

// The page of a real server, asking a real Caddy through its Unix socket.
func TestServe(t *testing.T) {
	e := serve(t, chainSite(t, ""))
	world(t, nil, nil, passed)
	socket := "unix/" + filepath.Join(e.dir, "admin.sock")
	config := strings.Replace(string(e.adapt("", chainSite(t, ""))), `"admin":{"disabled":true,`, `"admin":{"listen":"`+socket+`",`, 1)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := runServe(ctx, out, "127.0.0.1:0", false, socket)
		ended <- errors.Join(err, out.Close())
	}()
	line := make([]byte, 200)
	n, err := in.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(string(line[:n]))
	page, status := pageText(t, url), pageText(t, url+"status")
	if !strings.Contains(page, "<title>CAPTCHA providers</title>") || !strings.Contains(status, `"name":"fake"`) {
		t.Errorf("%s\n%s", page, status)
	}
	_, token, _ := strings.Cut(page, `name="drill-token" content="`)
	p, _ := statusOf(t, "fake")
	drillByPage(t, url, token[:32], `{"provider":"`+p.ID+`","for":"10m"}`)
	if p, _ = statusOf(t, "fake"); !p.Drill {
		t.Error("no drill has begun")
	}
	drillByPage(t, url, token[:32], `{"provider":"`+p.ID+`"}`)
	if p, _ = statusOf(t, "fake"); p.Drill {
		t.Error("the drill has not ended")
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pageText gets a part of the status page.
func pageText(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s %v %s", url, resp.Status, err, body)
	}
	return string(body)
}

// drillByPage does what the buttons of the status page do.
func drillByPage(t *testing.T, url, token, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"drill", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://"+req.Host)
	req.Header.Set("Drill-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("%s: %s", body, resp.Status)
	}
}

// A Caddy that hangs costs a few goroutines, not one for each poll, and nobody
// waits for ever.
func TestAdminThatHangs(t *testing.T) {
	release := make(chan struct{})
	calls := make(chan struct{}, 100)
	c := newAdminClient(func(string, string, io.Reader) ([]byte, error) {
		calls <- struct{}{}
		<-release
		return []byte("late"), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 20)
	for range cap(answers) {
		go func() {
			_, err := c.Status(ctx)
			answers <- err
		}()
	}
	for range maxAdminCalls {
		<-calls
	}
	cancel()
	for range cap(answers) {
		if err := <-answers; !errors.Is(err, errAdminSilent) {
			t.Error(err)
		}
	}
	if n := len(calls); n > 0 {
		t.Errorf("%d more calls were made than %d", n, maxAdminCalls)
	}
	close(release)
	if body, err := c.Status(t.Context()); err != nil || string(body) != "late" {
		t.Errorf("%s, %v", body, err)
	}
}
