package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Answer is a provider's answer, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Object reads the answer into doc: one JSON object, of doc's types, and nothing
// else. It reports false for anything else, which is not the protocol.
func (a Answer) Object(doc any) bool {
	return bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) && json.Unmarshal(a.Body, doc) == nil
}

// Visible is a text of an answer, fit for a log: without the given tokens and
// secrets, which a provider may send back, in printable ASCII, and at most 80
// characters long.
func Visible(text string, secrets ...string) string {
	const most = 80
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(hidden)")
		}
	}
	if text == "" {
		return "(none)"
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return clean[:min(len(clean), most)]
}

// Unavailable is a fault without a verdict.
func Unavailable(detail string) *provider.Fault {
	return &provider.Fault{Class: provider.Unavailable, Err: errors.New(detail)}
}

// Misconfigured is the provider refusing us.
func Misconfigured(detail string) *provider.Fault {
	return &provider.Fault{Class: provider.Misconfigured, Err: errors.New(detail)}
}

// Throttled is a 429 answer, with how long to wait: at most a minute.
func Throttled(a Answer) *provider.Fault {
	f := &provider.Fault{Class: provider.Throttled, Err: errors.New("the quota is spent")}
	if s, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && s > 0 {
		f.RetryAfter = time.Duration(min(s, int(maxRetryAfter/time.Second))) * time.Second
	}
	return f
}

// Again is a fault without a verdict as one after which the same question may be
// put again, and any other error as it is.
func Again(err error) error {
	var f *provider.Fault
	if !errors.As(err, &f) || f.Class != provider.Unavailable {
		return err
	}
	again := *f
	again.Again = true
	return &again
}

// faultOf classifies what prevented an answer. The error's text may contain the
// URL, which may contain a token: only the inner error is kept.
func faultOf(err error) *provider.Fault {
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	f := &provider.Fault{Class: provider.Unavailable, Err: err}
	var (
		dial      *net.OpError
		unknownCA x509.UnknownAuthorityError
		badHost   x509.HostnameError
		badCert   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &badHost), errors.As(err, &badCert), errors.As(err, &verify):
		// on the way to the provider somebody else answers, or our trust is
		// set up wrongly: neither is an outage
		f.Class = provider.Misconfigured
	case errors.As(err, &dial) && dial.Op == "dial":
		f.Again = true // nothing was sent
	case errors.Is(err, context.DeadlineExceeded):
		f.Err = errors.New("no answer in time")
	}
	return f
}
