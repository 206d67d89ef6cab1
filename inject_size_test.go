package captcha_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	captcha "github.com/caddy-captcha/caddy-captcha"
	"github.com/caddy-captcha/caddy-captcha/web"
)

// TestInjectIsSmall: what every page of a site carries stays below 10 KB, with the
// solver, whatever the chain: any provider, with any other as its fallback, and the
// proof of work behind them. TestEveryProviderHasAnExample sees that none is missing.
func TestInjectIsSmall(t *testing.T) {
	limits := []int{7_700, 9_700, 10_000} // by the length of the chain
	providers := exampleProviders(t)
	pow := map[string]any{"name": "pow"}
	if err := caddy.Load(confine(t, []byte("{}")), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	largest := make([]int, len(limits))
	measure := func(name string, chain ...map[string]any) {
		size := zipped(t, injectedScript(t, chain))
		if limit := limits[len(chain)-1]; size > limit {
			t.Errorf("%s: %d bytes gzipped, want at most %d", name, size, limit)
		}
		if size > largest[len(chain)-1] {
			largest[len(chain)-1] = size
			t.Logf("a chain of %d: %s: %d bytes gzipped", len(chain), name, size)
		}
	}
	measure("pow", pow)
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		measure(name, providers[name], pow)
		for _, other := range slices.Sorted(maps.Keys(providers)) {
			if other != name {
				measure(name+", "+other, providers[name], providers[other], pow)
			}
		}
	}
}

// exampleProviders are the configurations of the network's providers in the
// examples, by their folders.
func exampleProviders(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := make(map[string]map[string]any)
	for name, list := range providerExamples {
		for _, e := range list {
			if e.folder == "" {
				e.folder = "providers/" + name
			}
			text := readFile(t, filepath.Join("examples", e.folder, "Caddyfile"))
			setEnv(t, text)
			eachHandler(t, adapt(t, "Caddyfile", text), func(handler map[string]any) {
				options := handler["provider"].(map[string]any)
				resolve(options)
				all[e.folder] = options
			})
		}
	}
	return all
}

// injectedScript is the script that a handler with this chain puts into a page.
func injectedScript(t *testing.T, chain []map[string]any) string {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.ActiveContext())
	defer cancel()
	config, err := json.Marshal(map[string]any{"provider": chain[0], "fallbacks": chain[1:]})
	if err != nil {
		t.Fatal(err)
	}
	mod, err := ctx.LoadModuleByID("http.handlers.captcha_inject", config)
	if err != nil {
		t.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Sec-Fetch-Dest", "document")
	page := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, err := w.Write([]byte("<!doctype html><body>"))
		return err
	})
	if err := mod.(*captcha.Injector).ServeHTTP(w, r, page); err != nil {
		t.Fatal(err)
	}
	_, script, ok := strings.Cut(w.Body.String(), "<script "+web.InjectMark+">")
	script, _, ended := strings.Cut(script, "</script>")
	if !ok || !ended {
		t.Fatalf("no script in %.300q", w.Body)
	}
	return script
}

func zipped(t *testing.T, text string) int {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}
