package captcha

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/store"
)

// App holds what outlives a request and is shared by all captcha handlers: the
// signing keys, the store of spent tokens, and the room that request bodies
// may take. It needs no configuration and is there as soon as a handler is.
type App struct {
	// StoreRaw configures where spent tokens and the counts of clearances are
	// kept. Default: memory, which survives config reloads, not restarts.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=captcha.stores inline_key=name"`

	// MaxSpill is how many bytes the temporary files of all requests together
	// may take. Beyond it, a request that needs one is answered with 503.
	// Default: 1 GiB.
	MaxSpill int64 `json:"max_spill,omitempty"`

	// Keys says how the signing keys are kept.
	Keys *KeysConfig `json:"keys,omitempty"`

	store    store.Store
	shared   *shared
	ctx      caddy.Context
	logger   *zap.Logger
	acquired bool    // Cleanup lets go of what Provision took, once
	links    []*link // of the handlers of this config
	reporter reporter
}

// KeysConfig says how the signing keys are kept. They live in Caddy's storage;
// nodes that share the storage share the keys.
type KeysConfig struct {
	// Rotate is how long a key signs before another one takes its place. What
	// it signed stays valid. At least 1h. Default: 30d.
	Rotate caddy.Duration `json:"rotate,omitempty"`
}

const (
	defaultMaxSpill  = 1 << 30
	defaultRotate    = 30 * 24 * time.Hour
	maxBodiesInMem   = 256 << 20
	defaultStoreName = "memory"
)

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "captcha", New: func() caddy.Module { return new(App) }}
}

// Provision loads the store. It touches neither network nor Caddy's storage.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, ctx.Logger()
	if a.MaxSpill == 0 {
		a.MaxSpill = defaultMaxSpill
	}
	if a.Keys == nil {
		a.Keys = new(KeysConfig)
	}
	if a.Keys.Rotate == 0 {
		a.Keys.Rotate = caddy.Duration(defaultRotate)
	}
	var mod any
	var err error
	if a.StoreRaw != nil {
		mod, err = ctx.LoadModule(a, "StoreRaw")
	} else {
		mod, err = ctx.LoadModuleByID(store.Namespace+"."+defaultStoreName, nil)
	}
	if err != nil {
		return fmt.Errorf("loading the store: %w", err)
	}
	a.store = mod.(store.Store)
	pooled, _, err := pool.LoadOrNew(poolKey, func() (caddy.Destructor, error) { return newShared(), nil })
	if err != nil {
		return err
	}
	a.shared, a.acquired = pooled.(*shared), true
	a.reporter, err = newReporter(ctx)
	return err
}

// Validate checks the final values.
func (a *App) Validate() error {
	if a.MaxSpill < 0 {
		return fmt.Errorf("max_spill must not be negative, got %d", a.MaxSpill)
	}
	if r := time.Duration(a.Keys.Rotate); r < time.Hour {
		return fmt.Errorf("keys: rotate must be at least 1h, got %s", r)
	}
	return nil
}

// Start begins to use the configured settings, now that the config is sure to
// run. The keys are loaded in the background: requests that need them wait,
// but a storage that is slow does not hold up the server.
func (a *App) Start() error {
	a.shared.disk.limit.Store(a.MaxSpill)
	a.shared.keys.Start(keyring.Options{
		Storage: a.ctx.Storage(),
		Rotate:  time.Duration(a.Keys.Rotate),
		Logger:  a.logger.Named("keys"),
	})
	kind := moduleName(a.store)
	runningStore.Store(&kind)
	a.startChecks()
	return nil
}

// storeFailed counts a failed operation of the store.
func (a *App) storeFailed() { a.reporter.metrics.storeError(moduleName(a.store)) }

// Stop does nothing: what is shared belongs to the next config too, and ends
// with the last config that uses it.
func (*App) Stop() error { return nil }

// Cleanup releases what Provision acquired. Requests in flight go on using it.
func (a *App) Cleanup() error {
	if !a.acquired {
		return nil
	}
	a.acquired = false
	_, err := pool.Delete(poolKey)
	return err
}

// shared is what survives a config reload.
type shared struct {
	budgets
	keys     *keyring.Ring
	refusals *refusals
	asked    *asked
	node     func() string
}

const poolKey = "captcha"

// pool keeps shared alive from one config to the next.
var pool = caddy.NewUsagePool()

func newShared() *shared {
	s := &shared{
		keys:     keyring.New(time.Now),
		refusals: new(refusals),
		asked:    new(asked),
		node:     sync.OnceValue(nodeName),
	}
	s.memory.limit.Store(maxBodiesInMem)
	s.disk.limit.Store(defaultMaxSpill)
	return s
}

// Destruct implements caddy.Destructor. Requests in flight may still use s.
func (s *shared) Destruct() error {
	s.keys.Close()
	s.refusals.close()
	s.asked.close()
	return nil
}

// nodeName derives a short public name from Caddy's instance ID, which is the
// same after a restart.
func nodeName() string {
	id, err := caddy.InstanceID()
	if err != nil {
		return "00000000"
	}
	sum := sha256.Sum256([]byte("caddy-captcha node " + id.String()))
	return hex.EncodeToString(sum[:4])
}

// env is what a provider is lent.
func (a *App) env(name string, testKeys bool, logger *zap.Logger) provider.Env {
	return provider.Env{
		Signer:        signer{a.shared.keys.Signer("provider " + name)},
		Now:           time.Now,
		Node:          a.shared.node,
		Since:         a.store.Since,
		AllowTestKeys: testKeys,
		Logger:        logger.Named(name),
	}
}

// signer gives a keyring's signer the errors of the provider contract.
type signer struct{ *keyring.Signer }

func (s signer) MAC(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	mac, err := s.Signer.MAC(ctx, keyID, message)
	if errors.Is(err, keyring.ErrUnknownKey) {
		err = provider.ErrUnknownKey
	}
	return mac, err
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
	_ caddy.Destructor   = (*shared)(nil)
)
