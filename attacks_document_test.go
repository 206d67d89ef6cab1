package captcha

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const attacksHead = `# Attacks and their tests

What is known to be tried against a CAPTCHA in front of an app, what happens, and the tests that show it.
` + "`go test -run TestAttacksDocument . -update`" + ` makes this page of testdata/attacks.txt and of the names of the tests: an attack
without a test, or a test of an unknown one, fails.

The tests of one attack: ` + "`go test -run D30 ./...`" + ` and, where it is one of a table, ` + "`go test -run '/D-30' ./...`" + `
`

// attack is one row of testdata/attacks.txt.
type attack struct {
	id, text, result string
	out              bool
}

// Every attack has a test with its id in the name, or a reason to have none.
func TestAttacksDocument(t *testing.T) {
	raw, err := os.ReadFile("testdata/attacks.txt")
	if err != nil {
		t.Fatal(err)
	}
	tests := attackTests(t)
	var page, outside bytes.Buffer
	page.WriteString(attacksHead)
	known := make(map[string]bool)
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "", strings.HasPrefix(line, "# "):
			continue
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&page, "\n%s\n\n| id | attack | what happens | tests |\n|---|---|---|---|\n", line)
			continue
		}
		a := parseAttack(t, line)
		if known[a.id] {
			t.Errorf("%s is listed twice", a.id)
		}
		known[a.id] = true
		switch names := slices.Sorted(maps.Keys(tests[a.id])); {
		case a.out && len(names) > 0:
			t.Errorf("%s is out of scope and has the tests %v", a.id, names)
		case a.out:
			fmt.Fprintf(&outside, "- %s: %s.\n", a.id, a.result)
		case len(names) == 0:
			t.Errorf("%s (%s) has no test", a.id, a.text)
		default:
			fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", a.id, a.text, a.result, strings.Join(names, "<br>"))
		}
	}
	for id, names := range tests {
		if !known[id] {
			t.Errorf("%s is not in testdata/attacks.txt, and %v name it", id, slices.Sorted(maps.Keys(names)))
		}
	}
	fmt.Fprintf(&page, "\n## Out of scope\n\n%s", outside.String())
	const path = "docs/attacks.md"
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s is stale (%v): run go test -run TestAttacksDocument . -update", path, err)
	}
}

func parseAttack(t *testing.T, line string) attack {
	t.Helper()
	parts := strings.Split(line, " | ")
	if len(parts) != 3 || !attackID.MatchString(parts[0]) {
		t.Fatalf("not an attack: %s", line)
	}
	return attack{id: parts[0], text: parts[1], result: parts[2], out: parts[1] == "out"}
}

var (
	attackID  = regexp.MustCompile(`^D-\d{2,3}$`)
	inText    = regexp.MustCompile(`^((?:D-\d{2,3} )+)`)                 // of a subtest's name, at its beginning
	inName    = regexp.MustCompile(`^(?:Test|Fuzz)\w*?((?:D\d{2,3})+)$`) // of a function's, at its end
	oneOfName = regexp.MustCompile(`D(\d{2,3})`)
	inBrowser = regexp.MustCompile("(?m)^\\s*test\\(['\"`]((?:D-\\d{2,3} )+)(.*?)['\"`], async")
)

// attackTests finds the tests of every attack: by id the tests, as links.
func attackTests(t *testing.T) map[string]map[string]bool {
	t.Helper()
	tests := make(map[string]map[string]bool)
	note := func(id, name, path string) {
		if tests[id] == nil {
			tests[id] = make(map[string]bool)
		}
		tests[id][fmt.Sprintf("[%s](../%s)", name, path)] = true
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			goAttacks(t, path, note)
		case strings.HasSuffix(path, ".test.mjs"):
			text, err := os.ReadFile(path)
			for _, m := range inBrowser.FindAllStringSubmatch(string(text), -1) {
				for id := range strings.FieldsSeq(m[1]) {
					note(id, "in a browser", filepath.ToSlash(path))
				}
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// goAttacks finds the ids in the names of a file's tests and subtests: in what a
// test says, and in the tables and helpers of its file that it uses.
func goAttacks(t *testing.T, path string, note func(id, name, path string)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := declarations(file)
	for name, decl := range declared {
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		if m := inName.FindStringSubmatch(name); m != nil {
			for _, id := range oneOfName.FindAllStringSubmatch(m[1], -1) {
				note("D-"+id[1], name, filepath.ToSlash(path))
			}
		}
		seen := make(map[ast.Node]bool)
		var look func(ast.Node) bool
		look = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					for id := range strings.FieldsSeq(inText.FindString(strings.Trim(n.Value, "`\""))) {
						note(id, name, filepath.ToSlash(path))
					}
				}
			case *ast.Ident:
				if used := declared[n.Name]; used != nil && !seen[used] {
					seen[used] = true
					ast.Inspect(used, look)
				}
			}
			return true
		}
		ast.Inspect(decl, look)
	}
}

// declarations are the functions and variables of a file, by name.
func declarations(file *ast.File) map[string]ast.Node {
	found := make(map[string]ast.Node)
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				found[d.Name.Name] = d.Body
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
					found[v.Names[0].Name] = v.Values[0]
				}
			}
		}
	}
	return found
}
