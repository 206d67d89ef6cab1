// Package formtoken finds the fields of a CAPTCHA token in a request body while the body streams by.
//
// It is not a form parser. It answers one question: which value would every plausible parser behind us
// read for these few names? Where two parsers could answer differently the body is refused, because an
// attacker would show one reading to the edge and the other one to the application. Everything that
// has nothing to do with the names is passed over, in constant memory.
package formtoken

import "errors"

// Field is a form field that is looked for.
type Field struct {
	// Name is compared exactly, after decoding. In JSON it is a member of the top-level object or, with
	// dots, a path of members; a top-level member named by the whole dotted string is refused, and so is
	// the path that a name with brackets, which is no path there, would be in a form.
	Name string

	// MaxLen is the longest value in bytes, decoded; a longer one is ErrTooLong. Default: 16 KiB.
	MaxLen int

	// Optional fields are looked for, but Complete does not wait for them.
	Optional bool

	// Alternative groups the fields of one token. The scan is complete once every required field of any
	// one alternative has been found. The same name may stand in several alternatives.
	Alternative int
}

// Kind says how a body is to be read.
type Kind uint8

// The kinds of body. None has no token.
const (
	None Kind = iota
	URLEncoded
	Multipart
	JSON
)

// String returns the kind's name for logs.
func (k Kind) String() string {
	switch k {
	case URLEncoded:
		return "urlencoded"
	case Multipart:
		return "multipart"
	case JSON:
		return "json"
	default:
		return "none"
	}
}

// Format is what the headers say of a body.
type Format struct {
	Kind     Kind
	Boundary string // of Multipart
}

// Error is a body that is refused, because two parsers could read it differently or a limit was passed.
type Error struct {
	// Detail is constant text for logs. It never contains bytes of the body.
	Detail string
}

// Error implements error.
func (e *Error) Error() string { return "ambiguous request body: " + e.Detail }

// ErrUnsupported says that a body of a kind that we parse is compressed, or in a charset in which the
// token's bytes would not be ASCII.
var ErrUnsupported = errors.New("unsupported content encoding or charset")

// ErrTooLong is a wanted field with a value beyond its MaxLen.
var ErrTooLong = &Error{"a token field is too long"}

// The limits of the search. Past them the body is refused.
const (
	maxParts     = 4096
	maxPairs     = 10_000
	maxName      = 1 << 10
	maxPartHead  = 16 << 10
	maxDepth     = 64
	maxBoundary  = 70
	maxCharset   = 64
	defaultValue = 16 << 10
)

// usualValue is enough room for a proof of work, and for the beginning of what is longer.
const usualValue = 640

// Every reason to refuse is one variable, so that tests can name it and the text stays constant.
var (
	errTypeMany     = &Error{"more than one content type"}
	errTypeSyntax   = &Error{"malformed content type"}
	errBoundary     = &Error{"missing, repeated or malformed multipart boundary"}
	errDifferent    = &Error{"two different values for one token field"}
	errAlias        = &Error{"a field name that some parsers take for a token field"}
	errCharset      = &Error{"_charset_ names a charset that is not ASCII-compatible"}
	errLongName     = &Error{"a field name is too long"}
	errPairs        = &Error{"too many fields"}
	errEscape       = &Error{"malformed percent-encoding in a token field"}
	errSemicolon    = &Error{"an unescaped semicolon, or what else some parsers take for a separator, next to a token field"}
	errPreamble     = &Error{"multipart body does not begin with its boundary"}
	errDelimiter    = &Error{"malformed multipart delimiter"}
	errEpilogue     = &Error{"what could be a header behind the multipart body's final boundary"}
	errUnterminated = &Error{"multipart body without its final boundary"}
	errParts        = &Error{"too many parts"}
	errPartHead     = &Error{"malformed header in a part"}
	errPartHeadLong = &Error{"header of a part is too long"}
	errDisposition  = &Error{"repeated or ambiguous Content-Disposition in a part"}
	errExtendedName = &Error{"RFC 2231 or encoded-word name of a part"}
	errPartName     = &Error{"ambiguous name of a part"}
	errTokenFile    = &Error{"a token field was sent as a file"}
	errTokenCoding  = &Error{"a token field has a content transfer encoding"}
	errTokenType    = &Error{"a token field has a content type that is not plain text"}
	errJSON         = &Error{"malformed JSON"}
	errJSONEnd      = &Error{"JSON body ends early"}
	errJSONTrailing = &Error{"data after the JSON value"}
	errJSONDepth    = &Error{"JSON is nested too deeply"}
	errJSONDup      = &Error{"duplicate JSON member on the way to the token"}
	errJSONText     = &Error{"invalid Unicode in a JSON member on the way to the token"}
	errJSONType     = &Error{"JSON token is not a string"}
)
