package formtoken

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// jsNode is a member on the way to wanted fields, or one itself.
type jsNode struct {
	field   *field
	alias   bool // what some parsers take for a wanted field
	members []*jsMember
	names   nameSet // of the members
	dotted  nameSet // at the top: of the whole paths
}

type jsMember struct {
	name string
	seen bool
	node jsNode
}

// newPaths arranges the wanted names as a tree of members below the top-level object.
func newPaths(names *nameSet) *jsNode {
	root := &jsNode{}
	var dotted []Field
	for i := range names.fields {
		f := &names.fields[i]
		if strings.Contains(f.name, ".") {
			dotted = append(dotted, Field{Name: f.name})
		}
		path := strings.Split(f.name, ".")
		root.below(path).field = f
		if words := strings.FieldsFunc(f.name, addresses); len(words) > 1 && !slices.Equal(words, path) {
			root.below(words).alias = true // {"user":{"captcha":…}} is user[captcha] to an app that takes forms, too
		}
	}
	root.index()
	root.dotted = newNameSet(Prepare(dotted), nil)
	return root
}

// addresses tells what separates the members that a name addresses in a form.
func addresses(r rune) bool { return r == '.' || isBracket(r) }

// below returns the node at the end of a path, which is a new one if need be.
func (n *jsNode) below(path []string) *jsNode {
	for _, name := range path {
		n = n.child(name)
	}
	return n
}

func (n *jsNode) child(name string) *jsNode {
	for _, m := range n.members {
		if m.name == name {
			return &m.node
		}
	}
	m := &jsMember{name: name}
	n.members = append(n.members, m)
	return &m.node
}

// index prepares the comparison of keys in this object and those below.
func (n *jsNode) index() {
	fields := make([]Field, 0, len(n.members))
	for _, m := range n.members {
		fields = append(fields, Field{Name: m.name})
		m.node.index()
	}
	n.names = newNameSet(Prepare(fields), nil)
}

// endKey looks the key up that has just ended. A member that is not on the way to a token may repeat:
// that is the application's to judge.
func (j *jsonScan) endKey(at int64) *Error {
	node := j.stack[len(j.stack)-1].node
	if node == nil {
		return nil
	}
	if !utf8.Valid(j.key) {
		return j.s.fail(errJSONText, at)
	}
	if node.dotted.near(j.key) {
		return j.s.fail(errAlias, at) // Lodash and Laravel look there first
	}
	f, e := node.names.match(j.key)
	if e != nil {
		return j.s.fail(e, at)
	}
	if f == nil {
		return nil
	}
	for _, m := range node.members {
		if m.name != f.name {
			continue
		}
		if m.seen {
			return j.s.fail(errJSONDup, at)
		}
		if m.node.alias && m.node.field == nil {
			return j.s.fail(errAlias, at)
		}
		m.seen, j.member = true, &m.node
	}
	return nil
}
