package captcha

import (
	"iter"
	"net/http"
	"net/textproto"
	"strings"
)

// maxSameName bounds how many cookies of one name are looked at.
const maxSameName = 4

// cookieValues yields the values of the first few cookies of a name. A visitor's other
// cookies, and there may be many, are neither parsed nor copied, and as ours are
// signed, a value needs no looking at either.
func cookieValues(r *http.Request, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		left := maxSameName
		for _, line := range r.Header["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				value, ok := strings.CutPrefix(textproto.TrimString(pair), name)
				if !ok || value == "" || value[0] != '=' {
					continue
				}
				if !yield(value[1:]) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
		}
	}
}
