// Package outbound makes a provider's calls: bounded, to configured hosts only,
// without redirects, and with errors that name neither token nor secret.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const (
	maxAnswer     = 64 << 10
	maxRetryAfter = time.Minute
	// maxConns is more than the 256 calls that the host makes at once for
	// requests: a probe never waits for a connection of theirs.
	maxConns = 320
)

// Transport is how a provider is reached. It is embedded in the configuration of
// every provider that is called over the network.
type Transport struct {
	// TLSTrustedCA is a PEM file of the certificate authorities that the
	// provider's certificate must come from. Default: the system's.
	TLSTrustedCA string `json:"tls_trusted_ca,omitempty"`

	// Proxy is the URL of a proxy to call through. The environment's proxy
	// variables are not read. Default: none.
	Proxy string `json:"proxy,omitempty"`

	// Header are request headers to add to every call.
	Header map[string]string `json:"header,omitempty"`
}

// Resolve replaces the placeholders of a text value in place. An unset or empty
// placeholder is an error that names the option.
func Resolve(option string, text *string) error {
	if !strings.Contains(*text, "{") {
		return nil
	}
	v, err := caddy.NewReplacer().ReplaceOrErr(*text, true, true)
	if err != nil {
		return fmt.Errorf("%s: %w; set it, or write the value itself", option, err)
	}
	*text = v
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

// Client calls one provider.
type Client struct {
	http   *http.Client
	header map[string]string
}

// errRedirect is what a provider gets that sends us elsewhere: a secret must not
// follow.
var errRedirect = errors.New("the provider redirects; only the configured URL is called")

// NewClient prepares calls with the transport's settings, its placeholders
// resolved. It calls nobody.
func (t Transport) NewClient() (*Client, error) {
	for _, o := range []struct {
		name string
		text *string
	}{{"tls_trusted_ca", &t.TLSTrustedCA}, {"proxy", &t.Proxy}} {
		if err := Resolve(o.name, o.text); err != nil {
			return nil, err
		}
	}
	header := make(map[string]string, len(t.Header))
	for name, value := range t.Header {
		if err := Resolve("header "+name, &value); err != nil {
			return nil, err
		}
		header[name] = value
	}
	roots, err := t.roots()
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // an answer is counted as it comes
		MaxResponseHeaderBytes: maxAnswer,
		ForceAttemptHTTP2:      true,
	}
	if t.Proxy != "" {
		u, err := url.Parse(t.Proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("proxy: not a URL; write http://proxy.example.com:3128")
		}
		tr.Proxy = http.ProxyURL(u)
	}
	return &Client{
		http:   &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }},
		header: header,
	}, nil
}

func (t Transport) roots() (*x509.CertPool, error) {
	if t.TLSTrustedCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.TLSTrustedCA)
	if err != nil {
		return nil, fmt.Errorf("tls_trusted_ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_trusted_ca: no certificate in %s", t.TLSTrustedCA)
	}
	return roots, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is a provider's answer, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends req and reads the answer, at most 64 KiB of it. What prevents an
// answer is a *provider.Fault. Statuses are left to the caller, except 429,
// which is Throttled everywhere but where a protocol says otherwise.
func (c *Client) Do(req *http.Request) (Answer, error) {
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, faultOf(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return Answer{}, faultOf(err)
	}
	if len(body) > maxAnswer {
		return Answer{}, Unavailable("the answer is longer than 64 KiB")
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
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
		f.RetryAfter = min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	return f
}

// faultOf classifies what prevented an answer. The error's text may contain the
// URL, which may contain a token: only the inner error is kept.
func faultOf(err error) *provider.Fault {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
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
