package captcha_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	captcha "github.com/caddy-captcha/caddy-captcha"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/altcha"
	"github.com/caddy-captcha/caddy-captcha/provider/geetest"
	"github.com/caddy-captcha/caddy-captcha/provider/pow"
	"github.com/caddy-captcha/caddy-captcha/provider/siteverify"
	"github.com/caddy-captcha/caddy-captcha/provider/trustcaptcha"
	"github.com/caddy-captcha/caddy-captcha/store/redis"
)

// documents are all that the checks of snippets and links read.
var documents = func() (all []string) {
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			panic(err) // the patterns are constant
		}
		all = append(all, found...)
	}
	return all
}()

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

// TestReferenceHasEveryJSONName compares with the tags of the exported fields.
func TestReferenceHasEveryJSONName(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	for _, v := range []any{
		captcha.Handler{}, captcha.Clearance{}, captcha.Challenge{}, captcha.BypassCheck{}, captcha.Failover{}, captcha.Unreachable{},
		captcha.ClientReported{}, captcha.Action{}, captcha.Issuer{}, captcha.Injector{}, captcha.App{}, captcha.KeysConfig{}, pow.Provider{},
		redis.Redis{},
	} {
		typ := reflect.TypeOf(v)
		names := 0
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			names++
			if !strings.Contains(reference, `"`+name+`": `) && !strings.Contains(reference, "`\""+name+"\"`") {
				t.Errorf("docs/reference.md does not show the JSON name %q of %s.%s", name, typ, field.Name)
			}
		}
		if names == 0 {
			t.Errorf("%s has no options", typ)
		}
	}
	setEnv(t, reference)
	for _, block := range codeBlocks(reference, "json") {
		if strings.Contains(block, `"handler": "captcha"`) {
			validate(t, confine(t, []byte(`{"apps": {"http": {"servers": {"s": {"routes": [{"handle": [`+block+`]}]}}}}}`)))
		}
		if strings.Contains(block, `"max_spill"`) {
			validate(t, confine(t, []byte(`{"apps": {"captcha": `+block+`}}`)))
		}
	}
}

// TestReferenceHasEveryReason looks up what the source knows: the "type" of a
// problem document points to the reason's section.
func TestReferenceHasEveryReason(t *testing.T) {
	sections := sectionsOf(readFile(t, "docs/reference.md"))
	reasons := reasonsInSource(t)
	if len(reasons) < 14 {
		t.Errorf("only %d reasons were found in the source: %v", len(reasons), reasons)
	}
	for _, reason := range append(reasons, "score-too-low", "hostname-mismatch", "action-mismatch") {
		section, ok := sections[reason]
		if !ok {
			t.Errorf("docs/reference.md has no section ### %s", reason)
			continue
		}
		if !regexp.MustCompile(`^\s*[45][0-9]{2}[ .,]`).MatchString(section) {
			t.Errorf("the section %s does not begin with a status", reason)
		}
	}
	var texts map[string]string // of the challenge page
	decode(t, []byte(readFile(t, "web/lang/en.json")), &texts)
	for key := range texts {
		if reason, ok := strings.CutPrefix(key, "reason."); ok && reason != "unknown" && sections[reason] == "" {
			t.Errorf("docs/reference.md has no section ### %s, and the challenge page knows that reason", reason)
		}
	}
}

