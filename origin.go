package captcha

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// provenance says where a browser's request came from. It decides what a
// challenge page may submit again: never more than the browser itself would
// have sent with the site's own cookies.
type provenance string

const (
	// sameOrigin may be submitted again by the page itself.
	sameOrigin provenance = "same-origin"
	// sameSite may be submitted again after a click.
	sameSite provenance = "same-site"
	// elsewhere is never submitted again: another site, or nowhere we know.
	elsewhere provenance = "elsewhere"
)

// cameFrom tells the provenance of r, by Sec-Fetch-Site, else Origin, else
// Referer. What cannot be told is elsewhere.
func cameFrom(r *http.Request) provenance {
	if values := r.Header["Sec-Fetch-Site"]; len(values) > 0 {
		if len(values) == 1 {
			switch values[0] {
			case "same-origin":
				return sameOrigin
			case "same-site":
				return sameSite
			}
		}
		return elsewhere
	}
	for _, name := range [...]string{"Origin", "Referer"} {
		if values := r.Header[name]; len(values) > 0 {
			if len(values) == 1 && sameHostPort(values[0], r.Host) {
				return sameOrigin
			}
			return elsewhere
		}
	}
	return elsewhere
}

// sentBySameOrigin reports whether r was certainly sent by a page of the same
// origin, by Sec-Fetch-Site, else Origin. Only such a request may open a seal or
// redeem a clearance; our pages always send one of the two.
func sentBySameOrigin(r *http.Request) bool {
	return cameFrom(r) == sameOrigin && (r.Header["Sec-Fetch-Site"] != nil || r.Header["Origin"] != nil)
}

// originOf returns scheme://host[:port] of the page that sent r, for people to
// read; empty where it is not known.
func originOf(r *http.Request) string {
	for _, name := range [...]string{"Origin", "Referer"} {
		u, err := url.Parse(r.Header.Get(name))
		if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			return u.Scheme + "://" + u.Host
		}
	}
	return ""
}

// sameHostPort compares an origin or URL with a Host header by host and port. The
// scheme is left out: a TLS terminator in front may have changed it, and then a
// default port of either scheme is as good as none.
func sameHostPort(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return false
	}
	oHost, oPort := splitHostPort(u.Host)
	rHost, rPort := splitHostPort(host)
	return oHost != "" && oHost == rHost && oPort == rPort
}

// splitHostPort returns the host in lower case, without brackets and trailing
// dot, and the port, empty where it is a default one.
func splitHostPort(hostport string) (host, port string) {
	host = hostport
	if strings.IndexByte(hostport, ':') >= 0 { // else the error would be made, to be thrown away
		if h, p, err := net.SplitHostPort(hostport); err == nil {
			host, port = h, p
		}
	}
	host = strings.Trim(host, "[]")
	if port == "80" || port == "443" {
		port = ""
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

// hostOf returns the request's host in lower case without port.
func hostOf(r *http.Request) string {
	host, _ := splitHostPort(r.Host)
	return host
}

// navigates reports whether a browser is about to show our answer as a page.
func navigates(r *http.Request) bool {
	if r.Header["Sec-Fetch-Mode"] != nil || r.Header["Sec-Fetch-Dest"] != nil || r.Header["Sec-Fetch-Site"] != nil {
		return r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
	if r.Header.Get("X-Requested-With") != "" {
		return false
	}
	for _, accept := range r.Header["Accept"] {
		for part := range strings.SplitSeq(accept, ",") {
			mediaType, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "text/html") {
				return !refusedByWeight(params)
			}
		}
	}
	return false
}

// refusedByWeight reports whether the parameters of a media type in an Accept header
// say that it is not wanted: q=0, with as many zeros as anybody likes.
func refusedByWeight(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(param, "="); strings.EqualFold(strings.TrimSpace(name), "q") {
			weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && weight == 0
		}
	}
	return false
}
