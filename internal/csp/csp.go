// Package csp extends a Content-Security-Policy by what a script of ours needs,
// and by nothing else.
package csp

import (
	"maps"
	"slices"
	"strings"
)

// Need is what is to be allowed.
type Need struct {
	// Script is the source of our inline script: 'sha256-…'.
	Script string
	// Sources are further sources, by directive. Their keywords that would allow
	// other scripts than ours ('unsafe-inline', 'strict-dynamic') are left out.
	Sources map[string][]string
}

// fallbacks are the directives that stand in for one that a policy does not
// have, in this order.
var fallbacks = map[string][]string{
	"script-src":      {"default-src"},
	"script-src-elem": {"script-src", "default-src"},
	"script-src-attr": {"script-src", "default-src"},
	"style-src":       {"default-src"},
	"style-src-elem":  {"style-src", "default-src"},
	"style-src-attr":  {"style-src", "default-src"},
	"worker-src":      {"child-src", "script-src", "default-src"},
	"frame-src":       {"child-src", "default-src"},
	"child-src":       {"default-src"},
	"connect-src":     {"default-src"},
	"img-src":         {"default-src"},
	"font-src":        {"default-src"},
	"media-src":       {"default-src"},
	"manifest-src":    {"default-src"},
}

// Header returns a header's value with each of its policies, which commas
// separate, extended. It returns false where no source could make our script work.
func (n *Need) Header(value string) (string, bool) {
	policies := strings.Split(value, ",")
	for i, text := range policies {
		p := parse(text)
		if p.sandboxed() || p.typed() {
			return value, false
		}
		policies[i] = n.extend(p)
	}
	return strings.Join(policies, ","), true
}

// ReportOnly is Header for policies that only report.
func (n *Need) ReportOnly(value string) string {
	policies := strings.Split(value, ",")
	for i, text := range policies {
		policies[i] = n.extend(parse(text))
	}
	return strings.Join(policies, ",")
}

// Meta is Header for the content of a <meta>, which is one policy, and in which
// sandbox does not count.
func (n *Need) Meta(content string) (string, bool) {
	p := parse(content)
	if p.typed() {
		return content, false
	}
	return n.extend(p), true
}

// policy is one policy: the directives that count, and its text.
type policy struct {
	parts []string       // of the text, between the semicolons
	index map[string]int // of the part with a directive
	lists map[string][]string
}

func parse(text string) *policy {
	p := &policy{parts: strings.Split(text, ";"), index: make(map[string]int), lists: make(map[string][]string)}
	for i, part := range p.parts {
		words := strings.FieldsFunc(part, isSpace)
		if len(words) == 0 {
			continue
		}
		name := strings.ToLower(words[0])
		if _, twice := p.index[name]; !twice { // of two, the first counts
			p.index[name], p.lists[name] = i, words[1:]
		}
	}
	return p
}

func isSpace(r rune) bool { return strings.ContainsRune(" \t\n\f\r", r) }

// sandboxed reports whether the page has no scripts, or none with its origin.
func (p *policy) sandboxed() bool {
	flags, ok := p.lists["sandbox"]
	return ok && (!has(flags, "allow-scripts") || !has(flags, "allow-same-origin"))
}

// typed reports whether the page's scripts may not do what a widget's do.
func (p *policy) typed() bool { return has(p.lists["require-trusted-types-for"], "'script'") }

// effective returns the directive that decides where another is asked for;
// empty where none does.
func (p *policy) effective(name string) string {
	for _, name := range append([]string{name}, fallbacks[name]...) {
		if _, ok := p.index[name]; ok {
			return name
		}
	}
	return ""
}

// allowed returns the sources that are allowed for a directive. It returns false
// where all are.
func (p *policy) allowed(name string) ([]string, bool) {
	list, ok := p.lists[p.effective(name)]
	return list, ok
}

