package htmlinject

import "bytes"

// stepMarkup reads what begins with <! or is taken for a comment.
func (w *Writer) stepMarkup(p []byte, i int) int {
	c := p[i]
	switch w.state {
	case markup:
		switch {
		case c == '-':
			w.state = markupDash
			return i + 1
		case c == '[' && w.tree.foreign():
			w.state, w.matched = cdataOpen, 1
			return i + 1
		}
		w.state = bogus
		return i
	case markupDash:
		if c != '-' {
			w.state = bogus
			return i
		}
		w.state, w.dashes, w.fresh = comment, 0, true
	case bogus:
		i, w.state = skipTo(p, i, '>', bogus, data)
		return i
	case cdataOpen:
		const opening = "[CDATA["
		if c != opening[w.matched] {
			w.state = bogus
			return i
		}
		if w.matched++; w.matched == len(opening) {
			w.state, w.dashes = cdata, 0
		}
	case cdata:
		return w.stepCdata(p, i)
	default:
		return w.stepComment(p, i)
	}
	return i + 1
}

func (w *Writer) stepCdata(p []byte, i int) int {
	for i < len(p) {
		c := p[i]
		i++
		switch {
		case c == ']':
			w.dashes++
		case c == '>' && w.dashes >= 2:
			w.state = data
			return i
		default:
			w.dashes = 0
			n := bytes.IndexByte(p[i:], ']')
			if n < 0 {
				return len(p)
			}
			i += n
		}
	}
	return i
}

func (w *Writer) stepComment(p []byte, i int) int {
	for i < len(p) {
		c := p[i]
		i++
		if w.state == commentBang && c != '>' {
			w.state, w.dashes = comment, 0
		}
		switch {
		case c == '>' && (w.state == commentBang || w.dashes >= 2 || w.fresh):
			w.state = data
			return i
		case c == '-':
			w.dashes++
		case c == '!' && w.dashes >= 2:
			w.state, w.fresh = commentBang, false
		default:
			w.dashes, w.fresh = 0, false
			n := bytes.IndexByte(p[i:], '-')
			if n < 0 {
				return len(p)
			}
			i += n
		}
	}
	return i
}
