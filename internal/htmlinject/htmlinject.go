// Package htmlinject puts a script and hidden inputs into an HTML page while it
// passes by. Everything else of the page stays byte for byte, and leaves at
// once: held back is only a tag that may be the place of an insertion, until it
// is complete.
package htmlinject

import (
	"bytes"
	"io"
)

// Page is what is put into one document.
type Page struct {
	// Script is the whole element. It stands before the first of the document's
	// scripts, </head>, <body> and the first wanted form.
	Script []byte
	// Inputs are the first children of every wanted form, but for those that a tag
	// such as <b> has been left open before: there they would move what follows.
	Inputs []byte
	// Wanted says whether a form is wanted. Those that are in no document (in a
	// template, within another form) are not asked about.
	Wanted func(Form) bool
	// Policy rewrites the content of a <meta> with a Content-Security-Policy. It
	// returns false where the page is to be left alone.
	Policy func(content string) (string, bool)
	// Charset says that the answer's headers name the page's charset.
	Charset bool
}

const (
	// maxTag is the longest tag that is held back, in bytes. A page with a longer
	// one passes unchanged from there on.
	maxTag = 64 << 10
	// prescan is how far browsers look for a <meta> with the page's charset.
	prescan = 1024
)

// Writer rewrites the page that is written to it. It gives every byte on to the
// next writer within the same Write, but for an unfinished tag.
type Writer struct {
	next io.Writer
	page *Page
	err  error // of the next writer

	state  state
	offset int64 // of the byte that is looked at
	marked int   // how much of a byte order mark the page began with
	begun  bool  // more than space has come
	ended  bool  // there is nothing more to insert: all passes

	// the tag that is being read
	name    [maxName]byte // in lower case
	nameLen int           // maxName+1 where it is longer
	element *element      // with that name
	attrs   attributes    // of the last one whose attributes were read
	end     bool          // an end tag
	slash   bool          // self-closing, were it to end here
	start   int64         // offset of its <
	held    bool          // it is held back, from mark of this Write or from the first byte of hold
	mark    int
	hold    []byte

	dashes  int    // that a comment or a script may be ending with
	fresh   bool   // nothing but dashes have followed <!--
	matched int    // letters of a name that is being compared; negative where it is another
	raw     string // the element whose text is being read
	escape  int    // how deep a script hides its end: 1 within <!--, 2 within <script> there

	tree tree
	// scanned counts the bytes looked at, for the test that it is linear.
	scanned int64
}

// New returns a writer that puts what page says into what is written to it.
func New(next io.Writer, page *Page) *Writer {
	return &Writer{next: next, page: page, tree: tree{charset: page.Charset}}
}

// Write rewrites p.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	if !w.begun && w.isJSON(p) {
		w.giveUp()
	}
	for len(p) > 0 && w.err == nil {
		if w.ended {
			w.emit(p)
			break
		}
		part := p
		// an escape sequence in a page of an unknown charset may begin a text in
		// which ASCII bytes are no ASCII characters
		if esc := w.foreignByte(p); esc == 0 {
			w.giveUp()
			continue
		} else if esc > 0 {
			part = p[:esc]
		}
		p = p[w.rewrite(part):]
	}
	if w.err != nil {
		return 0, w.err
	}
	return n, nil
}

// Close gives on what was held back.
func (w *Writer) Close() error {
	w.giveUp()
	return w.err
}

// Held reports whether bytes are held back.
func (w *Writer) Held() bool { return len(w.hold) > 0 }

// isJSON reports whether what begins with p is a JSON document with a wrong type, as
// scripts get them: a tag in it is a text. No page begins like one.
func (w *Writer) isJSON(p []byte) bool {
	for _, c := range p {
		if bytes.IndexByte([]byte(" \t\r\n\xEF\xBB\xBF"), c) >= 0 { // space, and the mark of UTF-8
			continue
		}
		w.begun = true
		return c == '{' || c == '[' || c == '"'
	}
	return false
}

// foreignByte returns the index of the first byte of p that tells that ASCII
// characters need not be their bytes in this page; negative where there is none.
func (w *Writer) foreignByte(p []byte) int {
	const mark = "\xEF\xBB\xBF" // the byte order mark of UTF-8; those of UTF-16 begin with FE and FF
	if w.offset == 0 && p[0] >= 0xFE {
		return 0
	}
	for i := 0; i < len(p) && w.marked < len(mark) && w.offset+int64(i) == int64(w.marked); i++ {
		if p[i] != mark[w.marked] {
			w.marked = len(mark) // it has none
			break
		}
		if w.marked++; w.marked == len(mark) {
			w.tree.charset = true
		}
	}
	if w.tree.charset {
		return -1
	}
	return bytes.IndexByte(p, 0x1B)
}

// giveUp lets the rest pass.
func (w *Writer) giveUp() {
	hold := w.hold
	w.ended, w.held, w.hold = true, false, nil
	w.emit(hold)
}

func (w *Writer) emit(p []byte) {
	if len(p) > 0 && w.err == nil {
		_, w.err = w.next.Write(p)
	}
}

// rewrite rewrites p, as far as the tag after which it gave up or knows the
// charset, and returns how far that is.
func (w *Writer) rewrite(p []byte) int {
	sent := 0 // how much of p is given on
	i := 0
	known := w.tree.charset
	for i < len(p) && !w.ended && known == w.tree.charset {
		before := i
		i = w.step(p, i)
		w.offset += int64(i - before)
		w.scanned += int64(i - before)
		if w.state != tagEnd {
			continue
		}
		w.state = data
		if w.held {
			sent = w.decide(p, sent, i)
		}
		if !w.ended {
			w.follow()
		}
	}
	switch {
	case w.held && len(w.hold) > 0:
		w.hold = append(w.hold, p[:i]...)
	case w.held:
		w.emit(p[sent:w.mark])
		w.hold = append(w.hold, p[w.mark:i]...)
	default:
		w.emit(p[sent:i])
	}
	if len(w.hold) > maxTag {
		w.giveUp()
	}
	return i
}

// release gives on the tag that was held back: it is no place to insert.
func (w *Writer) release() {
	w.held = false
	w.emit(w.hold)
	w.hold = w.hold[:0]
}
