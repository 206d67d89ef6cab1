package captcha

import (
	"net/http"
	"reflect"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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

// deferredHeaders returns the deferred header operations of the site, the
// innermost first: the order in which they are applied.
func deferredHeaders(w http.ResponseWriter) (list []reflect.Value) {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return list
		}
		v := reflect.ValueOf(w)
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct && v.Elem().Type().PkgPath() == headersPackage && wrapperOf(v) != nil {
			list = append(list, v)
		}
		w = wrapper.Unwrap()
	}
}

// wrapperOf is what deferred header operations are built upon; nil where Caddy has
// changed that.
func wrapperOf(deferred reflect.Value) *caddyhttp.ResponseWriterWrapper {
	f := deferred.Elem().FieldByName("ResponseWriterWrapper")
	if !f.IsValid() || !f.CanSet() {
		return nil
	}
	w, _ := reflect.TypeAssert[*caddyhttp.ResponseWriterWrapper](f)
	return w
}

// headersToBe returns the headers that an answer will have once the deferred
// operations are applied. It tries them on a copy.
func headersToBe(deferred []reflect.Value, status int, hdr http.Header) http.Header {
	n := &nowhere{header: hdr.Clone()}
	for _, d := range deferred {
		trial := reflect.New(d.Type().Elem())
		trial.Elem().Set(d.Elem())
		trial.Elem().FieldByName("ResponseWriterWrapper").Set(reflect.ValueOf(&caddyhttp.ResponseWriterWrapper{ResponseWriter: n}))
		trial.Interface().(http.ResponseWriter).WriteHeader(status)
	}
	return n.header
}

// policyWriter extends the policies that are there when all deferred operations
// are applied.
type policyWriter struct {
	*caddyhttp.ResponseWriterWrapper
	injector *Injector
	done     bool
}

func (p *policyWriter) WriteHeader(status int) {
	if !p.done && status >= 200 {
		p.done = true
		p.injector.allow(p.Header())
	}
	p.ResponseWriterWrapper.WriteHeader(status)
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header { return n.header }

func (*nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (*nowhere) WriteHeader(int) {}
