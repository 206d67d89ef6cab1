package formtoken

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fields are the names to look for, prepared once for any number of bodies. They are safe for
// concurrent use.
type Fields struct {
	wanted  []wanted
	missing []int // how many required fields each alternative has
}

// wanted is a name that is looked for.
type wanted struct {
	name     string
	folded   folding
	maxLen   int
	required []int // the alternatives that need it, as indexes of Fields.missing
	charset  bool  // the internal _charset_ field: its value is checked, never returned
}

// charsetName is the HTML field by which parsers that honour it decode the form.
const charsetName = "_charset_"

// Prepare prepares names. One that is given twice is one field with the larger MaxLen.
func Prepare(fields []Field) *Fields {
	all := new(Fields)
	index := make(map[int]int) // of the alternatives
	for _, want := range fields {
		w := all.named(want.Name)
		length := want.MaxLen
		if length <= 0 {
			length = defaultValue
		}
		w.maxLen = max(w.maxLen, length)
		if want.Optional {
			continue
		}
		at, known := index[want.Alternative]
		if !known {
			at = len(all.missing)
			index[want.Alternative] = at
			all.missing = append(all.missing, 0)
		}
		if !slices.Contains(w.required, at) {
			w.required = append(w.required, at)
			all.missing[at]++
		}
	}
	return all
}

// named returns the wanted field of a name, which is a new one if need be.
func (all *Fields) named(name string) *wanted {
	for i := range all.wanted {
		if all.wanted[i].name == name {
			return &all.wanted[i]
		}
	}
	all.wanted = append(all.wanted, wanted{name: name, folded: foldingOf(name)})
	return &all.wanted[len(all.wanted)-1]
}

// field is a wanted field and what was found of it.
type field struct {
	*wanted
	collect strings.Builder
	value   string
	found   bool
	beganAt int64 // bytes of the body before the value, in an urlencoded body
}

// nameSet tells wanted names, and names that some parsers take for wanted ones, from all others.
type nameSet struct {
	fields  []field
	scratch folder
}

// newNameSet puts the fields into room, if there is enough.
func newNameSet(all *Fields, room []field) nameSet {
	if len(all.wanted) >= cap(room) { // one more may be _charset_
		room = make([]field, 0, len(all.wanted)+1)
	}
	set := nameSet{fields: room[:len(all.wanted)]}
	for i := range all.wanted {
		set.fields[i].wanted = &all.wanted[i]
	}
	return set
}

var wantedCharset = wanted{name: charsetName, maxLen: maxCharset, charset: true}

// addCharset has the field _charset_ looked for as well.
func (set *nameSet) addCharset() {
	if set.exact([]byte(charsetName)) == nil {
		set.fields = append(set.fields, field{wanted: &wantedCharset})
	}
}

// exact returns the field of precisely that name.
func (set *nameSet) exact(name []byte) *field {
	for i := range set.fields {
		if string(name) == set.fields[i].name {
			return &set.fields[i]
		}
	}
	return nil
}

// match returns the field of that name, or an error for a name that only resembles one.
func (set *nameSet) match(name []byte) (*field, *Error) {
	if f := set.exact(name); f != nil {
		return f, nil
	}
	if set.resembles(name) {
		return nil, errAlias
	}
	return nil, nil
}

// near says whether some parser could take the name for a wanted one, or whether it is one.
func (set *nameSet) near(name []byte) bool {
	if f := set.exact(name); f != nil {
		return !f.charset
	}
	return set.resembles(name)
}

// resembles says whether some parser takes the name for a wanted one. A NUL ends the name for parsers
// written in C and vanishes in others.
func (set *nameSet) resembles(name []byte) bool {
	if set.folds(name) {
		return true
	}
	i := bytes.IndexByte(name, 0)
	return i >= 0 && (set.folds(name[:i]) || set.folds(bytes.ReplaceAll(name, []byte{0}, nil)))
}

func (set *nameSet) folds(name []byte) bool {
	for i := range set.fields {
		if f := &set.fields[i]; !f.charset && f.folded.matches(&set.scratch, name) {
			return true
		}
	}
	return false
}

