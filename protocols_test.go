package captcha

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// A read that is under way ends when it is told to, on every protocol and
// through the server's own wrappers: the search for a token depends on it.
func TestAbortRead(t *testing.T) {
	e := serveAll(t, "captcha_test_next")
	for name, transport := range e.transports {
		t.Run(name, func(t *testing.T) {
			e.http.Transport = transport
			body, hold := io.Pipe()
			defer func() { _ = hold.Close() }()
			req := e.request("POST", "/abort", "", "")
			req.Body, req.ContentLength = body, -1
			resp, err := e.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, _ := io.ReadAll(resp.Body); string(got) != "aborted" {
				t.Errorf("%q", got)
			}
		})
	}
}

// protocols is an edge that speaks all of them, over TLS.
type protocols struct {
	*edge
	transports map[string]http.RoundTripper
}

// serveAll runs a site that is reached by HTTP/1.1, HTTP/2 and HTTP/3.
func serveAll(t *testing.T, site string) *protocols {
	t.Helper()
	return serveAllWith(t, "", site)
}

// serveAllWith is serveAll with more global options.
func serveAllWith(t *testing.T, global, site string) *protocols {
	t.Helper()
	e := serve(t, site)
	e.port = freePort(t)
	certFile, keyFile := selfSigned(t)
	err := loadCaddyfile(fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https disable_redirects
	default_bind 127.0.0.1
	grace_period 1ns
	storage file_system %s
	%s
}
https://localhost:%d {
	tls %s %s
	%s
}
`, e.dir, global, e.port, certFile, keyFile, strings.ReplaceAll(site, "{app}", strings.TrimPrefix(e.app.URL, "http://"))))
	if err != nil {
		t.Fatal(err)
	}
	e.url = fmt.Sprintf("https://localhost:%d", e.port)
	insecure := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} //nolint:gosec // our own server
	h1 := &http.Transport{TLSClientConfig: insecure.Clone()}
	h2 := &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: insecure.Clone()}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		_ = h3.Close()
	})
	return &protocols{e, map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3}}
}

func TestEveryProtocol(t *testing.T) {
	e := serveAll(t, small)
	for proto, transport := range e.transports {
		t.Run(proto, func(t *testing.T) {
			e.http.Transport = transport
			for _, size := range []int{10, 100_000, 2_000_000} { // in memory, and spilled
				for _, length := range []int64{0, -1} { // sized, and of unknown length
					body := "text=" + strings.Repeat("x", size) + "&altcha=" + url.QueryEscape(e.token("/login"))
					req := e.request("POST", "/login", formType, body)
					if length < 0 {
						req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
					}
					r := e.do(req)
					if r.Proto != proto {
						t.Fatalf("spoke %s", r.Proto)
					}
					sameBytes(t, e.wantForwarded(r).Body, body)
				}
			}
			page := e.browse("same-origin", "/login", "text/plain", "precious")
			s := e.wantForwarded(e.solvePage("/login", sealIn(t, page)))
			sameBytes(t, s.Body, "precious")
			e.wantProblem(e.post("/login", formType, "text="+strings.Repeat("x", 11<<20)), 413, "body-too-large")
		})
	}
}

// Promise 8: a post from another site is not submitted again; a one-time
// clearance lets the visitor submit it again from there.
func TestCrossSitePostOverHTTPSD86(t *testing.T) {
	e := serveAll(t, small)
	e.http.Transport = e.transports["HTTP/2.0"]
	page := e.browse("cross-site", "/login", formType, "a=1")
	body := "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + sealIn(t, page)
	if r := e.browse("same-origin", "/login", formType, body); r.StatusCode != 400 {
		t.Errorf("a cross-site post was submitted again: %s", r.Status)
	}
	redeem := func() reply {
		body = "altcha=" + url.QueryEscape(e.token("/login")) + "&captcha-seal=" + sealIn(t, page)
		return e.post("/login", formType, body, "Captcha-Redeem", "1", "Sec-Fetch-Site", "same-origin")
	}
	r := redeem()
	if again := e.post("/login", formType, body, "Captcha-Redeem", "1", "Sec-Fetch-Site", "same-origin"); len(again.Cookies()) != 0 {
		t.Error("one token was redeemed twice")
	}
	cookies := r.Cookies()
	if len(cookies) != 1 || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteNoneMode || !strings.HasPrefix(cookies[0].Name, "__Host-captcha-once-") {
		t.Fatalf("%s %v %s", r.Status, cookies, r.body)
	}
	s := e.wantForwarded(e.browse("cross-site", "/login", formType, "a=1", "Cookie", cookies[0].Name+"="+cookies[0].Value))
	if s.Header.Get("Origin") != "https://evil.test" {
		t.Errorf("the app saw %v", s.Header)
	}
}

// selfSigned writes a certificate for localhost.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
