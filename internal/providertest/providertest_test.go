package providertest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// toy is a minimal correct provider.
type toy struct {
	url    string
	client *outbound.Client
}

func (*toy) Fields() []string { return []string{"toy"} }

func (p *toy) Parse(_ context.Context, _ provider.Request, fields map[string]string) (provider.Token, error) {
	return provider.Token{Key: fields["toy"], Fields: fields}, nil
}

func (p *toy) ask(ctx context.Context, token string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/verify", strings.NewReader(token))
	if err != nil {
		return false, err
	}
	a, err := p.client.Do(req)
	if err != nil {
		return false, err
	}
	if a.Status == http.StatusTooManyRequests {
		return false, outbound.Throttled(a)
	}
	var doc struct{ Success *bool }
	if json.Unmarshal(a.Body, &doc) != nil || doc.Success == nil || a.Status != http.StatusOK {
		return false, outbound.Unavailable("not the protocol")
	}
	return *doc.Success, nil
}

func (p *toy) Verify(ctx context.Context, _ provider.Request, token provider.Token) (v provider.Verdict, err error) {
	ok, err := p.ask(ctx, token.Fields["toy"])
	if ok {
		v.Outcome = provider.Pass
	}
	return v, err
}

func (p *toy) Probe(ctx context.Context) error {
	_, err := p.ask(ctx, "probe")
	return err
}

func (p *toy) Cleanup() error { p.client.Close(); return nil }

func TestSuiteOnACorrectProvider(t *testing.T) {
	Suite{
		Protocol: func(s *Server) Answerer {
			return func(c Call) (int, string) {
				if c.Method != http.MethodPost || c.Path != "/verify" {
					s.Strict("%s %s", c.Method, c.Path)
				}
				if string(c.Body) == "good" {
					return 200, `{"success":true,"n":1,"s":["x"]}`
				}
				return 200, `{"success":false}`
			}
		},
		New: func(t testing.TB, url string) provider.Provider {
			c, err := outbound.Transport{}.NewClient()
			if err != nil {
				t.Fatal(err)
			}
			p := &toy{url: url, client: c}
			if err := Provision(t, p); err != nil {
				t.Fatal(err)
			}
			return p
		},
		Fields:  map[string]string{"toy": "good"},
		Secrets: []string{"secret"},
	}.Run(t)
}

func TestInjectComesAndGoes(t *testing.T) {
	s := Serve(t, func(*Server) Answerer { return func(Call) (int, string) { return 200, `{"ok":true}` } })
	get := func(url string) (string, error) {
		resp, err := http.Get(url)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	for range 3 {
		if body, err := get(s.URL()); err != nil || body != `{"ok":true}` {
			t.Fatal(body, err)
		}
		s.Inject(Refuse)
		if _, err := get(s.URL()); err == nil {
			t.Fatal("not refused")
		}
		s.Inject(None)
	}
	s.Inject(WrongTypes)
	if body, _ := get(s.URL()); body != `{"ok":"true"}` {
		t.Error(body)
	}
	if n := len(s.Calls()); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
}

func TestTheCertificateIsGoodUntilItIsBad(t *testing.T) {
	s := Serve(t, func(*Server) Answerer { return func(Call) (int, string) { return 200, `{"ok":true}` } })
	c, err := outbound.Transport{TLSTrustedCA: s.CA()}.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := func() error {
		req, _ := http.NewRequest(http.MethodGet, s.TLSURL(), nil)
		_, err := c.Do(req)
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	s.Inject(BadCertificate)
	var f *provider.Fault
	if err := call(); !errors.As(err, &f) || f.Class != provider.Misconfigured {
		t.Fatal(err)
	}
}
