package captcha

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
	"github.com/caddy-captcha/caddy-captcha/internal/htmlinject"
)

// injectWriter rewrites one answer, where that is a page; else it gives it on as it
// is. It decides once, when the answer's headers are known.
type injectWriter struct {
	*caddyhttp.ResponseWriterWrapper
	injector *Injector
	request  *http.Request
	head     bool
	ours     bool // the answer is of a captcha handler, and is complete as it is

	status  int                // final; 0 before it is set
	decided bool               // what is done with the answer
	page    *htmlinject.Writer // nil where the answer is given on as it is

	// first is the beginning of the page, until it is large enough for a
	// compressor around us to take the answer for worth it
	first []byte
	begun bool
	sent  bool  // the page's headers are given on
	total int64 // written to us
	flush bool  // asked for, and not done yet
}

// firstWrite is more than the length below which Caddy's encode does not compress.
const firstWrite = 513

// WriteHeader decides what to do with the answer.
func (w *injectWriter) WriteHeader(status int) {
	switch {
	case status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols:
		w.ResponseWriter.WriteHeader(status)
		return
	case w.status != 0:
		return
	}
	w.status = status
	if _, named := w.Header()["Content-Type"]; named || !mayHaveBody(status) || w.head {
		w.decide(nil)
	} // else it is told from the first bytes, as net/http does
}

// decide begins the answer. Where its type is not named, first tells it.
func (w *injectWriter) decide(first []byte) {
	w.decided = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	hdr := w.Header()
	if _, named := hdr["Content-Type"]; !named && len(first) > 0 && hdr.Get("Content-Encoding") == "" {
		hdr.Set("Content-Type", http.DetectContentType(first))
	}
	if known, ok := injectable(w.status, hdr); ok && !w.ours && w.allow() {
		for _, name := range ofTheOldBytes {
			hdr.Del(name)
		}
		if !w.head {
			url := pageURL(w.request) // the headers leave with the first bytes
			w.page = htmlinject.New(pageSink{w}, &htmlinject.Page{
				Script: w.injector.script, Inputs: w.injector.inputs, Charset: known,
				Wanted: func(f htmlinject.Form) bool { return w.injector.wanted(w.request, url, f) },
				Policy: w.injector.need.Meta,
			})
			return
		}
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// allow extends the policies of the answer, the site's deferred ones too. It
// returns false where that cannot be.
func (w *injectWriter) allow() bool {
	deferred := deferredHeaders(w.ResponseWriter)
	if len(deferred) == 0 {
		return w.injector.allow(w.Header())
	}
	if !w.injector.allow(headersToBe(deferred, w.status, w.Header())) {
		return false
	}
	last := wrapperOf(deferred[len(deferred)-1])
	last.ResponseWriter = &policyWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: last.ResponseWriter}, injector: w.injector}
	return true
}

// ofTheOldBytes are response headers that are not true of a rewritten page.
var ofTheOldBytes = []string{
	"Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Digest", "Content-Digest", "Repr-Digest", "Content-Md5",
}

// notInjected keeps a page of ours from being rewritten like one of the app.
func notInjected(w http.ResponseWriter) {
	for {
		if iw, ok := w.(*injectWriter); ok {
			iw.ours = true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = wrapper.Unwrap()
	}
}

func mayHaveBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// injectable reports whether an answer is a page that may be rewritten, and
// whether its charset is known.
func injectable(status int, hdr http.Header) (charsetKnown, ok bool) {
	switch {
	case !mayHaveBody(status), status >= 300 && status <= 399, status == http.StatusResetContent, status == http.StatusPartialContent:
		return false, false
	case len(hdr["Content-Type"]) != 1, hdr.Get("Content-Range") != "", !identity(hdr["Content-Encoding"]), noTransform(hdr):
		return false, false
	}
	if d, _, _ := strings.Cut(hdr.Get("Content-Disposition"), ";"); strings.EqualFold(strings.TrimSpace(d), "attachment") {
		return false, false
	}
	mediaType, params, err := mime.ParseMediaType(hdr.Get("Content-Type"))
	if err != nil && err != mime.ErrInvalidMediaParameter || mediaType != "text/html" {
		return false, false
	}
	label, known := params["charset"]
	return known, !known || charset.Of(label) != charset.Foreign
}

func identity(encodings []string) bool {
	return !slices.ContainsFunc(encodings, func(e string) bool { return e != "" && !strings.EqualFold(e, "identity") })
}

func noTransform(hdr http.Header) bool {
	for _, line := range hdr["Cache-Control"] {
		for word := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(word), "no-transform") {
				return true
			}
		}
	}
	return false
}

