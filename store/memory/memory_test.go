package memory

import (
	"context"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func provisioned(t *testing.T) *Memory {
	t.Helper()
	m := new(Memory).CaddyModule().New().(*Memory)
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func references(t *testing.T) int {
	t.Helper()
	n, _ := pool.References(poolKey{})
	return n
}

func cleanup(t *testing.T, m *Memory) {
	t.Helper()
	if err := m.Cleanup(); err != nil {
		t.Error(err)
	}
}

func claims(t *testing.T, m *Memory, key string) bool {
	t.Helper()
	ok, err := m.Claim(context.Background(), key, time.Now().Add(time.Hour))
	if err != nil {
		t.Error(err)
	}
	return ok
}

func TestModule(t *testing.T) {
	if _, err := caddy.GetModule("captcha.stores.memory"); err != nil {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	old := provisioned(t)
	since := old.Since()
	if !claims(t, old, "spent") {
		t.Fatal("the first claim failed")
	}

	// A reload: both live together, then the old one is cleaned up.
	fresh := provisioned(t)
	cleanup(t, old)
	if claims(t, fresh, "spent") {
		t.Error("a reload forgot a claim")
	}
	if !fresh.Since().Equal(since) {
		t.Error("a reload began a new memory")
	}
	if !claims(t, old, "in flight") || claims(t, fresh, "in flight") {
		t.Error("a request of the old config claims elsewhere")
	}

	// Cleaning up once more, or what was never provisioned, takes nothing.
	cleanup(t, old)
	cleanup(t, new(Memory))
	if n := references(t); n != 1 {
		t.Errorf("%d references, want that of the config that runs", n)
	}

	// A reload that fails after this module was provisioned.
	failed := provisioned(t)
	cleanup(t, failed)
	if claims(t, fresh, "spent") {
		t.Error("a failed reload forgot a claim")
	}

	// The last config goes; a request of its own is still on the way.
	cleanup(t, fresh)
	if n := references(t); n != 0 {
		t.Errorf("%d references are left", n)
	}
	if claims(t, fresh, "spent") {
		t.Error("a request in flight met an empty memory")
	}
	if err := fresh.Release(context.Background(), "spent"); err != nil {
		t.Error(err)
	}
	if n, err := fresh.Count(context.Background(), "c", time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}

	// What begins afterwards says so.
	anew := provisioned(t)
	defer cleanup(t, anew)
	if !anew.Since().After(since) {
		t.Error("a new memory says that it is the old one")
	}
}

func TestReloadInCaddy(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	mod, err := ctx.LoadModuleByID("captcha.stores.memory", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if !claims(t, mod.(*Memory), "spent") {
		t.Error("the first claim failed")
	}
	if n := references(t); n != 1 {
		t.Errorf("%d references", n)
	}
	if _, err := ctx.LoadModuleByID("captcha.stores.memory", []byte(`{"size":1}`)); err == nil {
		t.Error("an unknown member was accepted")
	}
	cancel()
	if n := references(t); n != 0 {
		t.Errorf("%d references are left", n)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for in, ok := range map[string]bool{
		"memory": true, "memory {\n}": true, "memory 5": false, "memory {\n size 5\n}": false,
	} {
		if err := new(Memory).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}
