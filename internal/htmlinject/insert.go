package htmlinject

// edit is what becomes of a tag: what is put before it, what stands in its place
// where that is another text, and what is put behind it.
type edit struct{ before, instead, behind []byte }

// decide decides about the tag that is held back and ends at p[end]. What comes
// before a change is given on, and the change; it returns how much of p that is.
func (w *Writer) decide(p []byte, sent, end int) int {
	if w.offset-w.start > maxTag {
		w.giveUp()
		return sent
	}
	w.held = false
	if len(w.hold) > 0 { // it began in an earlier Write
		w.hold = append(w.hold, p[:end]...)
		text := w.hold
		w.hold = w.hold[:0]
		e := w.consider(text)
		if e.instead == nil {
			e.instead = text
		}
		w.emit(e.before)
		w.emit(e.instead)
		w.emit(e.behind)
		return end
	}
	e := w.consider(p[w.mark:end])
	if e.before != nil || e.instead != nil {
		w.emit(p[sent:w.mark])
		w.emit(e.before)
		sent = w.mark
	}
	if e.instead != nil {
		w.emit(e.instead)
		sent = end
	}
	if e.behind != nil {
		w.emit(p[sent:end])
		w.emit(e.behind)
		sent = end
	}
	return sent
}

// consider decides about a tag that was held back.
func (w *Writer) consider(text []byte) (e edit) {
	t := &w.tree
	switch w.element.name {
	case "head", "body":
		e.before = w.place()
	case "script":
		if t.charset || w.start >= prescan {
			e.before = w.place()
		}
	case "base":
		w.attrs = w.attrs[:0].read(text)
		if href, ok := w.attrs.lookup("href"); ok {
			t.based, t.base = true, href
		}
	case "meta":
		e.instead = w.meta(text)
	case "form":
		w.attrs = w.attrs[:0].read(text)
		if w.page.Wanted(formOf(w.attrs, t.base)) {
			e.before = w.place()
			if len(t.leaning) == 0 { // else an input would begin the formatting anew, and the form's content would stand in it
				e.behind = w.page.Inputs
			}
		}
	}
	return e
}

// place returns the script, once.
func (w *Writer) place() []byte {
	if w.tree.placed {
		return nil
	}
	w.tree.placed = true
	return w.page.Script
}