// allow extends the policies of an answer's headers by what our script needs. It
// returns false where that cannot be, and changes nothing then.
func (i *Injector) allow(hdr http.Header) bool {
	enforced := slices.Clone(hdr["Content-Security-Policy"])
	for n := range enforced {
		var ok bool
		if enforced[n], ok = i.need.Header(enforced[n]); !ok {
			return false
		}
	}
	if enforced != nil {
		hdr["Content-Security-Policy"] = enforced
	}
	if reported := slices.Clone(hdr["Content-Security-Policy-Report-Only"]); reported != nil {
		for n := range reported {
			reported[n] = i.need.ReportOnly(reported[n])
		}
		hdr["Content-Security-Policy-Report-Only"] = reported
	}
	return true
}

// Write rewrites p, or gives it on.
func (w *injectWriter) Write(p []byte) (int, error) {
	if !w.decided {
		w.decide(p)
	}
	if w.page == nil {
		return w.ResponseWriter.Write(p)
	}
	w.total += int64(len(p))
	n, err := w.page.Write(p)
	if err == nil && w.flush && (w.begun || !w.page.Held()) {
		err = w.flushNow()
	}
	return n, err
}

// ReadFrom lets an answer that is not rewritten be sent as fast as without us.
func (w *injectWriter) ReadFrom(r io.Reader) (int64, error) {
	if !w.decided && w.Header()["Content-Type"] != nil {
		w.decide(nil)
	}
	if w.decided && w.page == nil {
		return w.ResponseWriterWrapper.ReadFrom(r)
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, r, *buf)
}

// copyBuffers are as large as those of io.Copy: a visitor who reads slowly holds one.
var copyBuffers = bufferPool(32 << 10)

// FlushError gives on what there is. The beginning of a page may wait for the end
// of a tag: encode would not compress what is flushed that small.
func (w *injectWriter) FlushError() error {
	if !w.decided {
		w.decide(nil)
	}
	if w.page != nil && !w.begun && w.page.Held() && w.total >= firstWrite {
		w.flush = true
		return nil
	}
	return w.flushNow()
}

func (w *injectWriter) flushNow() error {
	w.flush = false
	if w.page != nil {
		w.sendHeader()
		if len(w.first) > 0 {
			if err := w.begin(); err != nil {
				return err
			}
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// pageSink takes what the rewritten page is.
type pageSink struct{ w *injectWriter }

func (s pageSink) Write(p []byte) (int, error) {
	w := s.w
	if w.begun {
		return w.ResponseWriter.Write(p)
	}
	if len(w.first)+len(p) < firstWrite {
		w.first = append(w.first, p...)
		return len(p), nil
	}
	rest := p
	if n := firstWrite - len(w.first); n < firstWrite { // only as much of p as it takes: p may be large
		w.first, rest = append(w.first, p[:n]...), p[n:]
	}
	if err := w.begin(); err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		if _, err := w.ResponseWriter.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// begin gives on the headers and the beginning of the page.
func (w *injectWriter) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	w.sendHeader()
	first := w.first
	w.first = nil
	if len(first) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(first) //nolint:gosec // the app's own page
	return err
}

func (w *injectWriter) sendHeader() {
	if !w.sent {
		w.sent = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// finish ends the answer. Where next has failed before anything was sent, nothing
// is: the error is answered elsewhere.
func (w *injectWriter) finish(failed error) error {
	switch {
	case w.page == nil && w.status != 0 && !w.decided && failed == nil:
		w.decide(nil) // a status without a body
		return nil
	case w.page == nil || failed != nil && !w.sent:
		return nil
	}
	if err := w.page.Close(); err != nil {
		return err
	}
	return w.begin()
}
