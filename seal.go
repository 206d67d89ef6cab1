package captcha

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/web"
)

const (
	sealField    = web.SealField
	blockedField = web.BlockedField
	sealTTL      = time.Hour
	// sealSlack is what a sealed request may be longer than a third more than
	// its body: headers, token, nonce.
	sealSlack = 64 << 10
	// maxSealedHeader bounds the part before the body.
	maxSealedHeader = 32 << 10
)

// carried is a request as a challenge page carries it: everything that the app
// has not seen yet. Sealed, it can be read and changed by nobody but the edge.
type carried struct {
	sealed
	body []byte
	free func() // gives back the room that body takes; nil where it takes none
}

// returns reports whether a page may bring the request back by itself.
func (c *carried) returns() bool { return !c.Once && c.From != elsewhere }

// anotherSite reports whether the request is known to come from another site: it
// names one, or its browser says so. On plain http, without Sec-Fetch-Site, a page
// of the site's own with "Referrer-Policy: no-referrer" cannot be told either.
func (c *carried) anotherSite() bool {
	return c.From == elsewhere && (c.Origin != "" || c.Header.Get("Sec-Fetch-Site") == "cross-site")
}

// release gives back what c holds.
func (c *carried) release() {
	if c.free != nil {
		c.free()
		c.free = nil
	}
}

// carriedHeaders are restored exactly as they were, or as absent as they were:
// the app decides on them where a request came from.
var carriedHeaders = []string{
	"Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User",
}

// travels reports whether a header belongs to what a page carries: where the
// request came from, and what its body is.
func travels(name string) bool {
	if strings.HasPrefix(name, "Content-") {
		return name != "Content-Length"
	}
	return slices.Contains(carriedHeaders, name)
}

// carry takes from r what a challenge page has to bring back.
func (h *Handler) carry(r *http.Request, now time.Time) *carried {
	method, u := original(r)
	c := &carried{sealed: sealed{
		Host:    hostOf(r),
		Method:  method,
		URI:     u.RequestURI(),
		Scope:   h.scope,
		From:    cameFrom(r),
		Origin:  originOf(r),
		Expires: now.Add(sealTTL).Unix(),
		Header:  make(http.Header),
	}}
	if c.From == sameSite && c.Origin == "" {
		c.From = elsewhere // nobody could say to the visitor where it came from
	}
	for name, values := range r.Header {
		if travels(name) {
			c.Header[name] = values
		}
	}
	return c
}

// seal encrypts c into the text of the hidden field.
func (h *Handler) seal(ctx context.Context, c *carried) (string, error) {
	plain := c.appendTo(make([]byte, 0, len(c.body)+1<<10))
	if len(plain) > maxSealedHeader {
		return "", errSealedHeader
	}
	box, err := h.sealer.Seal(ctx, append(plain, c.body...), nil)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(box), nil
}

var (
	errSealedHeader = errors.New("the request's headers are too long to be carried")
	errNoKeys       = errors.New("the keys are not loaded")
	errSeal         = errors.New("not a seal for this request, or an expired one")
)

// open decrypts the hidden field of r. Whatever is not exactly a seal of ours
// for this request is errSeal. The scope is left to the caller: a config reload
// may have changed it while a page was open.
func (h *Handler) open(r *http.Request, text string, now time.Time) (*carried, error) {
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errSeal
	}
	plain, err := h.sealer.Open(r.Context(), box, nil)
	switch {
	case errors.Is(err, keyring.ErrOpen):
		return nil, errSeal
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	c, ok := new(carried), false
	if c.sealed, c.body, ok = parseSealed(plain); !ok {
		return nil, errSeal
	}
	// the page itself is always sent by POST, whatever the method of what it carries
	if method, _ := original(r); method != http.MethodPost || c.Host != hostOf(r) || c.URI != originalURI(r) || now.Unix() >= c.Expires {
		return nil, errSeal
	}
	return c, nil
}

// restore makes r the request that was carried.
func (c *carried) restore(r *http.Request) {
	for name := range r.Header {
		if travels(name) {
			delete(r.Header, name)
		}
	}
	maps.Copy(r.Header, c.Header)
	if method, _ := original(r); method != c.Method { // else it is the app's, rewritten or not
		r.Method = c.Method
	}
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	r.ContentLength = int64(len(c.body))
	r.TransferEncoding = nil
	r.Trailer = nil
	r.Header["Content-Length"] = []string{strconv.Itoa(len(c.body))}
	delete(r.Header, "Transfer-Encoding")
	delete(r.Header, "Trailer")
}

// sealedSize is the longest text of the hidden field for a body of n bytes.
func sealedSize(n int64) int64 { return n + n/3 + sealSlack }