// folding is a wanted name as the laxest parsers see it.
type folding struct {
	flat  string
	words string // of a name of several members
}

func foldingOf(name string) folding {
	var b folder
	n := folding{flat: string(b.flat(trimSpace([]byte(name))))}
	if words := b.words([]byte(name)); strings.Contains(words, wordEnd) {
		n.words = words
	}
	return n
}

// matches compares in three ways: PHP's, which turns dots, spaces and unclosed brackets into
// underscores (trailing spaces too); trimming ones; and those for which brackets address members, so
// that name[], name[x] and [name] all fill what name does.
func (n folding) matches(b *folder, name []byte) bool {
	if n.flat == "" {
		return false
	}
	if isPlain(name) {
		return string(name) == n.flat // the common case: nothing to fold
	}
	if string(b.flat(trimLeft(name))) == n.flat {
		return true
	}
	trimmed := b.flat(trimSpace(name))
	if string(trimmed) == n.flat {
		return true
	}
	if n.words != "" {
		// The wanted name addresses a member itself, so another spelling of the way there is an alias, and
		// so is what goes on behind it: PHP drops that, and others fill what is below.
		words := b.words(name)
		return words == n.words || strings.HasPrefix(words, n.words+wordEnd) || name[0] == '[' && n.within(words)
	}
	member := bytes.TrimLeftFunc(name, func(r rune) bool { return isBlank(r) || isBracket(r) || r == '.' })
	if i := bytes.IndexFunc(member, isBracket); i >= 0 {
		member = member[:i]
	}
	return string(b.flat(trimSpace(member))) == n.flat
}

// within says whether words has all words of the name: qs passes over what stands between the brackets of a
// name that begins with one.
func (n folding) within(words string) bool {
	all := strings.Split(words, wordEnd)
	for word := range strings.SplitSeq(n.words, wordEnd) {
		if !slices.Contains(all, word) {
			return false
		}
	}
	return true
}

// folder is a reusable buffer for folding.
type folder struct{ buf []byte }

// flat lowers case and maps what PHP maps. The result is valid until the next call.
func (b *folder) flat(name []byte) []byte {
	out := b.buf[:0]
	for len(name) > 0 {
		c := name[0]
		switch {
		case c == '.' || c == ' ' || c == '[':
			out = append(out, '_')
		case 'A' <= c && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c < utf8.RuneSelf:
			out = append(out, c)
		default:
			r, size := utf8.DecodeRune(name)
			if r == utf8.RuneError && size == 1 {
				out = append(out, c)
			} else {
				out = utf8.AppendRune(out, foldRune(r))
			}
			name = name[size:]
			continue
		}
		name = name[1:]
	}
	b.buf = out
	return out
}

// wordEnd separates the words of a name.
const wordEnd = "\x00"

// words splits a name into the members that it addresses, however that is spelled: user[captcha],
// [user][captcha], user.captcha and user["captcha"] are one for one parser or another.
func (b *folder) words(name []byte) string {
	if isPlain(name) {
		return string(name)
	}
	words := bytes.FieldsFunc(name, func(r rune) bool {
		return isBracket(r) || isBlank(r) || r == '.' || r == '"' || r == '\''
	})
	return string(b.flat(bytes.Join(words, []byte(wordEnd))))
}

// foldRune maps a letter beyond ASCII to the one that stands for all its cases. The Kelvin sign and the
// long s fold to ASCII letters, and so do the Turkish i's on some systems.
func foldRune(r rune) rune {
	if r == 'ı' || r == 'İ' {
		return 'i'
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

func trimSpace(name []byte) []byte { return bytes.TrimFunc(name, isBlank) }
func trimLeft(name []byte) []byte  { return bytes.TrimLeftFunc(name, isBlank) }

// isBlank tells white space, control characters, and what is not seen at all: a byte order mark and
// other format characters.
func isBlank(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// isPlain says that folding leaves the name as it is.
func isPlain(name []byte) bool {
	for _, c := range name {
		if c != '_' && c != '-' && (c < '0' || '9' < c) && (c < 'a' || 'z' < c) {
			return false
		}
	}
	return true
}

func isBracket(r rune) bool { return r == '[' || r == ']' }