// reasonsInSource returns the constants of type Reason in the root package and
// in provider.
func reasonsInSource(t *testing.T) []string {
	t.Helper()
	reason := regexp.MustCompile(`(?m)(?:provider\.Reason\(|^\s+\w+\s+Reason\s+= )"([a-z-]+)"`)
	found := make(map[string]bool)
	for _, pattern := range []string{"*.go", "provider/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range reason.FindAllStringSubmatch(readFile(t, file), -1) {
				found[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestReferenceHasEveryHeaderAndPlaceholder(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	published := regexp.MustCompile(`"(http\.captcha\.\w+|X-Captcha-\w+|Captcha-\w+|captcha_\w+|captcha-seal)"`)
	names := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			for _, m := range published.FindAllStringSubmatch(readFile(t, file), -1) {
				names[m[1]] = true
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only these names were found in the source: %v", names)
	}
	for name := range names {
		if !strings.Contains(reference, name) {
			t.Errorf("docs/reference.md does not mention %s", name)
		}
	}
}

// TestSnippets adapts and validates every Caddyfile in the documentation. One
// that begins with a directive or a matcher stands in a site block.
func TestSnippets(t *testing.T) {
	for _, name := range documents {
		text := readFile(t, name)
		setEnv(t, text)
		snippets := codeBlocks(text, "caddyfile")
		if n := strings.Count(text, "```caddyfile"); n != len(snippets) {
			t.Errorf("%s: %d of %d Caddyfiles are checked: one is indented", name, len(snippets), n)
		}
		for i, snippet := range snippets {
			t.Run(name+" "+strconv.Itoa(i+1), func(t *testing.T) {
				if strings.HasPrefix(snippet, "captcha") || strings.HasPrefix(snippet, "@") {
					inner := strings.ReplaceAll(strings.TrimSuffix(snippet, "\n"), "\n", "\n\t")
					snippet = "example.com {\n\t" + strings.ReplaceAll(inner, "\n\t\n", "\n\n") + "\n}\n"
				}
				validate(t, confine(t, adapt(t, "Caddyfile", snippet)))
			})
		}
	}
}

// setEnv gives the environment variables of a text values that providers take.
func setEnv(t *testing.T, text string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\{env\.([A-Z0-9_]+)\}`).FindAllStringSubmatch(text, -1) {
		value := strings.ToLower(m[1]) + "-0123456789abcdef0123456789abcdef"
		if strings.HasPrefix(m[1], "TRUSTCAPTCHA") && strings.HasSuffix(m[1], "SITE_KEY") {
			value = "11111111-2222-4333-8444-555555555555"
		}
		t.Setenv(m[1], value)
	}
}

// TestProvidersHasEveryProvider looks up what the build has, with its options
// in the Caddyfile and in JSON.
func TestProvidersHasEveryProvider(t *testing.T) {
	text := readFile(t, "docs/providers.md")
	sections := make(map[string]string) // with the sections below them
	for _, section := range strings.Split(text, "\n## ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		sections[name] = rest
	}
	found := 0
	for _, m := range caddy.GetModules(provider.Namespace) {
		if !strings.Contains(reflect.TypeOf(m.New()).Elem().PkgPath(), "/provider/") {
			continue // of a test
		}
		found++
		section, ok := sections[m.ID.Name()]
		if !ok {
			t.Errorf("docs/providers.md has no section ## %s", m.ID.Name())
			continue
		}
		for _, item := range []string{"Keys", "Test keys", "CSP", "Privacy", "Outage"} {
			if line(section, item) == "" {
				t.Errorf("the section %s lacks - %s:", m.ID.Name(), item)
			}
		}
		if len(codeBlocks(section, "caddyfile")) == 0 {
			t.Errorf("the section %s has no Caddyfile", m.ID.Name())
		}
	}
	if found < 17 {
		t.Errorf("only %d providers were found", found)
	}
	for _, v := range []any{altcha.Provider{}, geetest.Provider{}, geetest.Provider4{}, trustcaptcha.Provider{}, siteverify.Provider{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && !strings.Contains(text, "`"+name) {
				t.Errorf("docs/providers.md does not mention %s of %T", name, v)
			}
		}
	}
}

// TestProvidersHasEverySource looks up where the widgets load from.
func TestProvidersHasEverySource(t *testing.T) {
	text := readFile(t, "docs/providers.md")
	for _, file := range []string{"provider/siteverify/table.go", "provider/siteverify/table_more.go"} {
		source := regexp.MustCompile(`"(https://[^"/ ]+)[^" ]*"`)
		csp := regexp.MustCompile(`"[a-z]+-src": +\{[^}]*\}`)
		for _, list := range csp.FindAllString(readFile(t, file), -1) {
			for _, m := range source.FindAllStringSubmatch(list, -1) {
				if !strings.Contains(text, m[1]) {
					t.Errorf("docs/providers.md does not name %s", m[1])
				}
			}
		}
	}
}

