package captcha

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The request headers that tell the app what happened.
const (
	headerStatus   = "X-Captcha-Status"
	headerProvider = "X-Captcha-Provider"
	headerScore    = "X-Captcha-Score"
	headerReason   = "X-Captcha-Reason"

	forgedPrefix = "x-captcha-"
)

// stripForged removes every inbound header and trailer that only this module
// may set, and takes their names out of the Connection header, where they would
// make a proxy drop what we set. It allocates nothing where there is nothing to
// remove.
func stripForged(r *http.Request) {
	deleteForged(r.Header)
	if r.Header["Upgrade"] != nil {
		dropH2C(r.Header)
	}
	if _, ok := r.Header["Connection"]; ok {
		scrubConnection(r.Header)
	}
	if r.Trailer != nil && r.Body != nil {
		deleteForged(r.Trailer)
		// net/http fills in the trailers, announced or not, at the body's end
		if _, ok := r.Body.(*trailerFilter); !ok {
			r.Body = &trailerFilter{body: r.Body, trailer: r.Trailer}
		}
	}
}

// dropH2C takes out an upgrade to HTTP/2 in the clear: behind it, requests would
// reach the app that nobody has looked at.
func dropH2C(h http.Header) {
	for _, v := range h["Upgrade"] {
		if strings.Contains(strings.ToLower(v), "h2c") {
			delete(h, "Upgrade")
			delete(h, "Http2-Settings")
			return
		}
	}
}

func deleteForged(h http.Header) {
	for name := range h {
		if forged(name) {
			delete(h, name)
		}
	}
}

// forged reports whether a backend could read name as one of our headers. CGI
// and its heirs map every separator to the underscore, so all separators are
// one here.
func forged(name string) bool {
	if len(name) < len(forgedPrefix) || name[0]|0x20 != 'x' {
		return false
	}
	for i := range len(forgedPrefix) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		if c != forgedPrefix[i] {
			return false
		}
	}
	return true
}

func scrubConnection(h http.Header) {
	values := h["Connection"]
	found := false
	for _, v := range values {
		for token := range strings.SplitSeq(v, ",") {
			found = found || forged(strings.TrimSpace(token))
		}
	}
	if !found {
		return
	}
	var kept []string
	for _, v := range values {
		for token := range strings.SplitSeq(v, ",") {
			if token = strings.TrimSpace(token); !forged(token) {
				kept = append(kept, token)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(kept, ", ")}
}

// trailerFilter removes forged trailers once the body has been read.
type trailerFilter struct {
	body    io.ReadCloser
	trailer http.Header
}

func (t *trailerFilter) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if err != nil {
		deleteForged(t.trailer)
	}
	return n, err
}

func (t *trailerFilter) Close() error { return t.body.Close() }

// stripHandler removes forged X-Captcha-* headers from every request that
// reaches it. The captcha directive places it in front of the site's handlers,
// without a matcher, so that a request which the directive's own matcher does
// not select cannot pretend to have been verified. In JSON, place it first in
// the routes of a site that uses the captcha handler with a matcher.
type stripHandler struct {
	// Guard answers a script's question for a challenge, which no captcha handler
	// in front of this one has answered, with 204: what it is about to send needs
	// no CAPTCHA, and the question itself must not reach the app, to which it would
	// be an empty POST. The value is `answer`. The captcha_inject directive places it
	// behind the captcha handlers. Default: none.
	Guard string `json:"guard,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (stripHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.captcha_strip", New: func() caddy.Module { return new(stripHandler) }}
}

// ServeHTTP removes forged headers, unless a captcha handler has already done
// so and set its own.
func (s stripHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	arrive(r)
	if s.Guard == guardAnswer && asksForPuzzle(w, r) {
		return answerStray(w)
	}
	return next.ServeHTTP(w, r)
}
