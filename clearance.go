package captcha

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

const (
	onceTTL        = 2 * time.Minute
	maxOnceCookies = 4
	onceInfix      = "-once-"
)

// pass is what a clearance cookie says. Everything it is bound to but does not
// need to say (host, scope, path) goes into the signature only.
type pass struct {
	id      string
	issued  int64 // Unix milliseconds
	expires int64 // Unix seconds
}

// cleared reports whether r carries a valid clearance: one of the scope, or a
// one-time clearance for exactly this request.
func (h *Handler) cleared(r *http.Request, now time.Time) bool {
	if r.Header["Cookie"] == nil {
		return false
	}
	if h.clearedOnce(r, now) {
		return true
	}
	if h.Clearance.Duration == 0 {
		return false
	}
	for value := range cookieValues(r, h.clearanceCookie(r)) {
		if p, ok := h.openPass(r.Context(), value, h.bindClearance(r), now); ok && h.countUse(r.Context(), p) {
			return true
		}
	}
	return false
}

// holdsClearance reports whether r carries a valid clearance of the scope, and
// spends nothing. One that is counted is not looked at: whether there is a use
// left shows only when it is used.
func (h *Handler) holdsClearance(r *http.Request, now time.Time) bool {
	if h.Clearance.Duration == 0 || h.Clearance.Uses > 0 {
		return false
	}
	for value := range cookieValues(r, h.clearanceCookie(r)) {
		if _, ok := h.openPass(r.Context(), value, h.bindClearance(r), now); ok {
			return true
		}
	}
	return false
}

// clearedOnce reports whether r carries a one-time clearance for exactly this
// request, and spends it.
func (h *Handler) clearedOnce(r *http.Request, now time.Time) bool {
	if !slices.ContainsFunc(r.Header["Cookie"], func(line string) bool { return strings.Contains(line, onceInfix) }) {
		return false
	}
	method, _ := original(r)
	binding := h.bindOnce(r, method)
	for value := range cookieValues(r, h.onceCookie(r, binding)) {
		p, ok := h.openPass(r.Context(), value, binding, now)
		if !ok || !h.remembered(p) {
			continue
		}
		fresh, err := h.app.store.Claim(r.Context(), "once:"+p.id, time.Unix(p.expires, 0).Add(claimSlack))
		if err != nil {
			h.storeTrouble("claiming a one-time clearance failed; the visitor is challenged", err)
		}
		if err == nil && fresh && h.remembered(p) { // the claim may have shown that the memory is new
			return true
		}
	}
	return false
}

// remembered reports whether the store would know of it if a pass had been used:
// one from before its memory began may have been.
func (h *Handler) remembered(p pass) bool {
	since := h.app.store.Since()
	return since.IsZero() || p.issued >= since.UnixMilli()
}

// countUse reports whether the clearance may be used once more.
func (h *Handler) countUse(ctx context.Context, p pass) bool {
	if h.Clearance.Uses == 0 {
		return true
	}
	if !h.remembered(p) {
		return false
	}
	n, err := h.app.store.Count(ctx, "use:"+p.id, time.Unix(p.expires, 0))
	if err != nil {
		h.storeTrouble("counting a clearance failed; the visitor is challenged", err)
		return false
	}
	return n <= int64(h.Clearance.Uses) && h.remembered(p)
}

// grantClearance gives the visitor a clearance for the scope.
func (h *Handler) grantClearance(w http.ResponseWriter, r *http.Request, now time.Time) {
	d := time.Duration(h.Clearance.Duration)
	value, err := h.newPass(r.Context(), h.bindClearance(r), now, d)
	if err != nil {
		h.trouble.Warn("no clearance could be signed", zap.Error(err))
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: h.clearanceCookie(r), Value: value, Path: "/", MaxAge: int(d.Seconds()),
		HttpOnly: true, Secure: https(r), SameSite: http.SameSiteLaxMode,
	})
}

// grantOnce gives the visitor a one-time clearance for what was sealed. Only
// after a post from another site must the cookie travel with such a post, which
// browsers allow on https alone.
func (h *Handler) grantOnce(w http.ResponseWriter, r *http.Request, c *carried, now time.Time) error {
	binding := h.bindOnce(r, c.Method)
	value, err := h.newPass(r.Context(), binding, now, onceTTL)
	if err != nil {
		return err
	}
	mode := http.SameSiteLaxMode
	if c.From == elsewhere && https(r) {
		mode = http.SameSiteNoneMode
	}
	name := h.onceCookie(r, binding)
	h.dropOldOnce(w, r, name)
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(onceTTL.Seconds()),
		HttpOnly: true, Secure: https(r), SameSite: mode,
	})
	return nil
}

// dropOldOnce keeps at most maxOnceCookies one-time clearances in a browser,
// the new one included.
func (h *Handler) dropOldOnce(w http.ResponseWriter, r *http.Request, name string) {
	prefix := h.cookiePrefix(r) + onceInfix
	kept := 1
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, prefix) || c.Name == name {
			continue
		}
		if kept++; kept > maxOnceCookies {
			http.SetCookie(w, &http.Cookie{Name: c.Name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: https(r)})
		}
	}
}

