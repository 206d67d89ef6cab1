package htmlinject

import (
	"net/url"
	"strings"
)

// Form is what the start tag of a form says.
type Form struct {
	ID, Name, Action, Method string
	Class                    []string
	// Base is the address that relative ones are relative to, as the document
	// says; empty where that is the document's own.
	Base string
}

func formOf(attrs attributes, base string) Form {
	return Form{
		ID: attrs.get("id"), Name: attrs.get("name"), Action: attrs.get("action"), Method: attrs.get("method"),
		Class: strings.FieldsFunc(attrs.get("class"), func(r rune) bool { return strings.ContainsRune(spaces, r) }),
		Base:  base,
	}
}

const spaces = " \t\n\f\r"

// Target returns the URL that the form of a page is sent to. It returns false for
// what is no such address, or one that browsers may read otherwise than we do.
func (f Form) Target(page *url.URL) (*url.URL, bool) {
	action := clean(f.Action)
	if action == "" { // the page itself, whatever its base
		return page, true
	}
	if hostless(action) || hostless(clean(f.Base)) {
		return nil, false
	}
	if f.Base != "" {
		base, err := page.Parse(clean(f.Base))
		if err != nil || base.Opaque != "" {
			return nil, false
		}
		page = base
	}
	target, err := page.Parse(action)
	if err != nil || target.Opaque != "" || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, false
	}
	return target, true
}

var lineBreaks = strings.NewReplacer("\t", "", "\n", "", "\r", "")

// clean reads an address as browsers do: without surrounding space and any line
// breaks, and with slashes that lean either way.
func clean(address string) string {
	address = strings.TrimFunc(address, func(r rune) bool { return r <= ' ' })
	address = lineBreaks.Replace(address)
	path, rest := address, ""
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		path, rest = address[:i], address[i:]
	}
	return strings.ReplaceAll(path, `\`, "/") + rest
}

// hostless reports whether an address has two slashes before a host and no host
// there: browsers take the next word for it, however many slashes stand between.
func hostless(address string) bool {
	rest, ok := strings.CutPrefix(address, "//")
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}
