package captcha_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/caddy-captcha/caddy-captcha"

// packages are those of the module by folder, with what each imports of the others.
// Tests do not count: they may look at everything.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || exists(filepath.Join(path, "go.mod"))):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		imports := found[folder]
		for _, spec := range file.Imports {
			whole, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if whole == module {
				imports = append(imports, ".")
			} else if rest, ours := strings.CutPrefix(whole, module+"/"); ours {
				imports = append(imports, rest)
			}
		}
		found[folder] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestArchitectureNamesWhatIsThere looks up what docs/architecture.md names, and
// looks for every package in it.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	text := readFile(t, "docs/architecture.md") + readFile(t, "docs/architecture-packages.svg")
	folders := packages(t)
	if len(folders) < 15 {
		t.Errorf("only these packages were found: %v", slices.Sorted(maps.Keys(folders)))
	}
	for folder := range folders {
		if folder != "." && !strings.Contains(readFile(t, "docs/architecture.md"), "`"+folder+"`") {
			t.Errorf("docs/architecture.md does not name the package %s", folder)
		}
	}
	isFile := regexp.MustCompile(`[\w./*-]+\.(?:go|md|svg|mjs)\b`)
	isFolder := regexp.MustCompile("`((?:cmd|provider|store|web|internal|bench|e2e|tools|examples|testdata)(?:/[\\w-]+)*)/?`")
	names := isFile.FindAllString(text+readFile(t, "docs/architecture-request.svg"), -1)
	for _, m := range isFolder.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	if len(names) < 100 {
		t.Errorf("only these names were found: %v", names)
	}
	for _, name := range names {
		there, err := filepath.Glob(name)
		below, errBelow := filepath.Glob(filepath.Join("docs", name)) // a link
		if err != nil || errBelow != nil || len(there)+len(below) == 0 {
			t.Errorf("docs/architecture.md names %s, which does not exist", name)
		}
	}
}

// TestNoArrowPointsUp checks what a package may import of the others.
func TestNoArrowPointsUp(t *testing.T) {
	floors := []struct{ of, may string }{
		{`cmd/caddy`, `\.|store/redis`},
		{`\.`, `provider(/\w+)?|store|store/memory|web|internal/\w+`},
		{`provider/\w+(/powtest)?`, `provider|provider/outbound|internal/\w+`},
		{`store/\w+`, `store|internal/\w+`},
		{`internal/providertest`, `provider`},
		{`internal/\w+`, `internal/\w+`},
		{`provider|store|web`, `none`},
	}
	whole := func(pattern, text string) bool {
		return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text)
	}
	for folder, imports := range packages(t) {
		i := slices.IndexFunc(floors, func(f struct{ of, may string }) bool { return whole(f.of, folder) })
		if i < 0 {
			t.Errorf("%s is on no floor", folder)
			continue
		}
		for _, other := range imports {
			if !whole(floors[i].may, other) {
				t.Errorf("%s imports %s", folder, other)
			}
		}
	}
}
