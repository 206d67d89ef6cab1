package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-captcha/caddy-captcha/internal/providertest"
	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, transport outbound.Transport) *outbound.Client {
	t.Helper()
	c, err := transport.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(c *outbound.Client, url string) (outbound.Answer, error) {
	return getWithin(10*time.Second, c, url)
}

func getWithin(d time.Duration, c *outbound.Client, url string) (outbound.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/a?secret=hidden", nil)
	if err != nil {
		return outbound.Answer{}, err
	}
	return c.Do(req)
}

func ok(*providertest.Server) providertest.Answerer {
	return func(providertest.Call) (int, string) { return 200, `{"ok":true}` }
}

func TestDoD44D70(t *testing.T) {
	s := providertest.Serve(t, ok)
	c := client(t, outbound.Transport{Header: map[string]string{"X-Extra": "1"}})
	if a, err := get(c, s.URL()); err != nil || a.Status != 200 || string(a.Body) != `{"ok":true}` {
		t.Fatal(a, err)
	}
	if s.Calls()[0].Header.Get("X-Extra") != "1" {
		t.Error("the configured header is not sent")
	}
	for fault, want := range map[providertest.Fault]provider.Fault{
		providertest.Refuse:         {Class: provider.Unavailable, Again: true},
		providertest.Reset:          {Class: provider.Unavailable},
		providertest.Hang:           {Class: provider.Unavailable},
		providertest.SlowDrip:       {Class: provider.Unavailable},
		providertest.Huge:           {Class: provider.Unavailable},
		providertest.Redirect:       {Class: provider.Unavailable},
		providertest.BadCertificate: {Class: provider.Misconfigured},
	} {
		s.Inject(fault)
		url := s.URL()
		if fault == providertest.BadCertificate {
			url = s.TLSURL()
		}
		patience := 10 * time.Second
		if fault == providertest.Hang || fault == providertest.SlowDrip {
			patience = 150 * time.Millisecond
		}
		_, err := getWithin(patience, c, url)
		var f *provider.Fault
		if !errors.As(err, &f) || f.Class != want.Class || f.Again != want.Again {
			t.Errorf("%s: %v, want %+v", fault, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error tells the URL: %v", fault, err)
		}
	}
	s.Inject(providertest.GzipBomb)
	if a, err := get(c, s.URL()); err != nil || len(a.Body) > 64<<10 || strings.Contains(string(a.Body), "ok") {
		t.Errorf("a compressed answer is not left as it came: %d bytes, %v", len(a.Body), err)
	}
	if len(s.Elsewhere()) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestTrustedCA(t *testing.T) {
	s := providertest.Serve(t, ok)
	if _, err := get(client(t, outbound.Transport{TLSTrustedCA: s.CA()}), s.TLSURL()); err != nil {
		t.Error(err)
	}
	if _, err := get(client(t, outbound.Transport{}), s.TLSURL()); err == nil {
		t.Error("anybody's certificate is trusted")
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(t.TempDir(), "none.pem")} {
		if _, err := (outbound.Transport{TLSTrustedCA: file}).NewClient(); err == nil || !strings.Contains(err.Error(), "tls_trusted_ca: ") {
			t.Error(err)
		}
	}
}

func TestProxyD72(t *testing.T) {
	s := providertest.Serve(t, ok)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not read
	if _, err := get(client(t, outbound.Transport{Proxy: s.URL()}), "http://provider.invalid"); err != nil {
		t.Error(err)
	}
	if len(s.Calls()) != 1 {
		t.Error("the proxy was not used")
	}
	if _, err := (outbound.Transport{Proxy: "proxy:3128"}).NewClient(); err == nil || !strings.Contains(err.Error(), "write http://") {
		t.Error(err)
	}
}

func TestConfiguredHeader(t *testing.T) {
	var host string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer s.Close()
	if _, err := get(client(t, outbound.Transport{Header: map[string]string{"host": "captcha.internal"}}), s.URL); err != nil || host != "captcha.internal" {
		t.Errorf("asked for %q: %v", host, err)
	}
	for want, header := range map[string][2]string{
		`"X Y" is not the name`: {"X Y", "z"}, `"" is not the name`: {"", "z"},
		"Content-Length is set by the server": {"Content-Length", "3"}, "te is set by the server": {"te", "trailers"},
		"X-A: the value has a line break": {"X-A", "a\nb"},
	} {
		_, err := outbound.Transport{Header: map[string]string{header[0]: header[1]}}.NewClient()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestThrottled(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "0": 0, "-1": 0, "x": 0, "3600": time.Minute,
		"9223372037": time.Minute, "18446744074": time.Minute, "99999999999999999999": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0,
	} {
		f := outbound.Throttled(outbound.Answer{Status: 429, Header: http.Header{"Retry-After": {value}}})
		if f.Class != provider.Throttled || f.RetryAfter != want {
			t.Errorf("%q: %+v", value, f)
		}
	}
}
