// Package outbound makes a provider's calls: bounded, to configured hosts only,
// without redirects, and with errors that name neither token nor secret.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-captcha/caddy-captcha/internal/placeholder"
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

	// Header are request headers to set on every call, by name. Host is the host that
	// is asked for. Those of the connection and the length are an error. Default: none.
	Header map[string]string `json:"header,omitempty"`
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
		if err := placeholder.Resolve(o.name, o.text); err != nil {
			return nil, err
		}
	}
	header := make(map[string]string, len(t.Header))
	for name, value := range t.Header {
		if err := placeholder.Resolve("header "+name, &value); err != nil {
			return nil, err
		}
		if err := checkHeader(name, value); err != nil {
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

// connectionHeaders are net/http's own.
var connectionHeaders = []string{
	"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// checkHeader refuses a configured header with which no call could be made.
func checkHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("header: %q is not the name of a header", name)
	case slices.Contains(connectionHeaders, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("header %s is set by the server itself; leave it out", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("header %s: the value has a line break or another character that no header can have", name)
	}
	return nil
}

// Close ends idle connections. There may be no client yet.
func (c *Client) Close() {
	if c != nil {
		c.http.CloseIdleConnections()
	}
}

// Do sends req and reads the answer, at most 64 KiB of it. What prevents an
// answer is a *provider.Fault. Statuses are left to the caller, except 429,
// which is Throttled everywhere but where a protocol says otherwise.
func (c *Client) Do(req *http.Request) (Answer, error) {
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := c.http.Do(req) //nolint:gosec // to the URL of the operator or of the provider
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
