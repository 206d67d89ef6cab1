package htmlinject

import (
	"bytes"
	"slices"
)

// tree is what must be known of the document in order to tell where an element
// would come to stand.
type tree struct {
	open    []string // elements in which nothing is inserted, the outermost first
	inner   []byte   // elements within the innermost of them, where that is SVG or MathML; a space before each
	form    bool     // within a form: the start tags of further ones are ignored
	leaning []count  // formatting elements, such as <b>, that have not ended, as far as can be told
	placed  bool     // the script is
	body    bool     // the head has ended
	charset bool     // is known
	based   bool     // a <base> has been seen
	base    string   // its href
}

// count is how many elements of a name are open: at least one.
type count struct {
	name string
	n    int
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
	return n > 1 && integrates(t.open[n-2], t.open[n-1])
}

// lean takes note of a formatting element that begins.
func (t *tree) lean(name string) {
	for i := range t.leaning {
		if t.leaning[i].name == name {
			t.leaning[i].n++
			return
		}
	}
	t.leaning = append(t.leaning, count{name, 1})
}

// straighten takes note of one that ends.
func (t *tree) straighten(name string) {
	for i := range t.leaning {
		if t.leaning[i].name != name {
			continue
		}
		if t.leaning[i].n--; t.leaning[i].n == 0 {
			t.leaning = slices.Delete(t.leaning, i, i+1)
		}
		return
	}
}

// mayInsert reports whether the tag with the name that has just been read may be
// a place, or says something that has to be known there.
func (w *Writer) mayInsert() bool {
	t := &w.tree
	if w.element == &other || len(t.open) > 0 {
		return false
	}
	switch name := w.element.name; {
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

// follow is called at the end of a tag.
func (w *Writer) follow() {
	t := &w.tree
	clear := true
	switch {
	case t.foreign() || t.text():
		clear = w.foreignTag()
	case w.nameLen > maxName:
		return
	case w.end:
		clear = w.endTag()
	}
	if clear && !w.end && !t.foreign() && !t.text() {
		clear = w.startTag()
	}
	if !clear || len(t.open) > maxOpen || len(t.inner) > maxInner {
		w.giveUp()
	}
}

// startTag follows a start tag of HTML. It returns false where browsers do not
// agree about what follows.
func (w *Writer) startTag() bool {
	t := &w.tree
	switch name := w.element.name; name {
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
	if w.element.formats {
		t.lean(w.element.name)
	}
	if !w.element.inHead {
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
	text, name, n := w.name[:w.nameLen], w.element.name, len(t.open)
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
	case w.element.breaksOut:
		t.open, t.inner = t.open[:n-1], t.inner[:0]
	case name == "font", string(text) == "annotation-xml": // its attributes decide
		return false
	case w.slash:
	case integrates(t.open[n-1], name):
		t.open = append(t.open, name)
	default:
		t.inner = append(append(t.inner, ' '), text...)
	}
	return true
}

// endTag follows an end tag of HTML. It returns false as startTag does.
func (w *Writer) endTag() bool {
	t := &w.tree
	name := w.element.name
	if w.element.formats {
		t.straighten(name)
	}
	if name == "form" && !t.within("template") {
		t.form = false
	}
	return name == "" || t.close(name)
}
