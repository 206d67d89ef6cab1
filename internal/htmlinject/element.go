package htmlinject

// element is what must be known of an element by its name.
type element struct {
	name      string // empty for one that does not matter
	inHead    bool   // it does not end the head
	formats   bool   // it leans over what follows until it ends, as <b> does
	breaksOut bool   // its start tag ends SVG and MathML
}

// elements are those that matter, by the first letter and the length of their names.
var elements [26][maxName + 1][]element

// other stands for all that do not matter.
var other element

// known returns the element with a name in lower case, which begins with a letter
// and is no longer than maxName.
func known(name []byte) *element {
	list := elements[name[0]-'a'][len(name)]
	for i := range list {
		if list[i].name == string(name) {
			return &list[i]
		}
	}
	return &other
}

func init() {
	each := func(change func(*element), names ...string) {
		for _, name := range names {
			e := known([]byte(name))
			if e == &other {
				list := &elements[name[0]-'a'][len(name)]
				*list = append(*list, element{name: name})
				e = &(*list)[len(*list)-1]
			}
			change(e)
		}
	}
	each(func(e *element) { e.breaksOut = true }, "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed",
		"h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s", "small",
		"span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var")
	each(func(e *element) { e.inHead = true },
		"html", "head", "title", "meta", "link", "base", "script", "style", "noscript", "template", "noframes")
	each(func(e *element) { e.formats = true },
		"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
	each(func(*element) {}, "form", "svg", "math", "select", "col", "textarea", "xmp", "iframe", "noembed", "plaintext", "frameset",
		"foreignobject", "desc", "mi", "mo", "mn", "ms", "mtext")
}

// integrates reports whether an element of SVG or MathML holds HTML.
func integrates(outer, name string) bool {
	switch outer {
	case "svg":
		return name == "foreignobject" || name == "desc" || name == "title"
	case "math":
		return name == "mi" || name == "mo" || name == "mn" || name == "ms" || name == "mtext"
	}
	return false
}
