// Command licences lists what is linked into cmd/caddy on the platforms that people
// run it on, with the licences, as docs/dependencies.md. It fails where a licence is
// missing, is not known, or does not go together with Apache-2.0, and where nobody
// has written down why a direct dependency is there.
//
//	go -C tools run ./licences          # compare
//	go -C tools run ./licences -update  # write
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

const page = "docs/dependencies.md"

// accepted are licences whose code may be linked into a program under Apache-2.0.
// MPL-2.0 asks for the sources of its own files, changed ones too; ours are not
// changed, and public. OFL-1.1 is that of a font.
var accepted = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-2-Clause-Views", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "OFL-1.1", "Unlicense", "Zlib",
}

// known is how much of a licence file must be a licence's text, in percent. The rest
// are names of files, and who has the copyright.
const known = 70

func main() {
	update := flag.Bool("update", false, "write "+page)
	root := flag.String("root", "..", "the root of the repository")
	flag.Parse()
	if err := run(*root, *update); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(root string, update bool) error {
	linked, err := modulesOf(root, "./cmd/caddy")
	if err != nil {
		return err
	}
	var bad []string
	for _, m := range linked {
		if err := m.readLicences(); err != nil {
			bad = append(bad, err.Error())
		}
	}
	text, err := render(root, linked)
	if err != nil {
		bad = append(bad, err.Error())
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d findings:\n%s", len(bad), strings.Join(bad, "\n"))
	}
	file := filepath.Join(root, page)
	if update {
		return os.WriteFile(file, text, 0o644) //nolint:gosec // a page for everybody
	}
	if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, text) { //nolint:gosec // in the repository
		return fmt.Errorf("%s is stale: run go -C tools run ./licences -update", page)
	}
	fmt.Println(len(linked), "modules are linked into cmd/caddy, each with a licence that is accepted")
	return nil
}

// readLicences finds the licences of m: of the module, and of what has one of its own
// between the module's folder and a package that is linked.
func (m *module) readLicences() error {
	var bad []string
	for _, dir := range m.folders() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := strings.ToLower(e.Name())
			switch {
			case e.IsDir():
			case strings.HasPrefix(name, "notice"):
				m.notice = true
			case strings.HasPrefix(name, "licen"), strings.HasPrefix(name, "copying"), strings.HasPrefix(name, "unlicense"):
				ids, err := licencesIn(filepath.Join(dir, e.Name()))
				if err != nil {
					bad = append(bad, fmt.Sprintf("%s: %v", m.Path, err))
				}
				m.licences = append(m.licences, ids...)
			}
		}
	}
	slices.Sort(m.licences)
	m.licences = slices.Compact(m.licences)
	if len(bad) == 0 && len(m.licences) == 0 {
		bad = append(bad, m.Path+" has no licence")
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s", strings.Join(bad, "\n"))
	}
	return nil
}

// licencesIn reads one file.
func licencesIn(file string) (ids []string, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // in Go's cache of modules
	if err != nil {
		return nil, err
	}
	found := licensecheck.Scan(text)
	if found.Percent < known {
		return nil, fmt.Errorf("%s: only %.0f%% of it is the text of a licence", file, found.Percent)
	}
	for _, m := range found.Match {
		if m.IsURL {
			continue
		}
		if !slices.Contains(accepted, m.ID) {
			return nil, fmt.Errorf("%s: %s is not accepted", file, m.ID)
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}
