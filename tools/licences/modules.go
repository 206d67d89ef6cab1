package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// platforms are those whose packages are looked at.
var platforms = []string{"linux", "darwin", "windows", "freebsd"}

// module is one that is linked.
type module struct {
	Path, Version, Dir string
	Main               bool

	packages []string // folders
	licences []string
	notice   bool
}

// modulesOf lists the modules that a package of the repository links, but its own.
func modulesOf(root, pkg string) ([]*module, error) {
	byPath := make(map[string]*module)
	for _, system := range platforms {
		cmd := exec.Command("go", "list", "-deps", "-json=Dir,Module", pkg) //nolint:gosec,noctx // a package that is named above, and nobody waits
		cmd.Dir, cmd.Stderr = root, os.Stderr
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", system, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				Dir    string
				Module *module
			}
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if p.Module == nil || p.Module.Main { // the standard library, or this module
				continue
			}
			if byPath[p.Module.Path] == nil {
				byPath[p.Module.Path] = p.Module
			}
			m := byPath[p.Module.Path]
			m.packages = append(m.packages, p.Dir)
		}
	}
	var all []*module
	for _, m := range byPath {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// folders are those of m's packages and all above them, up to m's own.
func (m *module) folders() []string {
	var all []string
	for _, dir := range append(m.packages, m.Dir) {
		for ; strings.HasPrefix(dir, m.Dir); dir = filepath.Dir(dir) {
			all = append(all, dir)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
