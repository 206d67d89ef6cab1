package htmlinject

import "bytes"

// state is where in the page the next byte stands, as far as that decides where
// tags begin and end. The states are those of the HTML standard's tokenizer
// (section 13.2.5), several of them in one where the difference does not matter.
type state uint8

const (
	data state = iota
	tagOpen
	endTagOpen
	tagName
	inTag // before the name of an attribute
	attrName
	afterAttrName
	beforeValue
	valueDouble
	valueSingle
	valueUnquoted
	tagEnd // a tag has just ended
	markup // after <!
	markupDash
	comment
	commentBang
	bogus
	cdataOpen
	cdata
	rawText
	rawLess
	rawEnd
	bang
	bangDash
	scriptWord
)

const maxName = len("feComponentTransfer")

// step reads on from p[i], which w.offset is the offset of, and returns where it
// has come to: no further than the end of a tag. It may stay where it is in another
// state.
func (w *Writer) step(p []byte, i int) int {
	switch {
	case w.state == data:
		n := 0
		if p[i] != '<' { // many tags stand behind one another
			if n = bytes.IndexByte(p[i:], '<'); n < 0 {
				return len(p)
			}
		}
		w.state, w.held, w.mark, w.start = tagOpen, true, i+n, w.offset+int64(n)
		return w.stepName(p, i+n+1)
	case w.state < tagName:
		return w.stepName(p, i)
	case w.state == tagName:
		return w.stepTagName(p, i)
	case w.state < tagEnd:
		return w.stepTag(p, i)
	case w.state <= cdata:
		return w.stepMarkup(p, i)
	default:
		return w.stepRaw(p, i)
	}
}

// stepName reads a tag's beginning, up to its name.
func (w *Writer) stepName(p []byte, i int) int {
	if i < len(p) && p[i] == '/' && w.state == tagOpen {
		w.state = endTagOpen
		i++
	}
	if i == len(p) {
		return i
	}
	c, end := p[i], w.state == endTagOpen
	switch {
	case isLetter(c):
		w.end, w.state, w.nameLen, w.slash = end, tagName, 0, false
		return w.stepTagName(p, i)
	case end && c == '>':
		w.state = data
	case end:
		w.state = bogus
		w.release()
		return i
	case c == '!':
		w.state = markup
	case c == '?':
		w.state = bogus
	default: // the < is text
		w.state = data
		w.release()
		return i
	}
	w.release()
	return i + 1
}

// stepTagName reads the name of a tag. At its end it shows whether the tag is held
// back further.
func (w *Writer) stepTagName(p []byte, i int) int {
	n := w.nameLen
	for ; i < len(p) && !endsName(p[i]); i++ {
		if n < maxName {
			w.name[n] = lower(p[i])
			n++
		} else {
			n = maxName + 1
		}
	}
	w.nameLen, w.element = n, &other
	if n <= maxName {
		if i == len(p) {
			return i
		}
		w.element = known(w.name[:n])
	}
	if w.held && !w.mayInsert() {
		w.release()
	}
	switch {
	case i == len(p):
		return i
	case p[i] == '>':
		w.state = tagEnd
		return i + 1
	}
	w.state = inTag
	return w.stepTag(p, i)
}

// endsName reports whether a byte ends the name of a tag.
func endsName(c byte) bool { return c <= '>' && (c == '>' || c == '/' || isSpace(c)) }

