package captcha

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/store"
	"github.com/caddy-captcha/caddy-captcha/store/memory"
)

// App holds what outlives a request and is shared by all captcha handlers: the
// signing keys, the store of spent tokens, and the room that request bodies
// may take. It needs no configuration and is there as soon as a handler is.
type App struct {
	// StoreRaw configures where spent tokens and the counts of clearances are
	// kept. Default: memory, which survives config reloads, not restarts.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=captcha.stores inline_key=name"`

	// StoreFailure is what happens while a store other than memory does not
	// answer. With `local` this node goes on alone: a token counts once on each
	// node that is alone, and one from before is asked for anew where that can
	// be known. With `deny` a request that needs the store is answered with 503.
	// Either way the node notices the store's return by itself. Default: local.
	StoreFailure string `json:"store_failure,omitempty"`

	// MaxSpill is how many bytes the temporary files of all requests together
	// may take. Of a network (/24 or /48) that is not a private one, several
	// requests get half of it at most. Beyond it, a request that needs one is
	// answered with 503.
	// Default: 1 GiB.
	MaxSpill int64 `json:"max_spill,omitempty"`

	// Keys says how the signing keys are kept. Default: as its fields say.
	Keys *KeysConfig `json:"keys,omitempty"`

	store    *keeper
	keeperOf string // the key of store in its pool
	remote   store.Store
	shared   *shared
	ctx      caddy.Context
	logger   *zap.Logger
	acquired bool    // Cleanup lets go of what Provision took, once
	links    []*link // of the handlers of this config
	handlers []*Handler
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
		a.Keys.Rotate = caddy.Duration(keyring.DefaultRotate)
	}
	if a.StoreFailure == "" {
		a.StoreFailure = failureLocal
	}
	pooled, _, err := pool.LoadOrNew(poolKey, func() (caddy.Destructor, error) { return newShared(), nil })
	if err != nil {
		return err
	}
	a.shared, a.acquired = pooled.(*shared), true
	if a.reporter, err = newReporter(ctx); err != nil {
		return err
	}
	return a.loadStore(ctx)
}

// enforces reports whether a handler of this config enforces in a scope.
func (a *App) enforces(scope string) bool {
	return slices.ContainsFunc(a.handlers, func(h *Handler) bool { return h.Mode == modeEnforce && h.scope == scope })
}

// loadStore loads the configured store, and finds the keeper that survives
// reloads of the same one.
func (a *App) loadStore(ctx caddy.Context) error {
	raw := string(a.StoreRaw) // which loading takes away
	local, err := ctx.LoadModuleByID(store.Namespace+"."+defaultStoreName, nil)
	if err != nil {
		return fmt.Errorf("loading the store: %w", err)
	}
	mod := local
	if raw != "" {
		if mod, err = ctx.LoadModule(a, "StoreRaw"); err != nil {
			return fmt.Errorf("loading the store: %w", err)
		}
	}
	configured, ok := mod.(store.Store)
	if !ok {
		return fmt.Errorf("module %T is not a store", mod)
	}
	if _, isMemory := mod.(*memory.Memory); isMemory {
		raw = ""
	} else {
		a.remote = configured
	}
	pooled, known, err := keepers.LoadOrNew(raw, func() (caddy.Destructor, error) {
		return newKeeper(moduleName(mod), local.(store.Store)), nil
	})
	if err != nil {
		return err
	}
	a.store, a.keeperOf = pooled.(*keeper), raw
	if !known {
		a.useStore()
	}
	return nil
}

// useStore makes this config's store the one that is asked.
func (a *App) useStore() {
	if a.remote != nil {
		a.store.use(a.remote, a.StoreFailure == failureDeny, keeperReport{a.logger.Named("store"), a.storeFailed})
	}
}

// Validate checks the final values.
func (a *App) Validate() error {
	if a.MaxSpill < 0 {
		return fmt.Errorf("max_spill must not be negative, got %d", a.MaxSpill)
	}
	if a.StoreFailure != failureLocal && a.StoreFailure != failureDeny {
		return fmt.Errorf("store_failure must be local or deny, got %q", a.StoreFailure)
	}
	return a.Keys.validate()
}

func (k *KeysConfig) validate() error {
	if r := time.Duration(k.Rotate); r < keyring.MinRotate {
		return fmt.Errorf("keys: rotate must be at least 1h, got %s", r)
	}
	return nil
}

// Start begins to use the configured settings, now that the config is sure to
// run. The keys are loaded in the background: requests that need them wait,
// but a storage that is slow does not hold up the server.
func (a *App) Start() error {
	begun.Lock()
	defer begun.Unlock()
	begun.apps = append(begun.apps, a)
	a.run()
	return nil
}

// begun are the apps that were started and not stopped, the newest last: beside
// the one that runs, for a moment, the one that takes its place.
var begun struct {
	sync.Mutex
	apps []*App
}

// run makes this config's settings those that are used.
func (a *App) run() {
	a.shared.disk.limit.Store(a.MaxSpill)
	a.shared.keys.Start(keyring.Options{
		Storage: a.ctx.Storage(),
		Rotate:  time.Duration(a.Keys.Rotate),
		Logger:  a.logger.Named("keys"),
	})
	a.useStore()
	a.store.start()
	runningStore.Store(a.store)
	collectors.storeErrors.WithLabelValues(a.store.kind)
	a.startChecks()
	running.Store(a)
}

// storeFailed counts a failure of the store: one for each time that it goes away,
// and each claim for which it had no room.
func (a *App) storeFailed() { a.reporter.metrics.storeError(a.store.kind) }

// Stop ends nothing that is shared: it belongs to the next config too, and ends
// with the last config that uses it. Where a new config could not be started
// whole, Caddy stops it, and the one before goes on with its own settings.
func (a *App) Stop() error {
	begun.Lock()
	defer begun.Unlock()
	begun.apps = slices.DeleteFunc(begun.apps, func(other *App) bool { return other == a })
	if !running.CompareAndSwap(a, nil) {
		return nil
	}
	if n := len(begun.apps); n > 0 {
		begun.apps[n-1].run()
	}
	return nil
}

// Cleanup releases what Provision acquired. Requests in flight go on using it.
func (a *App) Cleanup() error {
	if !a.acquired {
		return nil
	}
	a.acquired = false
	if a.store != nil {
		_, _ = keepers.Delete(a.keeperOf)
	}
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

// pool keeps shared alive from one config to the next, and keepers the stores.
var (
	pool    = caddy.NewUsagePool()
	keepers = caddy.NewUsagePool()
)

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
		Shared:        a.store.shared(),
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
