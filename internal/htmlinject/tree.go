package htmlinject

import (
	"bytes"
	"slices"

	"golang.org/x/net/html"
)

// tree is what must be known of the document in order to tell where an element
// would come to stand.
type tree struct {
	open    []string       // elements in which nothing is inserted, the outermost first
	inner   []byte         // elements within the innermost of them, where that is SVG or MathML; a space before each
	form    bool           // within a form: the start tags of further ones are ignored
	leaning map[string]int // formatting elements, such as <b>, that have not ended, as far as can be told
	placed  bool           // the script is
	body    bool           // the head has ended
	charset bool           // is known
	based   bool           // a <base> has been seen
	base    string         // its href
}

// What is kept track of is bounded.
const (
	maxOpen  = 256
	maxInner = 4 << 10 // bytes
)

// foreign reports whether the innermost open element is not one of HTML: there
// are CDATA sections, and no elements with raw text.
func (t *tree) foreign() bool {
	n := len(t.open)
	return n > 0 && (t.open[n-1] == "svg" || t.open[n-1] == "math")
}

func (t *tree) within(name string) bool { return slices.Contains(t.open, name) }

// close closes an element. It returns false where that would close others too, in
// which browsers may stay.
func (t *tree) close(name string) bool {
	n := len(t.open)
	if n > 0 && t.open[n-1] == name {
		t.open = t.open[:n-1]
		return true
	}
	return !t.within(name)
}

// text reports whether the innermost open element is one of SVG or MathML that
// holds HTML.
func (t *tree) text() bool {
	n := len(t.open)
	return n > 1 && integrates[t.open[n-2]][t.open[n-1]]
}

// mayInsert reports whether the tag with the name that has just been read may be
// a place, or says something that has to be known there.
func (w *Writer) mayInsert() bool {
	t := &w.tree
	if w.nameLen > maxName || len(t.open) > 0 {
		return false
	}
	switch name := string(w.name[:w.nameLen]); {
	case w.end:
		return name == "head" && !t.placed
	case name == "form":
		return !t.form
	case name == "script", name == "body":
		return !t.placed
	case name == "meta":
		return !t.body || !t.charset
	case name == "base":
		return !t.based
	}
	return false
}

// tag is called at the end of a tag; with its text where it was held back.
func (w *Writer) tag(text []byte) {
	if text != nil {
		text = w.insert(text)
	}
	w.emit(text)
	if w.ended {
		return
	}
	t := &w.tree
	name, clear := known(w.name[:min(w.nameLen, maxName)]), true
	switch {
	case t.foreign() || t.text():
		clear = w.foreignTag()
	case w.nameLen > maxName:
		return
	case w.end:
		clear = w.endTag(name)
	}
	if clear && !w.end && !t.foreign() && !t.text() {
		clear = w.startTag(name)
	}
	if !clear || len(t.open) > maxOpen || len(t.inner) > maxInner {
		w.giveUp()
	}
}

// startTag follows a start tag of HTML. It returns false where browsers do not
// agree about what follows.
func (w *Writer) startTag(name string) bool {
	t := &w.tree
	switch name {
	case "form":
		if !t.within("template") && !t.within("select") {
			t.form = true
		}
	case "svg", "math":
		if t.within("select") {
			return false
		}
		if !w.slash {
			t.open = append(t.open, name)
		}
	case "template", "select":
		t.open = append(t.open, name)
	case "script", "textarea":
		w.state, w.raw = rawText, name
	case "style", "title", "xmp", "iframe", "noembed", "noframes", "noscript":
		if t.within("select") { // older browsers ignore the tag
			return false
		}
		w.state, w.raw = rawText, name
	case "col":
		if t.within("template") { // all but further ones is ignored then
			return false
		}
	case "plaintext", "frameset":
		return false
	}
	if formats[name] {
		t.leaning[name]++
	}
	if !inHead[name] {
		t.body = true
	}
	return true
}

// foreignTag follows a tag within SVG or MathML. It returns false where they are
// not well-formed, and what ends where depends on all that is open: to read that
// otherwise than a browser would mean to insert into what it takes for a value.
func (w *Writer) foreignTag() bool {
	t := &w.tree
	if w.nameLen > maxName {
		return false
	}
	text, n := w.name[:w.nameLen], len(t.open)
	name := known(text)
	switch {
	case t.text():
		return w.end && name != "" && t.close(name)
	case w.end && len(t.inner) > 0:
		outer, ok := bytes.CutSuffix(t.inner, text)
		if !ok || !bytes.HasSuffix(outer, []byte(" ")) {
			return false
		}
		t.inner = outer[:len(outer)-1]
	case w.end:
		return name == t.open[n-1] && t.close(name)
	case breaksOut[name]:
		t.open, t.inner = t.open[:n-1], nil
	case name == "font", string(text) == "annotation-xml": // its attributes decide
		return false
	case w.slash:
	case integrates[t.open[n-1]][name]:
		t.open = append(t.open, name)
	default:
		t.inner = append(append(t.inner, ' '), text...)
	}
	return true
}

// endTag follows an end tag of HTML. It returns false as startTag does.
func (w *Writer) endTag(name string) bool {
	t := &w.tree
	if n := t.leaning[name]; n > 1 {
		t.leaning[name]--
	} else if n == 1 {
		delete(t.leaning, name)
	}
	if name == "form" && !t.within("template") {
		t.form = false
	}
	return name == "" || t.close(name)
}

// insert decides about a tag that was held back. It returns what is to be given
// on of it.
func (w *Writer) insert(text []byte) []byte {
	t := &w.tree
	switch string(w.name[:w.nameLen]) {
	case "head", "body":
		w.place()
	case "script":
		if t.charset || w.start >= prescan {
			w.place()
		}
	case "base":
		if href, ok := attributes(text)["href"]; ok {
			t.based, t.base = true, href
		}
	case "meta":
		return w.meta(text)
	case "form":
		if w.page.Wanted(formOf(attributes(text), t.base)) {
			w.place()
			if len(t.leaning) > 0 {
				return text // an input there would begin the formatting anew, and the form's content would stand in it
			}
			w.emit(text)
			return w.page.Inputs
		}
	}
	return text
}

// place inserts the script, once.
func (w *Writer) place() {
	if !w.tree.placed {
		w.tree.placed = true
		w.emit(w.page.Script)
	}
}

// attributes reads the attributes of a start tag. Their names are in lower case.
func attributes(text []byte) map[string]string {
	z := html.NewTokenizer(bytes.NewReader(text))
	z.Next()
	attrs := make(map[string]string)
	for more := true; more; {
		var key, value []byte
		if key, value, more = z.TagAttr(); len(key) > 0 {
			attrs[string(key)] = string(value)
		}
	}
	return attrs
}

// known returns the name of an element that matters, and an empty one for others.
func known(name []byte) string { return names[string(name)] }

// The elements that matter.
var (
	names      = make(map[string]string)
	inHead     = set("html", "head", "title", "meta", "link", "base", "script", "style", "noscript", "template", "noframes")
	formats    = set("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
	integrates = map[string]map[string]bool{
		"svg":  set("foreignobject", "desc", "title"),
		"math": set("mi", "mo", "mn", "ms", "mtext"),
	}
	breaksOut = set("b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2",
		"h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s", "small",
		"span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var")
	_ = set("form", "svg", "math", "select", "col", "textarea", "xmp", "iframe", "noembed", "plaintext", "frameset")
)

func set(list ...string) map[string]bool {
	m := make(map[string]bool)
	for _, name := range list {
		m[name], names[name] = true, name
	}
	return m
}
