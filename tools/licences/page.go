package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// reasons says why each direct dependency is there.
var reasons = map[string]string{
	"github.com/caddyserver/caddy/v2":     "the server that this is a module of",
	"github.com/caddyserver/certmagic":    "the interface of Caddy's storage, where the signing keys are",
	"github.com/dgraph-io/ristretto/v2":   "a cache that stays within its bounds under a flood of keys that clients choose",
	"github.com/dustin/go-humanize":       "sizes in a Caddyfile, read as Caddy reads them",
	"github.com/klauspost/compress":       "tests: pages as Caddy compresses them",
	"github.com/prometheus/client_golang": "metrics, in Caddy's registry",
	"github.com/quic-go/quic-go":          "tests: a client of HTTP/3",
	"github.com/redis/rueidis":            "`store redis`: cluster, sentinel, TLS, client-side caching",
	"github.com/spf13/cobra":              "the form that Caddy's commands have",
	"go.uber.org/goleak":                  "tests: no goroutine is left",
	"go.uber.org/zap":                     "Caddy's log",
	"golang.org/x/crypto":                 "ChaCha20-Poly1305 for sealed forms; Argon2 and scrypt for ALTCHA's puzzles",
	"golang.org/x/net":                    "the tokenizer of HTML; a listener that limits its connections; tests: frames of HTTP/2",
	"golang.org/x/term":                   "whether `captcha status` writes to a terminal",
	"golang.org/x/text":                   "which language a visitor reads",
}

const head = `# Dependencies

<!-- Made by tools/licences. Do not edit: run go -C tools run ./licences -update -->

What is linked into [cmd/caddy](../cmd/caddy/main.go), Caddy with its standard modules, this module and its Redis store, on Linux, macOS, Windows and
FreeBSD, with the licences that were found in each module's files. ` + "`./test.sh licences`" + ` makes this page, and fails where a licence is missing, is
not known, or is none of these, which may be linked into a program under the [Apache License 2.0](../LICENSE): %s. Go
and its standard library are under BSD-3-Clause.

## Direct dependencies

Those that Caddy links anyway cost nothing more.

| Module | Linked by Caddy itself | What for |
|---|---|---|
`

const all = `
## All that is linked

A notice is a file NOTICE, which goes along where a binary is passed on.

| Module | Version | Licence |
|---|---|---|
`

// render makes the page.
func render(root string, linked []*module) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, head, strings.Join(accepted, ", "))
	if err := direct(&b, root); err != nil {
		return nil, err
	}
	b.WriteString(all)
	for _, m := range linked {
		licence := strings.Join(m.licences, ", ")
		if m.notice {
			licence += ", with a notice"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.Path, m.Version, licence)
	}
	return b.Bytes(), nil
}

// direct lists what go.mod requires for code of ours.
func direct(b *bytes.Buffer, root string) error {
	file := filepath.Join(root, "go.mod")
	text, err := os.ReadFile(file) //nolint:gosec // in the repository
	if err != nil {
		return err
	}
	mod, err := modfile.Parse(file, text, nil)
	if err != nil {
		return err
	}
	caddy, err := modulesOf(root, "github.com/caddyserver/caddy/v2/modules/standard")
	if err != nil {
		return err
	}
	with := make(map[string]bool)
	for _, m := range caddy {
		with[m.Path] = true
	}
	var bad []error
	n := 0
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		n++
		why := reasons[r.Mod.Path]
		if why == "" {
			bad = append(bad, fmt.Errorf("%s is required directly: say why in tools/licences/page.go", r.Mod.Path))
		}
		anyway := "no"
		switch {
		case with[r.Mod.Path]:
			anyway = "yes"
		case strings.HasPrefix(why, "tests: "):
			anyway = "not linked"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", r.Mod.Path, anyway, why)
	}
	if n < len(reasons) && len(bad) == 0 {
		bad = append(bad, errors.New("tools/licences/page.go has a reason for what is not required directly"))
	}
	return errors.Join(bad...)
}
