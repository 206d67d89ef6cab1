package htmlinject

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Selector selects forms: a subset of what a CSS selector for one element can be.
type Selector struct {
	id, class []string
	attrs     []attribute
}

// errSelector says what a selector may be.
var errSelector = errors.New(`a selector is #id, .class, [id="…"], [name="…"] or [action="…"], or several of them together, such as form#login.large`)

var (
	identifier = regexp.MustCompile(`^-?[A-Za-z_][A-Za-z0-9_-]*`)
	condition  = regexp.MustCompile(`^\[(id|name|action)=(?:"([^"\\]+)"|'([^'\\]+)'|(-?[A-Za-z_][A-Za-z0-9_-]*))\]`)
)

// ParseSelector reads a selector.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	wrong := func() (Selector, error) { return Selector{}, fmt.Errorf("%q: %w", text, errSelector) }
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return wrong()
	}
	rest := text
	if after, ok := strings.CutPrefix(rest, "form"); ok && !identifier.MatchString(after) {
		rest = after
		if rest == "" {
			return s, nil
		}
	}
	if rest == "" {
		return wrong()
	}
	for rest != "" {
		if c := condition.FindStringSubmatch(rest); c != nil {
			s.attrs = append(s.attrs, attribute{name: c[1], value: c[2] + c[3] + c[4]})
			rest = rest[len(c[0]):]
			continue
		}
		word := identifier.FindString(rest[1:])
		switch {
		case word == "":
			return wrong()
		case rest[0] == '#':
			s.id = append(s.id, word)
		case rest[0] == '.':
			s.class = append(s.class, word)
		default:
			return wrong()
		}
		rest = rest[1+len(word):]
	}
	return s, nil
}

// Match reports whether s selects a form.
func (s Selector) Match(f Form) bool {
	for _, id := range s.id {
		if f.ID != id {
			return false
		}
	}
	for _, class := range s.class {
		if !slices.Contains(f.Class, class) {
			return false
		}
	}
	for _, a := range s.attrs {
		if a.value != map[string]string{"id": f.ID, "name": f.Name, "action": f.Action}[a.name] {
			return false
		}
	}
	return true
}
