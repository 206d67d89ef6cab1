package captcha_test

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
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
