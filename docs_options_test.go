package captcha_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	captcha "github.com/caddy-captcha/caddy-captcha"
	"github.com/caddy-captcha/caddy-captcha/provider/pow"
)

// blocks says where the options stand that a parsing function knows: each is a
// Caddyfile, with %s for the option.
var blocks = map[string]string{
	"caddyfile.go unmarshalOption":           "example.com {\n\tcaptcha {\n\t\t%s\n\t}\n}\n",
	"caddyfile.go parseClearance":            "example.com {\n\tcaptcha {\n\t\tclearance 1h {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
	"caddyfile.go parseChallenge":            "example.com {\n\tcaptcha {\n\t\tchallenge {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
	"caddyfile_app.go UnmarshalCaddyfile":    "{\n\tcaptcha {\n\t\t%s\n\t}\n}\nexample.com {\n\tcaptcha\n}\n",
	"caddyfile_app.go parseKeys":             "{\n\tcaptcha {\n\t\tkeys {\n\t\t\t%s\n\t\t}\n\t}\n}\nexample.com {\n\tcaptcha\n}\n",
	"caddyfile_failover.go parseFallback":    "example.com {\n\tcaptcha {\n\t\tfallback %s\n\t}\n}\n",
	"caddyfile_failover.go parseBypassCheck": "example.com {\n\tcaptcha {\n\t\tbypass_check passive {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
	"caddyfile_failover.go unmarshalOption":  "example.com {\n\tcaptcha {\n\t\tfailover {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
	"caddyfile_inject.go unmarshal": "example.com {\n\tcaptcha {\n\t\tprovider pow\n\t\tclearance 1h {\n\t\t\tscope forms\n\t\t}\n\t}\n" +
		"\tcaptcha_inject {\n\t\t%s\n\t}\n}\n",
	"provider/pow/caddyfile.go UnmarshalCaddyfile": "example.com {\n\tcaptcha {\n\t\tprovider pow {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
}

// owners are what the headings of a block's options begin with, where the name
// alone would not do: there is a reason of the name, or it says too little.
var owners = map[string]string{
	"caddyfile_failover.go parseFallback":    "fallback ",
	"caddyfile_failover.go parseBypassCheck": "bypass_check ",
	"caddyfile_failover.go unmarshalOption":  "failover ",
	"caddyfile_inject.go unmarshal":          "captcha_inject ",
}

// TestReferenceHasEveryOption looks every option up that the Caddyfile parsers
// know, and tries its example.
func TestReferenceHasEveryOption(t *testing.T) {
	sections := sectionsOf(readFile(t, "docs/reference.md"))
	for where, options := range caddyfileOptions(t) {
		around, ok := blocks[where]
		if !ok {
			t.Errorf("%s reads options, and blocks does not say where they stand", where)
			continue
		}
		for _, option := range options {
			name := owners[where] + option
			t.Run(name, func(t *testing.T) {
				section, ok := sections[name]
				if !ok {
					t.Fatalf("docs/reference.md has no section ### %s", name)
				}
				for _, item := range []string{"Syntax", "Default", "Example", "JSON"} {
					if line(section, item) == "" {
						t.Fatalf("the section lacks - %s:", item)
					}
				}
				example := code(section, "Example")
				if owners[where] == "fallback " { // a word of the option's own line
					example = strings.TrimPrefix(example, owners[where])
				}
				checkExample(t, strings.Replace(around, "%s", spread(example), 1), code(section, "JSON"))
			})
		}
	}
}

// checkExample checks that a Caddyfile says the same as a member of the
// handler's or the app's JSON.
func checkExample(t *testing.T, text, member string) {
	t.Helper()
	config := captchaParts(t, text)
	if strings.HasPrefix(text, "{") {
		var got, want captcha.App
		decode(t, config.app, &got)
		decode(t, []byte("{"+member+"}"), &want)
		want.StoreRaw = compact(t, want.StoreRaw)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the example is %s, and the JSON %s", config.app, member)
		}
		return
	}
	if strings.Contains(text, "captcha_inject") {
		var got, want captcha.Injector
		decode(t, config.injector, &got)
		decode(t, []byte("{"+member+"}"), &want)
		if want.ProviderRaw = compact(t, want.ProviderRaw); want.ProviderRaw == nil {
			want.ProviderRaw = got.ProviderRaw // that of the directive above
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the example is %s, and the JSON %s", config.injector, member)
		}
		return
	}
	got, want := plain(t, config.handler), plain(t, []byte("{"+member+"}"))
	if !strings.Contains(member, `"scope"`) {
		got.handler.Clearance.Scope = ""
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example is %s, and the JSON %s", config.handler, member)
	}
}

