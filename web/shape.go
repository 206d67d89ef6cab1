package web

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// A shape is a rendered page with holes where one response differs from the next:
// rendering runs html/template, which costs more than all the rest of a request.
type shape struct {
	html, csp []piece
	lang      string
}

// A piece is constant text and the hole behind it.
type piece struct {
	text string
	hole hole
}

// hole names what belongs to one response only.
type hole int

const (
	noHole hole = iota
	nonceHole
	referenceHole
	sealHole
	challengeHole
	lifetimeHole
	holes
)

// marks stand in the holes while a shape is rendered. Letters and digits are the
// same in every context of HTML, and nobody can guess them.
var marks = func() (m [holes]string) {
	for i := range m {
		m[i] = "m" + rand.Text()
	}
	return m
}()

// filling is what fills the holes of one response. Nonce, reference and seal are of
// an alphabet that needs no escaping anywhere; the others are JSON that is safe in
// a script element.
type filling [holes]string

// shapeKey is everything of a page that decides about its shape.
type shapeKey struct {
	kind                               Kind
	lang                               *locale
	reason, from, host, title, contact string
	fields                             string
	widget                             *Widget
	elsewhere, insecure, cleared       bool
	reference, next                    bool
}

// maxShapes is more than a site has: kinds of pages, languages, reasons. The host and
// the origin that a form came from are the client's words.
const maxShapes = 256

// key is the page's shape.
func (v *view) key() shapeKey {
	fields := v.Field
	if v.Widget != nil {
		fields = strings.Join(v.Fields, "\x00")
	}
	return shapeKey{
		kind: v.Kind, lang: v.locale, reason: v.Reason, from: v.From, host: v.Host, title: v.Title, contact: v.Contact,
		fields: fields, widget: v.Widget, elsewhere: v.Elsewhere, insecure: v.InsecureElsewhere, cleared: v.Cleared,
		reference: v.Reference != "", next: v.BlockedFallback,
	}
}

// fill renders the page from its shape, which is made where there is none yet.
func (t *Template) fill(room []byte, v *view) (Rendered, error) {
	key := v.key()
	s, ok := t.shapes.get(key)
	if !ok {
		var err error
		if s, err = t.shape(*v); err != nil {
			return Rendered{}, err
		}
		t.shapes.put(key, s)
	}
	f, err := v.filling()
	if err != nil {
		return Rendered{}, err
	}
	return Rendered{HTML: join(room, s.html, &f), CSP: string(join(nil, s.csp, &f)), Language: s.lang}, nil
}

// shape renders a page of the view's kind with marks for what is one response's.
func (t *Template) shape(v view) (*shape, error) {
	v.Nonce, v.Seal = marks[nonceHole], marks[sealHole]
	if v.Reference != "" {
		v.Reference = marks[referenceHole]
	}
	v.marked = true
	r, err := t.render(&v)
	if err != nil {
		return nil, err
	}
	return &shape{html: cut(string(r.HTML)), csp: cut(r.CSP), lang: r.Language}, nil
}

// filling is what fills the holes of this page.
func (v *view) filling() (f filling, err error) {
	f[nonceHole], f[referenceHole], f[sealHole] = v.Nonce, v.Reference, v.Seal
	if v.Kind == Stop {
		return f, nil
	}
	text, err := json.Marshal(v.document()) // escapes what could end a script element
	f[challengeHole], f[lifetimeHole] = string(text), strconv.FormatInt(v.lifetime.Milliseconds(), 10)
	return f, err
}

// isPlain reports whether a text that fills a hole needs no escaping. Ours do not;
// the package does not trust its callers with it.
func isPlain(text string) bool {
	for i := range len(text) {
		if !plain[text[i]] {
			return false
		}
	}
	return true
}

// plain is a table because a seal is long and its next character cannot be guessed.
var plain = func() (table [256]bool) {
	for _, c := range "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		table[c] = true
	}
	return table
}()

// cut finds the holes. Those that are JSON were rendered as texts in quotes.
func cut(text string) []piece {
	var pieces []piece
	for text != "" {
		at, which := len(text), noHole
		for h := nonceHole; h < holes; h++ {
			if i := strings.Index(text[:at], markOf(h)); i >= 0 {
				at, which = i, h
			}
		}
		pieces = append(pieces, piece{text[:at], which})
		if which == noHole {
			break
		}
		text = text[at+len(markOf(which)):]
	}
	return pieces
}

func markOf(h hole) string {
	if h == challengeHole || h == lifetimeHole {
		return `"` + marks[h] + `"`
	}
	return marks[h]
}

func join(room []byte, pieces []piece, f *filling) []byte {
	size := 0
	for _, p := range pieces {
		size += len(p.text) + len(f[p.hole])
	}
	all := slices.Grow(room[:0], size)
	for _, p := range pieces {
		all = append(all, p.text...)
		all = append(all, f[p.hole]...)
	}
	return all
}
