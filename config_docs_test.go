package captcha_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestOptionsAreDocumented looks at the comment of every exported field that a
// configuration can set: Caddy's site and pkg.go.dev show it as documentation. It
// says what happens where nothing is written.
func TestOptionsAreDocumented(t *testing.T) {
	fields := 0
	for _, pattern := range []string{"*.go", "provider/*/*.go", "store/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok || !spec.Name.IsExported() {
					return true
				}
				if typ, ok := spec.Type.(*ast.StructType); ok {
					fields += checkFields(t, file, spec.Name.Name, typ)
				}
				return true
			})
		}
	}
	if fields < 60 {
		t.Errorf("only %d options were found", fields)
	}
}

// checkFields looks at the options of a struct, and returns how many it has. Where
// two stand under one comment, it is that of both.
func checkFields(t *testing.T, file, name string, typ *ast.StructType) (n int) {
	t.Helper()
	comment := ""
	for _, f := range typ.Fields.List {
		if f.Doc != nil {
			comment = f.Doc.Text()
		}
		if f.Tag == nil || !strings.Contains(f.Tag.Value, `json:"`) || len(f.Names) == 0 || !f.Names[0].IsExported() {
			continue
		}
		n++
		if !strings.Contains(comment, "Default: ") && !strings.Contains(comment, "Default:\n") && !strings.Contains(comment, "Required") {
			t.Errorf("%s: the comment of %s.%s does not say what holds where it is not written (Default: … or Required): %s", file, name, f.Names[0].Name, comment)
		}
	}
	return n
}