// newPass signs a pass that is bound to what binding says. Its text is
// id.issued.expires.key.mac, numbers in base 36.
func (h *Handler) newPass(ctx context.Context, binding []byte, now time.Time, ttl time.Duration) (string, error) {
	key, err := h.passes.KeyID(ctx)
	if err != nil {
		return "", err
	}
	text := append(make([]byte, 0, maxPass), rand.Text()...)
	text = strconv.AppendInt(append(text, '.'), now.UnixMilli(), 36)
	text = strconv.AppendInt(append(text, '.'), now.Add(ttl).Unix(), 36)
	text = append(append(text, '.'), key...)
	mac, err := h.passes.MAC(ctx, key, passMessage(binding, text))
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), mac)), nil
}

// openPass returns a pass whose signature, binding and time are right.
func (h *Handler) openPass(ctx context.Context, value string, binding []byte, now time.Time) (pass, bool) {
	if len(value) > maxPass {
		return pass{}, false
	}
	end := strings.LastIndexByte(value, '.')
	if end < 0 {
		return pass{}, false
	}
	payload := value[:end]
	id, rest, _ := strings.Cut(payload, ".")
	issued, rest, _ := strings.Cut(rest, ".")
	expires, key, _ := strings.Cut(rest, ".")
	var mac [maxPass]byte
	n, err := passEncoding.Decode(mac[:], []byte(value[end+1:]))
	if err != nil {
		return pass{}, false
	}
	want, err := h.passes.MAC(ctx, key, passMessage(binding, payload))
	if err != nil || !hmac.Equal(mac[:n], want) {
		return pass{}, false
	}
	p := pass{id: id}
	p.issued, _ = strconv.ParseInt(issued, 36, 64) // we have signed it
	p.expires, _ = strconv.ParseInt(expires, 36, 64)
	return p, now.Unix() < p.expires
}

var passEncoding = base64.RawURLEncoding.Strict()

// maxPass is longer than any pass of ours.
const maxPass = 256

// passMessage is what is signed. It is written behind the binding, which leaves room.
func passMessage[T string | []byte](binding []byte, payload T) []byte {
	return append(append(binding, 0), payload...)
}

// bindClearance is what a clearance of the scope is bound to.
func (h *Handler) bindClearance(r *http.Request) []byte {
	b := bindingOf("clearance", hostOf(r), h.scope)
	if h.Clearance.Bind == bindIP {
		b = network(clientIP(r)).AppendTo(append(b, 0))
	}
	return b
}

// bindOnce is what a one-time clearance is bound to.
func (h *Handler) bindOnce(r *http.Request, method string) []byte {
	return bindingOf("once", hostOf(r), h.scope, method, originalURI(r))
}

// bindingOf joins what a pass is bound to. There is room behind it for a pass.
func bindingOf(parts ...string) []byte {
	size := maxPass + 1
	for _, p := range parts {
		size += len(p) + 1
	}
	b := append(make([]byte, 0, size), parts[0]...)
	for _, p := range parts[1:] {
		b = append(append(b, 0), p...)
	}
	return b
}

// network returns the part of an address that stays the same while a visitor
// stays where they are: /24 for IPv4, /64 for IPv6.
func network(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil { // no address: all such visitors are one network
		return netip.Prefix{}
	}
	return p
}

// clientIP is the visitor's address as Caddy determined it.
func clientIP(r *http.Request) netip.Addr {
	s, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// https reports whether the visitor's browser sees an https address.
func https(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return fromTrustedProxy(r) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func fromTrustedProxy(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// cookiePrefix is the start of our cookies' names. A configured prefix is taken
// as it is on https; on plain http no browser accepts __Host- or __Secure-.
func (h *Handler) cookiePrefix(r *http.Request) string {
	if https(r) {
		return h.cookie
	}
	return withoutSecurePrefix(h.cookie)
}

// withoutSecurePrefix takes off what browsers, in any case, accept over https alone.
func withoutSecurePrefix(name string) string {
	for _, p := range []string{"__Host-", "__Secure-"} {
		if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
			return name[len(p):]
		}
	}
	return name
}

func (h *Handler) clearanceCookie(r *http.Request) string {
	return h.cookiePrefix(r) + "-" + h.scope[:min(6, len(h.scope))]
}

func (h *Handler) onceCookie(r *http.Request, binding []byte) string {
	sum := sha256.Sum256(binding)
	return h.cookiePrefix(r) + onceInfix + hex.EncodeToString(sum[:4])
}

// original returns method and URL of the request as it came to the server, before
// any rewrite.
func original(r *http.Request) (method string, u *url.URL) {
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && o.URL != nil {
		return o.Method, o.URL
	}
	return r.Method, r.URL
}

// originalURI is the path and query that the visitor's browser shows.
func originalURI(r *http.Request) string {
	_, u := original(r)
	return u.RequestURI()
}
