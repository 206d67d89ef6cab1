package formtoken

// jsonScan is a strict tokenizer of RFC 8259 that follows the paths to the wanted members.
type jsonScan struct {
	s     *Scanner
	state jsState
	stack []jsFrame
	pairs int
	ended *field // its string is closed, its member not yet

	member  *jsNode // the wanted member whose value comes next
	key     []byte
	keyed   bool // the string being read is a key
	strict  bool // the string being read is a key on the path, or a wanted value
	text    jsText
	literal string // rest of true, false or null
}

// jsFrame is an open object or array; node is set for an object on the way to a wanted member.
type jsFrame struct {
	object bool
	node   *jsNode
}

type jsState uint8

const (
	jsValue    jsState = iota // a value must come
	jsElement                 // a value or the end of an empty array
	jsFirstKey                // a key or the end of an empty object
	jsKey                     // a key must come
	jsColon
	jsString
	jsLiteral
	jsAfter    // a value has ended
	jsMinus    // behind "-"
	jsZero     // behind a leading 0
	jsInteger  // in the integer part
	jsPoint    // behind "."
	jsFraction // in the fraction
	jsExp      // behind "e"
	jsSign     // behind the exponent's sign
	jsExponent // in the exponent
)

func newJSON(s *Scanner) *jsonScan {
	j := &jsonScan{s: s, stack: make([]jsFrame, 0, 8)}
	j.member = newPaths(&s.names)
	return j
}

func (j *jsonScan) feed(p []byte, off int64) *Error {
	for i := 0; i < len(p); {
		if j.state == jsString {
			n, e := j.readString(p[i:], off+int64(i))
			if e != nil {
				return e
			}
			i += n
			continue
		}
		if e := j.readByte(p[i], off+int64(i)+1); e != nil {
			return e
		}
		i++
	}
	return nil
}

func (j *jsonScan) end(off int64) *Error {
	whole := j.state == jsAfter || j.inNumber() && j.numberCanEnd()
	if len(j.stack) == 0 && (whole || j.state == jsValue) {
		return nil // nothing but white space is an empty body
	}
	return j.s.fail(errJSONEnd, off)
}

func (j *jsonScan) readByte(c byte, at int64) *Error {
	if j.inNumber() {
		if next, ok := numberStep(j.state, c); ok {
			j.state = next
			return nil
		}
		if !j.numberCanEnd() {
			return j.s.fail(errJSON, at)
		}
		j.state = jsAfter
	}
	if j.state == jsLiteral {
		if c != j.literal[0] {
			return j.s.fail(errJSON, at)
		}
		if j.literal = j.literal[1:]; j.literal == "" {
			j.state = jsAfter
		}
		return nil
	}
	if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
		return nil
	}
	switch j.state {
	case jsValue, jsElement:
		return j.beginValue(c, at)
	case jsFirstKey, jsKey:
		return j.beginKey(c, at)
	case jsColon:
		if c != ':' {
			return j.s.fail(errJSON, at)
		}
		j.state = jsValue
		return nil
	default:
		return j.afterValue(c, at)
	}
}

// beginValue takes the first byte of a value.
func (j *jsonScan) beginValue(c byte, at int64) *Error {
	if c == ']' && j.state == jsElement {
		return j.pop(at)
	}
	node := j.member
	j.member = nil
	if node != nil && node.field != nil && c != '"' && c != 'n' && (c != '{' || len(node.members) == 0) {
		return j.s.fail(errJSONType, at)
	}
	switch c {
	case '{':
		if node != nil && len(node.members) == 0 {
			node = nil
		}
		return j.push(jsFrame{object: true, node: node}, jsFirstKey, at)
	case '[':
		return j.push(jsFrame{}, jsElement, at)
	case '"':
		var f *field
		if node != nil {
			f = node.field
		}
		j.beginString(f)
		return nil
	case 't':
		j.state, j.literal = jsLiteral, "rue"
	case 'f':
		j.state, j.literal = jsLiteral, "alse"
	case 'n':
		j.state, j.literal = jsLiteral, "ull"
	default:
		next, ok := numberStep(jsValue, c)
		if !ok {
			return j.s.fail(errJSON, at)
		}
		j.state = next
	}
	return nil
}

// beginKey takes the first byte of a key, or the end of an empty object.
func (j *jsonScan) beginKey(c byte, at int64) *Error {
	if c == '}' && j.state == jsFirstKey {
		return j.pop(at)
	}
	if c != '"' {
		return j.s.fail(errJSON, at)
	}
	if j.pairs++; j.pairs > maxPairs {
		return j.s.fail(errPairs, at)
	}
	j.beginString(nil)
	j.keyed, j.key = true, j.key[:0]
	j.strict = j.stack[len(j.stack)-1].node != nil
	return nil
}

// afterValue takes what follows a value.
func (j *jsonScan) afterValue(c byte, at int64) *Error {
	if len(j.stack) == 0 {
		return j.s.fail(errJSONTrailing, at)
	}
	object := j.stack[len(j.stack)-1].object
	if c != ',' && !(c == '}' && object) && !(c == ']' && !object) {
		return j.s.fail(errJSON, at)
	}
	if j.ended != nil {
		j.ended = nil
		if e := j.s.commit(at); e != nil {
			return e
		}
	}
	if c != ',' {
		return j.pop(at)
	}
	j.state = jsValue
	if object {
		j.state = jsKey
	}
	return nil
}

func (j *jsonScan) push(frame jsFrame, next jsState, at int64) *Error {
	if len(j.stack) == maxDepth {
		return j.s.fail(errJSONDepth, at)
	}
	j.stack, j.state = append(j.stack, frame), next
	return nil
}

func (j *jsonScan) pop(int64) *Error {
	j.stack, j.state = j.stack[:len(j.stack)-1], jsAfter
	return nil
}

func (j *jsonScan) inNumber() bool { return j.state >= jsMinus }

func (j *jsonScan) numberCanEnd() bool {
	switch j.state {
	case jsZero, jsInteger, jsFraction, jsExponent:
		return true
	}
	return false
}

// numberStep is the grammar of numbers. It starts from jsValue.
func numberStep(state jsState, c byte) (jsState, bool) {
	digit := '0' <= c && c <= '9'
	switch state {
	case jsValue, jsElement, jsMinus:
		switch {
		case c == '-' && state != jsMinus:
			return jsMinus, true
		case c == '0':
			return jsZero, true
		case digit:
			return jsInteger, true
		}
	case jsZero, jsInteger, jsFraction:
		switch {
		case digit && state != jsZero:
			return state, true
		case c == '.' && state != jsFraction:
			return jsPoint, true
		case c == 'e' || c == 'E':
			return jsExp, true
		}
	case jsPoint:
		return jsFraction, digit
	case jsExp:
		if c == '+' || c == '-' {
			return jsSign, true
		}
		return jsExponent, digit
	case jsSign, jsExponent:
		return jsExponent, digit
	}
	return 0, false
}
