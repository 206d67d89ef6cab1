package outbound

import (
	"fmt"
	"net/url"

	"github.com/caddy-captcha/caddy-captcha/internal/placeholder"
)

// Setting is a text option: what was written, and where it goes once its
// placeholders are resolved, so that the configuration keeps what was written.
type Setting struct {
	Option, Written string
	// Default stands where nothing was written; it may be empty.
	Default string
	To      *string
}

// ResolveAll resolves options in order, up to the first error.
func ResolveAll(settings ...Setting) error {
	for _, s := range settings {
		*s.To = s.Written
		if s.Written == "" {
			*s.To = s.Default
		}
		if err := placeholder.Resolve(s.Option, s.To); err != nil {
			return err
		}
	}
	return nil
}

// CheckURL checks a configured URL: https, or http written out, with a host and
// without credentials, query or fragment where base is true.
func CheckURL(option, text string, base bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("%s: %q is not an http or https URL", option, text)
	case u.User != nil:
		return fmt.Errorf("%s: leave credentials out of the URL", option)
	case base && (u.RawQuery != "" || u.Fragment != ""):
		return fmt.Errorf("%s: %q must be a base: scheme, host and at most a path", option, text)
	}
	return nil
}

// Origin is scheme and host of a URL, as a Content-Security-Policy names them;
// empty where it has none.
func Origin(whole string) string {
	u, err := url.Parse(whole)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