func (n *Need) extend(p *policy) string {
	add := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(n.Sources)) { // always in the same order
		for _, to := range p.targets(name) {
			for _, s := range n.Sources[name] {
				if !tooMuch(to, s) {
					add[to] = append(add[to], s)
				}
			}
		}
	}
	if name := p.scripts(); !p.inline(name) {
		add[name] = append(add[name], n.Script)
	}
	add["connect-src"] = append(add["connect-src"], "'self'")
	add["worker-src"] = append(add["worker-src"], "blob:")

	lists := make(map[string][]string)
	for name, sources := range add {
		if list, ok := p.allowed(name); ok {
			if missing := missing(list, sources); len(missing) > 0 {
				lists[name] = append(without(list, "'none'"), missing...)
			}
		}
	}
	return p.with(lists)
}

// targets are the directives that a widget's sources for one go to: where a
// policy tells elements and attributes apart, to both.
func (p *policy) targets(name string) []string {
	switch name {
	case "child-src": // a new one would stand in for script-src too
		return []string{"frame-src", "worker-src"}
	case "script-src-elem": // where ours goes
		name = "script-src"
	}
	list := []string{name}
	for _, more := range []string{name + "-elem", name + "-attr"} {
		if _, ok := p.index[more]; ok && more != "script-src-attr" {
			list = append(list, more)
		}
	}
	return list
}

// scripts is the directive that our script's source goes to.
func (p *policy) scripts() string {
	if _, ok := p.index["script-src-elem"]; ok {
		return "script-src-elem"
	}
	return "script-src"
}

// inline reports whether every inline script is allowed. A hash would end that.
func (p *policy) inline(name string) bool {
	list, restricted := p.allowed(name)
	if !restricted {
		return true
	}
	return has(list, "'unsafe-inline'") && !slices.ContainsFunc(list, endsInline)
}

// endsInline reports whether 'unsafe-inline' does not count next to a source.
func endsInline(source string) bool {
	source = strings.ToLower(source)
	for _, prefix := range []string{"'nonce-", "'sha256-", "'sha384-", "'sha512-", "'strict-dynamic'"} {
		if strings.HasPrefix(source, prefix) {
			return true
		}
	}
	return false
}

// tooMuch reports whether a source for scripts would allow those of others.
func tooMuch(name, source string) bool {
	return strings.HasPrefix(name, "script-src") && (is(source, "'unsafe-inline'") || is(source, "'unsafe-hashes'") || endsInline(source))
}

// missing returns the sources that a list lacks.
func missing(list, sources []string) []string {
	var lacks []string
	for _, s := range sources {
		all := has(list, "*") && s != "blob:" && s != "data:" && (s[0] != '\'' || is(s, "'self'"))
		if !all && !has(list, s) && !has(lacks, s) {
			lacks = append(lacks, s)
		}
	}
	return lacks
}

// with returns the policy's text with other lists for some directives.
func (p *policy) with(lists map[string][]string) string {
	parts := slices.Clone(p.parts)
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		list := lists[name]
		if i, ok := p.index[name]; ok {
			parts[i] = extended(parts[i], p.lists[name], list)
			continue
		}
		last := len(parts) - 1
		if strings.TrimFunc(parts[last], isSpace) == "" { // the policy ends with a semicolon
			parts[last] = " " + name + " " + strings.Join(list, " ")
		} else {
			parts = append(parts, " "+name+" "+strings.Join(list, " "))
		}
	}
	return strings.Join(parts, ";")
}

// extended returns the text of a directive with the sources of list in place of
// those of old, which list begins with but for 'none'.
func extended(text string, old, list []string) string {
	text = strings.TrimRightFunc(text, isSpace)
	if len(without(old, "'none'")) != len(old) {
		end := strings.IndexFunc(strings.TrimLeftFunc(text, isSpace), isSpace)
		lead := len(text) - len(strings.TrimLeftFunc(text, isSpace))
		return text[:lead+end] + " " + strings.Join(list, " ")
	}
	return text + " " + strings.Join(list[len(old):], " ")
}

func has(list []string, source string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return is(s, source) })
}

// is compares two sources. The value of a hash or a nonce has cases.
func is(a, b string) bool {
	if endsInline(a) {
		return a == b
	}
	return strings.EqualFold(a, b)
}

func without(list []string, source string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return is(s, source) })
}
