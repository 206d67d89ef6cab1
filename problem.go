package captcha

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/web"
)

// problem is our problem document (RFC 9457).
type problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail"`
	Reason    provider.Reason `json:"reason"`
	Reference string          `json:"reference"`
	Captcha   json.RawMessage `json:"captcha,omitempty"`
}

// puzzle is what a script needs in order to solve a challenge.
type puzzle struct {
	Provider  string          `json:"provider"`
	SiteKey   string          `json:"site_key,omitempty"`
	Script    string          `json:"script,omitempty"`
	Fields    []string        `json:"fields"`
	Challenge json.RawMessage `json:"challenge,omitempty"`

	// Cleared says that the request carries a clearance: nothing need be solved now.
	Cleared bool `json:"cleared,omitempty"`

	// Texts are for the script of captcha_inject: it shows them in a form, or beside a
	// widget.
	Texts *web.InjectTexts `json:"texts,omitempty"`
}

// problemDocs is where the reasons are explained.
const problemDocs = "https://github.com/caddy-captcha/caddy-captcha/blob/main/docs/reference.md#"

// details explain the reasons to a developer who sees the document. {header} is the
// token's.
var details = map[provider.Reason]string{
	provider.TokenMissing:   "This request needs a solved CAPTCHA. Solve the challenge and send the request again with the token in its field or in the {header} header.",
	provider.TokenInvalid:   "The CAPTCHA token is not valid here.",
	provider.TokenExpired:   "The CAPTCHA token has expired.",
	provider.TokenDuplicate: "The CAPTCHA token was used before; one token opens one request.",

	provider.ScoreTooLow:      "The CAPTCHA provider's score for this token is that of a robot.",
	provider.HostnameMismatch: "The CAPTCHA token was made on another host.",
	provider.ActionMismatch:   "The CAPTCHA token was made for another action.",

	reasonBadRequest:       "The request could be read in more than one way, or arrived too slowly.",
	reasonTooLarge:         "No CAPTCHA token was found in the part of the body that is searched. Put the token first, or in the {header} header.",
	reasonEncoding:         "The CAPTCHA token cannot be read in a body of this encoding or charset. Send it in the {header} header.",
	reasonEarlyData:        "Send the request again after the TLS handshake.",
	reasonTryAgain:         "The CAPTCHA could not be verified right now. Try again.",
	reasonUnreachable:      "The CAPTCHA provider is down.",
	reasonClientReported:   "The CAPTCHA widget reported an outage that was not seen here.",
	reasonProviderFailover: "The CAPTCHA provider has trouble.",
	reasonThrottled:        "The CAPTCHA provider's quota is spent.",
	reasonMisconfigured:    "The CAPTCHA of this site is not configured correctly.",
}

// detail explains the reason; it may be one that only a provider knows.
func (a *answer) detail() string {
	text, ok := details[a.reason]
	if !ok {
		text = "The CAPTCHA provider did not accept the token."
	}
	return strings.ReplaceAll(text, "{header}", a.h.tokenHeader)
}

// problem answers with a problem document. Where the client may try again, it
// carries a challenge.
func (a *answer) problem() error {
	var captcha json.RawMessage
	if a.solvable() {
		var err error
		if captcha, err = a.captcha(); err != nil {
			a.noChallenge(err)
		}
	}
	body, err := marshal(problem{
		Type:      problemDocs + string(a.reason),
		Title:     http.StatusText(a.status),
		Status:    a.status,
		Detail:    a.detail(),
		Reason:    a.reason,
		Reference: a.reference,
		Captcha:   captcha,
	})
	if err != nil {
		return err
	}
	a.head("application/problem+json")
	return a.send(body)
}

// solvable reports whether the client may solve a challenge and try again: also
// where the body's encoding hid a token, which may come in the header instead.
func (a *answer) solvable() bool {
	return a.verb == verbChallenge || a.status == http.StatusUnsupportedMediaType
}

// captcha is the JSON of what a script needs.
func (a *answer) captcha() (json.RawMessage, error) {
	l, doc, err := a.document()
	if err != nil {
		return nil, err
	}
	p := puzzle{Provider: l.name, Fields: l.fields, Challenge: doc}
	if l.widget != nil {
		p.SiteKey, p.Script = l.widget.SiteKey, l.widget.Script
	}
	asked := a.status == http.StatusOK // else it was refused
	p.Cleared = asked && a.h.holdsClearance(a.r, a.now)
	if widget := l.shown() != nil; asked || widget {
		p.Texts = web.TextsOf(a.r.Header.Get("Accept-Language"), widget)
	}
	return marshal(p)
}

// marshal is json.Marshal without escapes for HTML, which no reader of these
// documents needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// allowOrigin lets scripts of the configured origins read an answer of ours.
func (h *Handler) allowOrigin(hdr http.Header, r *http.Request) {
	if len(h.origins) == 0 {
		return
	}
	hdr.Set("Vary", withVary(hdr, "Origin"))
	origin := r.Header.Get("Origin")
	if !slices.Contains(h.origins, origin) {
		return
	}
	hdr.Set("Access-Control-Allow-Origin", origin)
	hdr.Set("Access-Control-Allow-Credentials", "true")
	hdr.Set("Access-Control-Expose-Headers", "Captcha-Required, Retry-After")
}

func withVary(hdr http.Header, name string) string {
	vary := strings.Join(hdr.Values("Vary"), ", ")
	if vary != "" && !strings.EqualFold(vary, name) {
		return vary + ", " + name
	}
	return name
}

// preflight wraps w where r is the preflight of a configured origin, so that
// the headers which our scripts send are added to what the app granted.
func (h *Handler) preflight(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if len(h.origins) == 0 || r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return w
	}
	origin := r.Header.Get("Origin")
	if !slices.Contains(h.origins, origin) {
		return w
	}
	return &preflightWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, origin: origin, token: h.tokenHeader}
}

// preflightWriter adds our headers to the app's answer to a preflight.
type preflightWriter struct {
	*caddyhttp.ResponseWriterWrapper
	origin, token string
	wrote         bool
}

func (p *preflightWriter) WriteHeader(status int) {
	if status >= 200 && !p.wrote {
		p.wrote = true
		hdr := p.Header()
		if granted := hdr.Get("Access-Control-Allow-Origin"); granted == p.origin || granted == "*" {
			allowed := hdr.Values("Access-Control-Allow-Headers")
			hdr.Set("Access-Control-Allow-Headers", strings.Join(append(allowed, p.token, "Captcha-Request"), ", "))
		}
	}
	p.ResponseWriterWrapper.WriteHeader(status)
}

func (p *preflightWriter) Write(b []byte) (int, error) {
	if !p.wrote {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriterWrapper.Write(b)
}

// FlushError sends the headers, as a flush before the first write does.
func (p *preflightWriter) FlushError() error {
	if !p.wrote {
		p.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(p.ResponseWriter).Flush()
}

// ReadFrom implements io.ReaderFrom.
func (p *preflightWriter) ReadFrom(src io.Reader) (int64, error) {
	if !p.wrote {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriterWrapper.ReadFrom(src)
}
