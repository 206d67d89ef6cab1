package captcha

import (
	"net/http"
	"reflect"
)

// headersPackage is Caddy's header directive.
const headersPackage = "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"

// belowHeaders returns the writer below the site's deferred header operations,
// where there are any. Caddy defers a whole header block as soon as it deletes a
// header, and applies it when the response is written, after us: a policy that
// the site's own pages need would then take the place of ours, and the challenge
// page could neither show nor solve anything.
func belowHeaders(w http.ResponseWriter) http.ResponseWriter {
	below := w
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return below
		}
		t := reflect.TypeOf(w)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		w = wrapper.Unwrap()
		if t.PkgPath() == headersPackage {
			below = w
		}
	}
}
