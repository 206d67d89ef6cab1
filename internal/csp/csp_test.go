package csp

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const hash = "'sha256-ours'"

func TestHeader(t *testing.T) {
	widget := &Need{Script: hash, Sources: map[string][]string{
		"script-src": {"https://w.example", "'wasm-unsafe-eval'", "'unsafe-inline'"}, "frame-src": {"https://w.example"}, "style-src": {"'unsafe-inline'"},
		"child-src": {"https://c.example"},
	}}
	plain := &Need{Script: hash}
	for _, c := range []struct {
		name     string
		need     *Need
		in, want string // an empty want is a page to leave alone
	}{
		{"no source lists", plain, "frame-ancestors 'none'; upgrade-insecure-requests", "frame-ancestors 'none'; upgrade-insecure-requests"},
		{"script-src", plain, "script-src 'self'", "script-src 'self' 'sha256-ours'; worker-src 'self' blob:"},
		{"script-src-elem", plain, "script-src 'none'; script-src-elem 'self'", "script-src 'none'; script-src-elem 'self' 'sha256-ours'; worker-src blob:"},
		{"default-src", plain, "default-src 'self'; img-src *", "default-src 'self'; img-src *; script-src 'self' 'sha256-ours'; worker-src 'self' blob:"},
		{"none", plain, "default-src 'none'; script-src 'none'; connect-src 'NONE' ;", "default-src 'none'; script-src 'sha256-ours'; connect-src 'self'; worker-src blob:"},
		{"default none", plain, "default-src 'none'", "default-src 'none'; connect-src 'self'; script-src 'sha256-ours'; worker-src blob:"},
		{"nonce", plain, "script-src 'nonce-a' 'unsafe-inline'", "script-src 'nonce-a' 'unsafe-inline' 'sha256-ours'; worker-src 'nonce-a' 'unsafe-inline' blob:"},
		{"strict-dynamic", plain, "script-src 'strict-dynamic' 'sha256-x' https:", "script-src 'strict-dynamic' 'sha256-x' https: 'sha256-ours'; worker-src 'strict-dynamic' 'sha256-x' https: blob:"},
		{"unsafe-inline", plain, "script-src 'self' 'unsafe-inline'; worker-src blob:", "script-src 'self' 'unsafe-inline'; worker-src blob:"},
		{"there", plain, "script-src 'sha256-ours' blob:; connect-src *", "script-src 'sha256-ours' blob:; connect-src *"},
		{"two of a name", plain, "script-src 'self'; SCRIPT-SRC 'none'; worker-src blob:", "script-src 'self' 'sha256-ours'; SCRIPT-SRC 'none'; worker-src blob:"},
		{"two policies", plain, "script-src 'self'; worker-src blob:, script-src a.example; worker-src blob:",
			"script-src 'self' 'sha256-ours'; worker-src blob:, script-src a.example 'sha256-ours'; worker-src blob:"},
		{"empty list", plain, "connect-src;script-src\t'self' ;worker-src blob:", "connect-src 'self';script-src\t'self' 'sha256-ours';worker-src blob:"},
		{"sandbox", plain, "sandbox allow-forms", ""}, {"sandbox with an origin only", plain, "sandbox allow-same-origin", ""},
		{"sandbox that may", plain, "sandbox allow-scripts allow-same-origin", "sandbox allow-scripts allow-same-origin"},
		{"trusted types", plain, "default-src *, require-trusted-types-for 'script'", ""},
		{"widget", widget, "default-src 'self'; script-src 'self'",
			"default-src 'self'; script-src 'self' https://w.example 'wasm-unsafe-eval' 'sha256-ours'; frame-src 'self' https://w.example https://c.example; " +
				"style-src 'self' 'unsafe-inline'; worker-src 'self' https://c.example blob:"},
		{"widget and child-src", widget, "child-src 'none'", "child-src 'none'; frame-src https://w.example https://c.example; worker-src https://c.example blob:"},
		{"widget and elements", widget, "script-src-elem 'self'; style-src-elem 'self'; style-src-attr 'none'",
			"script-src-elem 'self' https://w.example 'wasm-unsafe-eval' 'sha256-ours'; style-src-elem 'self' 'unsafe-inline'; style-src-attr 'unsafe-inline'"},
	} {
		got, ok := c.need.Header(c.in)
		if !ok {
			got = ""
		}
		if sorted(got) != sorted(c.want) {
			t.Errorf("%s: %q became\n%q, want\n%q", c.name, c.in, got, c.want)
		}
		if again, _ := c.need.Header(got); again != got {
			t.Errorf("%s: extended again, %q became %q", c.name, got, again)
		}
	}
}

