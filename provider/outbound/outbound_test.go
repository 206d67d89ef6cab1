package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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

func TestDo(t *testing.T) {
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

func TestProxy(t *testing.T) {
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

func TestThrottled(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "0": 0, "-1": 0, "x": 0, "3600": time.Minute,
		"99999999999999999999": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0,
	} {
		f := outbound.Throttled(outbound.Answer{Status: 429, Header: http.Header{"Retry-After": {value}}})
		if f.Class != provider.Throttled || f.RetryAfter != want {
			t.Errorf("%q: %+v", value, f)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Setenv("OUTBOUND_TEST", "value")
	t.Setenv("OUTBOUND_EMPTY", "")
	for text, want := range map[string]string{
		"plain": "plain", "{env.OUTBOUND_TEST}": "value", "a-{env.OUTBOUND_TEST}": "a-value",
		"{env.OUTBOUND_EMPTY}": "", "{env.OUTBOUND_UNSET}": "", "{no.such}": "",
	} {
		got := text
		err := outbound.Resolve("secret_key", &got)
		if want == "" && (err == nil || !strings.HasPrefix(err.Error(), "secret_key: ")) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		base bool
		ok   bool
	}{
		{"https://a.example", true, true}, {"http://a:80/x", true, true}, {"https://a/x?y=z", false, true},
		{"https://a/x?y=z", true, false}, {"https://a/#x", true, false}, {"ftp://a", false, false},
		{"a.example", false, false}, {"https://", false, false}, {"https://u:p@a", false, false}, {"", false, false}, {"https://a b", false, false},
	} {
		if err := outbound.CheckURL("verify_url", c.url, c.base); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.url, err)
		}
	}
}

func TestUnmarshalOption(t *testing.T) {
	for input, want := range map[string]string{
		"tls_trusted_ca /a.pem": "", "proxy http://p": "", "header A b": "", "header A b\nheader B c": "",
		"header A":               "header needs a name and a value",
		"header A b c":           "header needs a name and a value",
		"header A b\nheader A c": "already specified",
		"proxy":                  "proxy needs a URL",
		"proxy a\nproxy b":       "already specified",
	} {
		d := caddyfile.NewTestDispenser(input)
		var transport outbound.Transport
		var err error
		for d.Next() && err == nil {
			var known bool
			if known, err = transport.UnmarshalOption(d); !known {
				t.Errorf("%s is not known", d.Val())
			}
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", input, err, want)
		}
	}
	d := caddyfile.NewTestDispenser("other")
	d.Next()
	if known, _ := new(outbound.Transport).UnmarshalOption(d); known {
		t.Error("other is taken for an option")
	}
}