// TestReferenceHasWhatOperatorsSee looks up metrics, events, admin endpoints and
// commands.
func TestReferenceHasWhatOperatorsSee(t *testing.T) {
	reference := readFile(t, "docs/reference.md")
	for _, c := range []struct{ file, pattern, prefix string }{
		{"metrics.go", `(?:counter\(|newGauge\(|Name: )"(\w+)"`, "caddy_captcha_"},
		{"report.go", `r\.emit\("(\w+)"`, "captcha."},
		{"admin.go", `Pattern: "([^"]+)"`, ""},
		{"command*.go", `Use: +"(\w+)`, "caddy captcha "},
		{"command*.go", `Flags\(\)\.\w+\("([\w-]+)"`, "--"},
	} {
		files, err := filepath.Glob(c.file)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for _, file := range files {
			text += readFile(t, file)
		}
		found := regexp.MustCompile(c.pattern).FindAllStringSubmatch(text, -1)
		if len(found) < 2 {
			t.Errorf("%s: only %v was found", c.file, found)
		}
		for _, m := range found {
			if !strings.Contains(reference, c.prefix+m[1]) {
				t.Errorf("docs/reference.md does not mention %s", c.prefix+m[1])
			}
		}
	}
}

// TestLinks checks that relative links lead to files and headings that exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range documents {
		for _, m := range link.FindAllStringSubmatch(readFile(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if !exists(target) {
				t.Errorf("%s: %s does not exist", name, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readFile(t, target)), anchor) {
				t.Errorf("%s: %s has no heading %s", name, target, anchor)
			}
		}
	}
}

// TestThreatModelNamesTests checks that every test that keeps a promise exists,
// and that every promise has one.
func TestThreatModelNamesTests(t *testing.T) {
	known := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(readFile(t, path), -1) {
				known[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)\\w+|e2e/[\\w-]+\\.test\\.mjs)`")
	promises := 0
	for title, section := range sectionsOf(readFile(t, "docs/threat-model.md")) {
		tests := name.FindAllStringSubmatch(section, -1)
		for _, m := range tests {
			if !known[m[1]] && !exists(m[1]) {
				t.Errorf("%s: there is no test %s", title, m[1])
			}
		}
		if regexp.MustCompile(`^\d+\. `).MatchString(title) {
			if promises++; len(tests) == 0 {
				t.Errorf("%s: no test is named", title)
			}
		}
	}
	if promises != 12 {
		t.Errorf("%d promises, want 12", promises)
	}
}

var heading = regexp.MustCompile(`(?m)^#{1,4} (.+)$`)

// anchors returns the names that headings get on GitHub.
func anchors(markdown string) []string {
	var names []string
	for _, m := range heading.FindAllStringSubmatch(markdown, -1) {
		name := strings.ToLower(strings.ReplaceAll(m[1], " ", "-"))
		names = append(names, regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(name, ""))
	}
	return names
}

// sectionsOf returns the text below each heading, up to the next one.
func sectionsOf(markdown string) map[string]string {
	sections := make(map[string]string)
	at := heading.FindAllStringSubmatchIndex(markdown, -1)
	for i, m := range at {
		end := len(markdown)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		sections[markdown[m[2]:m[3]]] = markdown[m[1]:end]
	}
	return sections
}

// line returns what stands behind "- item:" in a section.
func line(section, item string) string {
	_, rest, _ := strings.Cut(section, "\n- "+item+":")
	rest, _, _ = strings.Cut(rest, "\n")
	return strings.TrimSpace(rest)
}

// code is line without the quotes around it.
func code(section, item string) string {
	return strings.Trim(line(section, item), "`")
}

// spread writes `name { option }` on three lines, as a Caddyfile needs it.
func spread(example string) string {
	return strings.NewReplacer(" { ", " {\n", " }", "\n}").Replace(example)
}

func codeBlocks(markdown, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(markdown, -1) {
		found = append(found, m[1])
	}
	return found
}

func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