// sorted orders what is appended, whose order is of no concern.
func sorted(header string) string {
	policies := strings.Split(header, ",")
	for i, p := range policies {
		directives := strings.Split(p, ";")
		for j, d := range directives {
			words := strings.Fields(d)
			if len(words) > 1 {
				slices.Sort(words[1:])
			}
			directives[j] = strings.Join(words, " ")
		}
		slices.Sort(directives)
		policies[i] = strings.Join(directives, ";")
	}
	return strings.Join(policies, ",")
}

func TestMetaAndReportOnly(t *testing.T) {
	n := &Need{Script: hash}
	if got, ok := n.Meta("sandbox; script-src a, b"); !ok || got != "sandbox; script-src a, b 'sha256-ours'; worker-src a, b blob:" {
		t.Error(got, ok)
	}
	if _, ok := n.Meta("require-trusted-types-for 'script'"); ok {
		t.Error("trusted types in a meta element")
	}
	if got := n.ReportOnly("sandbox, require-trusted-types-for 'script'; connect-src 'none'"); got != "sandbox, require-trusted-types-for 'script'; connect-src 'self'" {
		t.Error(got)
	}
}

// TestNothingElseIsAllowed compares, for random policies, what a browser allows
// before and after: the same, but for what was asked for.
func TestNothingElseIsAllowed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	need := &Need{Script: hash, Sources: map[string][]string{
		"script-src": {"https://w.example"}, "frame-src": {"https://w.example"}, "connect-src": {"https://w.example"}, "child-src": {"https://w.example"},
	}}
	names := []string{
		"default-src", "script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem", "worker-src", "child-src",
		"frame-src", "connect-src", "img-src", "form-action", "object-src", "Script-Src", "base-uri",
	}
	sources := []string{
		"'none'", "'self'", "*", "https:", "blob:", "data:", "a.example", "'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "'nonce-n'",
		"'sha256-h'", "'strict-dynamic'", "https://w.example",
	}
	changed := 0
	for range 1000 {
		var policies []string
		for range 1 + r.IntN(2) {
			var directives []string
			for range r.IntN(5) {
				words := []string{names[r.IntN(len(names))]}
				for range r.IntN(4) {
					words = append(words, sources[r.IntN(len(sources))])
				}
				directives = append(directives, strings.Join(words, " "))
			}
			policies = append(policies, strings.Join(directives, ";"))
		}
		before := strings.Join(policies, ",")
		after, ok := need.Header(before)
		if !ok {
			t.Fatalf("%q is left alone", before)
		}
		if after != before {
			changed++
		}
		for i, p := range policies {
			compare(t, p, strings.Split(after, ",")[i])
		}
	}
	if changed < 500 {
		t.Errorf("only %d policies were extended", changed)
	}
}

