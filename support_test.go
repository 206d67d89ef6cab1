package captcha

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/provider/pow/powtest"
)

// solveIn solves the challenge in the captcha member of a problem document.
func solveIn(t *testing.T, captcha json.RawMessage) string {
	t.Helper()
	var p puzzle
	if err := json.Unmarshal(captcha, &p); err != nil {
		t.Fatalf("%v in %s", err, captcha)
	}
	return powtest.Solve(p.Challenge)
}

var sealInput = regexp.MustCompile(`name="?captcha-seal"?[^>]*value="?([A-Za-z0-9_-]+)`)

// sealIn returns what a challenge page carries.
func sealIn(t *testing.T, r reply) string {
	t.Helper()
	m := sealInput.FindSubmatch(r.body)
	if m == nil {
		t.Fatalf("%s: no seal in page: %.2000s", r.Status, r.body)
	}
	return html.UnescapeString(string(m[1]))
}

// testRing is a keyring on a storage that works.
func testRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring := keyring.New(time.Now)
	ring.Start(keyring.Options{Storage: &certmagic.FileStorage{Path: t.TempDir()}, Rotate: keyring.DefaultRotate, Logger: zap.NewNop()})
	t.Cleanup(ring.Close)
	return ring
}

func contextWithVars(r *http.Request, vars map[string]any) context.Context {
	return context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars)
}

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