// stepTag reads the attributes of a tag.
func (w *Writer) stepTag(p []byte, i int) int {
	state := w.state
	for i < len(p) && state != tagEnd {
		switch state {
		case valueDouble:
			i, state = skipTo(p, i, '"', state, inTag)
			continue
		case valueSingle:
			i, state = skipTo(p, i, '\'', state, inTag)
			continue
		case attrName, valueUnquoted:
			for p[i] > '>' { // what ends these is all smaller
				if i++; i == len(p) {
					w.state = state
					return i
				}
			}
		}
		c := p[i]
		i++
		switch {
		case c == '>':
			state = tagEnd
		case state == valueUnquoted:
			if isSpace(c) {
				state = inTag
			}
		case state == beforeValue:
			switch {
			case c == '"':
				state = valueDouble
			case c == '\'':
				state = valueSingle
			case !isSpace(c):
				state = valueUnquoted
			}
		case c == '/':
			state, w.slash = inTag, true
		case isSpace(c):
			w.slash = false
			if state == attrName {
				state = afterAttrName
			}
		case c == '=' && state != inTag:
			state = beforeValue
		default:
			state, w.slash = attrName, false
		}
	}
	w.state = state
	return i
}

// skipTo reads on to the byte end, after which the state is next, or to the end of p.
func skipTo(p []byte, i int, end byte, now, next state) (int, state) {
	n := bytes.IndexByte(p[i:], end)
	if n < 0 {
		return len(p), now
	}
	return i + n + 1, next
}

// stepRaw reads the text of an element in which there are no tags but its own
// end, and of scripts, which may hide that too.
func (w *Writer) stepRaw(p []byte, i int) int {
	c := p[i]
	switch w.state {
	case rawText:
		return w.stepText(p, i)
	case rawLess:
		w.matched = 0
		switch {
		case c == '/' && w.escape < 2:
			w.state = rawEnd
		case c == '/':
			w.state = scriptWord
		case c == '!' && w.raw == "script" && w.escape == 0:
			w.state = bang
		case isLetter(c) && w.escape == 1:
			w.state = scriptWord
			return i
		default:
			w.state = rawText
			return i
		}
	case rawEnd:
		switch {
		case w.matched < len(w.raw) && lower(c) == w.raw[w.matched]:
			w.matched++
			return i + 1
		case w.matched == len(w.raw) && (isSpace(c) || c == '/' || c == '>'):
			w.end, w.slash, w.escape = true, false, 0
			w.nameLen = copy(w.name[:], w.raw)
			w.element = known(w.name[:w.nameLen])
			w.state = inTag
			return i
		}
		w.state = rawText
		return i
	case bang, bangDash:
		if c != '-' {
			w.state = rawText
			return i
		}
		if w.state++; w.state > bangDash {
			w.state, w.escape, w.dashes = rawText, 1, 2
		}
	case scriptWord:
		return w.stepWord(c, i)
	}
	return i + 1
}

// stepText reads on to what may be the end of the text, or hide it.
func (w *Writer) stepText(p []byte, i int) int {
	if w.escape > 0 {
		return w.stepEscaped(p, i)
	}
	for {
		n := bytes.IndexByte(p[i:], '<')
		if n < 0 {
			return len(p)
		}
		i += n + 1
		if i == len(p) || p[i] == '/' || p[i] == '!' {
			w.state = rawLess
			return i
		}
	}
}

func (w *Writer) stepEscaped(p []byte, i int) int {
	for i < len(p) && w.state == rawText && w.escape > 0 {
		c := p[i]
		i++
		if c == '-' {
			w.dashes++
			continue
		}
		if c == '<' {
			w.state = rawLess
		} else if c == '>' && w.dashes >= 2 {
			w.escape = 0
		}
		w.dashes = 0
	}
	return i
}

// stepWord reads a word after < or </ in an escaped script, which a script's own
// name makes hide its end, or no longer.
func (w *Writer) stepWord(c byte, i int) int {
	const word = "script"
	switch {
	case isLetter(c):
		if w.matched >= 0 && w.matched < len(word) && lower(c) == word[w.matched] {
			w.matched++
		} else {
			w.matched = -1
		}
		return i + 1
	case w.matched == len(word) && (isSpace(c) || c == '/' || c == '>'):
		w.escape = 3 - w.escape // 1 becomes 2, and 2 becomes 1
		w.state = rawText
		return i + 1
	}
	w.state = rawText
	return i
}

func isLetter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
