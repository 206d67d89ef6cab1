package captcha

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// safeMethods are forwarded without a proof.
var safeMethods = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}

// overrideHeaders ask an app to treat a request as one of another method.
var overrideHeaders = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// overrideParam does the same in the query. Its first character is any that PHP
// turns into an underscore.
const overrideParam = "method"

// protects reports whether r needs a proof: by its method, or by one that an
// override asks the app to use instead.
func (h *Handler) protects(r *http.Request) bool {
	if h.protectsMethod(r.Method) {
		return true
	}
	for _, name := range overrideHeaders {
		if slices.ContainsFunc(r.Header[name], h.protectsOverride) {
			return true
		}
	}
	return h.overriddenByQuery(r.URL.RawQuery)
}

// protectsMethod reports whether requests of a method need a proof. Some apps
// do not tell "post" from "POST", so named methods are compared in any case.
func (h *Handler) protectsMethod(method string) bool {
	if len(h.Methods) == 0 {
		return !slices.Contains(safeMethods, method)
	}
	return slices.ContainsFunc(h.Methods, func(m string) bool { return strings.EqualFold(m, method) })
}

// protectsOverride is protectsMethod for what an override asks for; in any case
// and with surrounding space, because apps are lenient there. Of a list, some take
// the first.
func (h *Handler) protectsOverride(method string) bool {
	first, _, list := strings.Cut(method, ",")
	if list && h.protectsOverride(first) {
		return true
	}
	method = strings.TrimSpace(method)
	if method == "" || slices.ContainsFunc(safeMethods, func(m string) bool { return strings.EqualFold(m, method) }) {
		return false
	}
	return h.protectsMethod(method)
}

// overriddenByQuery looks for the override in a query without parsing the rest
// of it: a protected page's GET must not pay for what it does not use.
func (h *Handler) overriddenByQuery(query string) bool {
	for query != "" {
		var pair string
		pair, query = cutPair(query)
		name, value, _ := strings.Cut(pair, "=")
		if len(name) <= len(overrideParam) {
			continue
		}
		name, _, _ = strings.Cut(name, "%00") // for PHP it ends there, however broken the rest is
		if name, err := url.QueryUnescape(name); err != nil || !namesOverride(name) {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil && h.protectsOverride(value) {
			return true
		}
	}
	return false
}

// namesOverride compares a name as the laxest parsers do: in any case, without the
// space before it, and with PHP's underscores.
func namesOverride(name string) bool {
	name = strings.TrimLeft(name, " ")
	return name != "" && strings.IndexByte("_.[", name[0]) >= 0 && strings.EqualFold(name[1:], overrideParam)
}

// cutPair splits a query at its first separator; some apps still take `;`.
func cutPair(query string) (pair, rest string) {
	if i := strings.IndexAny(query, "&;"); i >= 0 {
		return query[:i], query[i+1:]
	}
	return query, ""
}

// earlyData reports whether r came in TLS early data, which can be replayed: to
// us, or, as it says (RFC 8470), to the trusted proxy in front.
func earlyData(r *http.Request) bool {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return true
	}
	return r.Header.Get("Early-Data") == "1" && fromTrustedProxy(r)
}