func compact(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	if raw == nil {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type parts struct{ app, handler, injector json.RawMessage }

// captchaParts adapts a Caddyfile and returns the JSON of the app and of the handler.
func captchaParts(t *testing.T, text string) parts {
	t.Helper()
	all, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var c struct {
		Apps struct {
			Captcha json.RawMessage
			HTTP    struct {
				Servers map[string]struct{ Routes []json.RawMessage }
			}
		}
	}
	decode(t, all, &c)
	p := parts{app: c.Apps.Captcha}
	for _, server := range c.Apps.HTTP.Servers {
		for _, route := range server.Routes {
			var v any
			decode(t, route, &v)
			p.injector = findHandler(t, v, "captcha_inject")
			p.handler = findHandler(t, v, "captcha")
		}
	}
	return p
}

// findHandler returns the handler of a name somewhere in a route.
func findHandler(t *testing.T, v any, name string) json.RawMessage {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if v["handler"] == name {
			delete(v, "handler")
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		for _, child := range v {
			if found := findHandler(t, child, name); found != nil {
				return found
			}
		}
	case []any:
		for _, child := range v {
			if found := findHandler(t, child, name); found != nil {
				return found
			}
		}
	}
	return nil
}

// handlerJSON is a handler's JSON in a form in which 1h and its nanoseconds are the same.
type handlerJSON struct {
	handler   captcha.Handler
	provider  string
	pow       pow.Provider
	fallbacks []any
}

func plain(t *testing.T, text []byte) handlerJSON {
	t.Helper()
	var h handlerJSON
	decode(t, text, &h.handler)
	if h.handler.Clearance == nil {
		h.handler.Clearance = new(captcha.Clearance)
	}
	if raw := h.handler.ProviderRaw; raw != nil {
		var name struct{ Name string }
		decode(t, raw, &name)
		decode(t, raw, &h.pow)
		h.provider, h.handler.ProviderRaw = name.Name, nil
	}
	for i, raw := range h.handler.FallbacksRaw { // members in any order
		h.fallbacks = append(h.fallbacks, nil)
		decode(t, raw, &h.fallbacks[i])
		h.handler.FallbacksRaw[i] = nil
	}
	return h
}

// caddyfileOptions finds the names that the parsers compare a word with, by the
// file and the function that does it.
func caddyfileOptions(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for _, file := range []string{"caddyfile.go", "caddyfile_app.go", "caddyfile_failover.go", "caddyfile_inject.go", "provider/pow/caddyfile.go"} {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			where := file + " " + function.Name.Name
			ast.Inspect(function, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CaseClause:
					for _, e := range n.List {
						found[where] = appendText(found[where], e)
					}
				case *ast.BinaryExpr: // d.Val() == "name", or option != "name" where there is but one
					_, call := n.X.(*ast.CallExpr)
					name, _ := n.X.(*ast.Ident)
					if call && (n.Op == token.NEQ || n.Op == token.EQL) || name != nil && name.Name == "option" && n.Op == token.NEQ {
						found[where] = appendText(found[where], n.Y)
					}
				}
				return true
			})
			if len(found[where]) == 0 {
				delete(found, where)
			}
		}
	}
	if len(found) != len(blocks) {
		t.Errorf("options were found in %d functions, want those of blocks, %d: %v", len(found), len(blocks), found)
	}
	return found
}

func appendText(texts []string, e ast.Expr) []string {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		if text, err := strconv.Unquote(literal.Value); err == nil {
			return append(texts, text)
		}
	}
	return texts
}
