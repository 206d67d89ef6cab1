package geetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// decode reads a provider's answer: one JSON object of the expected types.
func decode(body []byte, doc any) bool {
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && json.Unmarshal(body, doc) == nil
}

// code is an error code. GeeTest writes it as a string or a number, with a
// minus sign ("-50005") or a word before it ("error_32"); its tables have the
// digits alone, and so has a code. It is empty where there is none.
type code string

const (
	oddCode code = "odd" // one that is in none of GeeTest's tables
	maxCode      = 8     // digits
)

var errCode = errors.New("not an error code")

// UnmarshalJSON reads a code in any of its spellings.
func (c *code) UnmarshalJSON(text []byte) error {
	*c = ""
	s := string(text)
	switch {
	case s == "null" || s == `""`:
		return nil
	case strings.HasPrefix(s, `"`):
		s = strings.Trim(s, `"`)
	case s[0] != '-' && !isDigit(s[0]):
		return errCode
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "error_"), "-")
	*c = code(s)
	if len(s) > maxCode || !only(s, isDigit) {
		*c = oddCode
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
