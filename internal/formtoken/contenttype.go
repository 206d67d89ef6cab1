package formtoken

import (
	"strings"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// ParseContentType says how a body is to be scanned, from all values of its Content-Type and
// Content-Encoding header fields. A type that is not parsed, or none at all, is the Kind None: there can
// be no token. The error is an *Error for headers that parsers could read differently, or
// ErrUnsupported.
func ParseContentType(contentType, contentEncoding []string) (Format, error) {
	switch len(contentType) {
	case 0:
		return Format{}, nil
	case 1:
	default:
		return Format{}, errTypeMany
	}
	value := contentType[0]
	if value == "application/x-www-form-urlencoded" && len(contentEncoding) == 0 { // most forms
		return Format{Kind: URLEncoded}, nil
	}
	if trimOWS(value) == "" {
		return Format{}, nil
	}
	media, params, ok := splitParams(value, true)
	major, minor, slash := strings.Cut(strings.ToLower(media), "/")
	if !slash || !isToken(major) || !isToken(minor) {
		return Format{}, errTypeSyntax
	}
	format := Format{Kind: kindOf(major, minor)}
	if format.Kind == None {
		return Format{}, nil
	}
	if !ok {
		return Format{}, errTypeSyntax
	}
	class, e := charsetParam(params)
	if e == nil && format.Kind == Multipart {
		format.Boundary, e = boundaryParam(value, params)
	}
	if e != nil {
		return Format{}, e
	}
	if !isIdentity(contentEncoding) || class == charset.Foreign || class == charset.Shifting && format.Kind == JSON {
		// A second byte that is a backslash would hide the end of a JSON string from one of two parsers.
		return Format{}, ErrUnsupported
	}
	return format, nil
}

// kindOf says how a media type is read.
func kindOf(major, minor string) Kind {
	switch {
	case major == "application" && minor == "x-www-form-urlencoded":
		return URLEncoded
	case major == "multipart" && minor == "form-data":
		return Multipart
	case major == "application" && (minor == "json" || minor == "x-json" || strings.HasSuffix(minor, "+json")):
		return JSON
	case major == "text" && (minor == "json" || minor == "x-json"):
		return JSON
	}
	return None
}

// charsetParam returns the class of the charset parameter. Without one it is what everybody assumes.
func charsetParam(params []param) (charset.Class, *Error) {
	class, value, seen := charset.ASCII, "", false
	for _, p := range params {
		if strings.HasPrefix(p.key, "charset*") {
			return charset.Foreign, errTypeSyntax
		}
		if p.key != "charset" {
			continue
		}
		// Some clients name it twice; that is harmless as long as both say the same.
		if seen && !strings.EqualFold(value, p.value) {
			return charset.Foreign, errTypeSyntax
		}
		if strings.Contains(p.value, ",") {
			return charset.Foreign, errTypeMany
		}
		class, value, seen = charset.Of(p.value), p.value, true
		if p.value == "" {
			class = charset.ASCII
		}
	}
	return class, nil
}

// boundaryParam returns the boundary. PHP takes the first "boundary" anywhere in the header, others the
// last, so the word may stand nowhere but in the parameter.
func boundaryParam(header string, params []param) (string, *Error) {
	boundary, quoted, seen := "", false, false
	for _, p := range params {
		switch {
		case p.key == "boundary" && !seen:
			boundary, quoted, seen = p.value, p.quoted, true
		case strings.Contains(p.key, "boundary"), hasFold(p.value, "boundary"), strings.Contains(p.key, "*"):
			return "", errBoundary
		}
	}
	if !seen || !isBoundary(boundary) || strings.Contains(header, `\`) {
		return "", errBoundary
	}
	// Unquoted, some parsers end it at a space or comma and others do not.
	if !quoted && strings.ContainsAny(boundary, " ,") {
		return "", errBoundary
	}
	return boundary, nil
}

// isBoundary accepts the characters of RFC 2046 and those of tokens: "*****" is widely used.
func isBoundary(b string) bool {
	if b == "" || len(b) > maxBoundary || strings.HasSuffix(b, " ") || hasFold(b, "boundary=") {
		return false
	}
	for i := range len(b) {
		if !isToken(b[i:i+1]) && strings.IndexByte("(),/:=? ", b[i]) < 0 {
			return false
		}
	}
	return true
}

// isIdentity says whether the body is sent as it is.
func isIdentity(contentEncoding []string) bool {
	for _, line := range contentEncoding {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = trimOWS(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return false
			}
		}
	}
	return true
}