// compare looks at one policy as a browser would.
func compare(t *testing.T, before, after string) {
	t.Helper()
	b, a := browser(before), browser(after)
	added := map[string]bool{hash: true, "https://w.example": true, "'self'": true, "blob:": true}
	for _, what := range []string{
		"script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem", "style-src-attr", "worker-src", "frame-src", "child-src", "connect-src",
		"img-src", "object-src", "form-action", "base-uri",
	} {
		old, now := b.sources(what), a.sources(what)
		if (old == nil) != (now == nil) {
			t.Fatalf("%q became %q: %s is restricted: %v, was: %v", before, after, what, now != nil, old != nil)
		}
		for s := range now {
			if !old[s] && !added[s] {
				t.Fatalf("%q became %q: %s allows %s", before, after, what, s)
			}
		}
		for s := range old {
			if !now[s] {
				t.Fatalf("%q became %q: %s no longer allows %s", before, after, what, s)
			}
		}
		for _, script := range []string{"", "'nonce-n'", "'sha256-h'"} {
			if b.inline(what, script) != a.inline(what, script) {
				t.Fatalf("%q became %q: %s and the inline script %s: %v, was %v", before, after, what, script, a.inline(what, script), b.inline(what, script))
			}
		}
	}
	if !a.inline("script-src-elem", hash) {
		t.Fatalf("%q became %q: our script may not run", before, after)
	}
	for what, source := range map[string]string{"worker-src": "blob:", "frame-src": "https://w.example", "connect-src": "https://w.example"} {
		if list := a.sources(what); list != nil && !list[source] && !list["*"] {
			t.Fatalf("%q became %q: %s does not allow %s", before, after, what, source)
		}
	}
}

// browser is a policy as a browser reads it, written down another way.
type browser string

func (b browser) sources(what string) map[string]bool {
	chain := map[string]string{
		"script-src-elem": "script-src default-src", "script-src-attr": "script-src default-src", "style-src-elem": "style-src default-src",
		"style-src-attr": "style-src default-src", "worker-src": "child-src script-src default-src", "frame-src": "child-src default-src",
		"form-action": "", "base-uri": "",
	}
	rest, ok := chain[what]
	if !ok {
		rest = "default-src"
	}
	for _, name := range append([]string{what}, strings.Fields(rest)...) {
		for directive := range strings.SplitSeq(string(b), ";") {
			words := strings.Fields(strings.ToLower(directive))
			if len(words) == 0 || words[0] != name {
				continue
			}
			list := make(map[string]bool)
			for _, s := range words[1:] {
				if s != "'none'" {
					list[s] = true
				}
			}
			return list
		}
	}
	return nil
}

// inline reports whether an inline script with a nonce or hash runs.
func (b browser) inline(what, script string) bool {
	list := b.sources(what)
	if list == nil || script != "" && list[script] {
		return true
	}
	for s := range list {
		if strings.HasPrefix(s, "'nonce-") || strings.HasPrefix(s, "'sha256-") || s == "'strict-dynamic'" {
			return false
		}
	}
	return list["'unsafe-inline'"]
}

// FuzzHeader compares what a browser allows before and after, for any policy.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"default-src 'self'; img-src *", "script-src 'nonce-n' 'strict-dynamic'; SCRIPT-SRC 'none', child-src ;;", "default-src 'none'",
		"\tscript-src\n'self'\f'unsafe-inline' ; worker-src", "script-src-elem 'sha256-h'; script-src-attr 'unsafe-inline'; style-src-attr a",
		"sandbox allow-scripts allow-same-origin;connect-src 'NONE' https:", "upgrade-insecure-requests; default-src * data:; frame-src 'none' 'none'",
	} {
		f.Add(seed)
	}
	need := &Need{Script: hash, Sources: map[string][]string{
		"script-src": {"https://w.example"}, "frame-src": {"https://w.example"}, "connect-src": {"https://w.example"}, "child-src": {"https://w.example"},
	}}
	f.Fuzz(func(t *testing.T, before string) {
		for _, c := range []byte(before) { // others are no header's, and strings.Fields knows more space
			if c != '\t' && c != '\n' && c != '\f' && c != '\r' && (c < ' ' || c > '~') {
				return
			}
		}
		after, ok := need.Header(before)
		if !ok {
			if after != before {
				t.Fatalf("%q is left alone as %q", before, after)
			}
			return
		}
		old, now := strings.Split(before, ","), strings.Split(after, ",")
		if len(old) != len(now) {
			t.Fatalf("%q became %q", before, after)
		}
		for i := range old {
			compare(t, old[i], now[i])
		}
		if again, _ := need.Header(after); again != after {
			t.Fatalf("extended again, %q became %q", after, again)
		}
	})
}
