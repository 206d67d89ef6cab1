package providertest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Fault is one way in which a provider is broken.
type Fault string

// The faults. Those that answer with JSON answer with what the true protocol
// says, so that only the fault keeps a token from passing.
const (
	None           Fault = "none"
	Refuse         Fault = "refuse"          // nothing listens
	Reset          Fault = "reset"           // the connection is reset once the request was read
	Hang           Fault = "hang"            // no answer until the client gives up
	SlowDrip       Fault = "slow drip"       // a byte now and then until the client gives up
	Status500      Fault = "status 500"      // with the body of a good answer
	Status502      Fault = "status 502"      // with the body of a good answer
	Status503      Fault = "status 503"      // with the body of a good answer
	Status429      Fault = "status 429"      // with Retry-After: 7
	Status403      Fault = "status 403"      // as a firewall answers, in HTML
	HTML           Fault = "html"            // 200 text/html, as a captive portal answers
	Empty200       Fault = "empty 200"       // 200 and nothing
	TruncatedJSON  Fault = "truncated json"  // all but the last byte
	WrongTypes     Fault = "wrong types"     // every scalar of another type
	Huge           Fault = "huge"            // a good answer with 1 MiB of space behind it
	GzipBomb       Fault = "gzip bomb"       // a good answer with 16 MiB of space behind it, compressed
	Redirect       Fault = "redirect"        // 307 to another server, which would pass the token
	BadCertificate Fault = "bad certificate" // https with a certificate of an unknown authority
)

// Faults are all faults, None left out.
func Faults() []Fault {
	return []Fault{
		Refuse, Reset, Hang, SlowDrip, Status500, Status502, Status503, Status429, Status403, HTML,
		Empty200, TruncatedJSON, WrongTypes, Huge, GzipBomb, Redirect, BadCertificate,
	}
}

// Classes are the classes of the faults where the protocol says nothing else.
func Classes() map[Fault]provider.Class {
	return maps.Clone(classes)
}

var classes = func() map[Fault]provider.Class {
	all := make(map[Fault]provider.Class)
	for _, f := range Faults() {
		all[f] = provider.Unavailable
	}
	all[Status429] = provider.Throttled
	all[BadCertificate] = provider.Misconfigured
	return all
}()

// RetryAfter is what Status429 asks for.
const RetryAfter = 7 * time.Second

const page = "<!DOCTYPE html><title>Sign in</title><p>Please sign in to the network."

var statuses = map[Fault]int{Status500: 500, Status502: 502, Status503: 503}

// answer answers with good, or with what the fault makes of it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, fault Fault, good *http.Response) {
	body, _ := io.ReadAll(good.Body)
	send := func(status int, body []byte) {
		maps.Copy(w.Header(), good.Header)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	switch fault {
	case None, "":
		send(good.StatusCode, body)
	case Reset:
		reset(w)
	case Hang:
		s.wait(r)
	case SlowDrip:
		s.drip(w, r, body)
	case Status500, Status502, Status503:
		send(statuses[fault], body)
	case Status429:
		w.Header().Set("Retry-After", strconv.Itoa(int(RetryAfter.Seconds())))
		send(http.StatusTooManyRequests, body)
	case Status403, HTML:
		w.Header().Set("Content-Type", "text/html")
		if fault == Status403 {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, page)
	case Empty200:
		send(http.StatusOK, nil)
	case TruncatedJSON:
		body = bytes.TrimSpace(body)
		send(good.StatusCode, body[:max(len(body)-1, 0)])
	case WrongTypes:
		send(good.StatusCode, s.wrongTypes(body))
	case Huge:
		send(good.StatusCode, append(body, bytes.Repeat([]byte(" "), 1<<20)...))
	case GzipBomb:
		w.Header().Set("Content-Encoding", "gzip")
		send(good.StatusCode, bomb(body))
	case Redirect:
		// 307, because it would take method and body along
		http.Redirect(w, r, s.other.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	case BadCertificate:
		s.Strict("a call got through although the certificate is bad: use TLSURL, and verify")
	default:
		s.Strict("no such fault: %q", fault)
	}
}

func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	inner := conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		inner = secure.NetConn()
	}
	_ = inner.(*net.TCPConn).SetLinger(0)
	inner.Close()
}

// wait waits until the client gives up, the server ends, or it is too long.
func (s *Server) wait(r *http.Request) {
	limit := time.NewTimer(bounded)
	defer limit.Stop()
	select {
	case <-r.Context().Done():
	case <-s.done:
	case <-limit.C:
	}
}

// drip announces the answer, and sends nothing but space and time.
func (s *Server) drip(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1<<20))
	beat := time.NewTicker(10 * time.Millisecond)
	defer beat.Stop()
	limit := time.NewTimer(bounded)
	defer limit.Stop()
	for rest := body; ; {
		next := []byte(" ")
		if len(rest) > 0 {
			next, rest = rest[:1], rest[1:]
		}
		if _, err := w.Write(next); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-beat.C:
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-limit.C:
			return
		}
	}
}

// wrongTypes keeps the shape of a JSON text and changes the type of every
// scalar, into the one that careless code takes for the same: true is "true".
func (s *Server) wrongTypes(body []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return body
	}
	out, err := json.Marshal(retype(v))
	if err != nil {
		s.Strict("%v", err)
	}
	return out
}

func retype(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = retype(v[k])
		}
		return v
	case []any:
		for i := range v {
			v[i] = retype(v[i])
		}
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case string:
		return 1
	}
	return true
}

func bomb(body []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // a level that there is
	_, _ = z.Write(body)
	space := bytes.Repeat([]byte(" "), 1<<20)
	for range 16 {
		_, _ = z.Write(space)
	}
	_ = z.Close()
	return out.Bytes()
}
