package geetest

import (
	"errors"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// code is an error code. GeeTest writes it as a string or a number, with a
// minus sign ("-50005") or a word before it ("error_32"); its tables have the
// digits alone, and so has a code. It is empty where there is none. One that is
// not of this form stays as it came: it is in no table.
type code string

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
	*c = code(strings.TrimPrefix(strings.TrimPrefix(s, "error_"), "-"))
	return nil
}

// refusal is the verdict for a code that is the client's fault: for a reason
// where the table says one, and unknown where no table has the code.
func (c code) refusal(table map[code]provider.Reason, secrets ...string) provider.Verdict {
	reason, known := table[c]
	if !known {
		reason = provider.TokenInvalid
	}
	name := outbound.Visible(string(c), secrets...)
	v := fail(reason, "validate refuses with code "+name)
	if !known {
		v.Unknown = name
	}
	return v
}

// table makes a table of the codes that are the client's fault.
func table(reasons map[provider.Reason]string) map[code]provider.Reason {
	all := make(map[code]provider.Reason)
	for reason, codes := range reasons {
		for c := range strings.FieldsSeq(codes) {
			all[code(c)] = reason
		}
	}
	return all
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
