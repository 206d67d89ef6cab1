package outbound_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

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

func TestResolveAll(t *testing.T) {
	t.Setenv("OUTBOUND_TEST", "value")
	written := "{env.OUTBOUND_TEST}"
	var a, b, c, d string
	settings := []outbound.Setting{
		{Option: "a", Written: written, Default: "x", To: &a}, {Option: "b", Default: "{env.OUTBOUND_TEST}", To: &b}, {Option: "c", To: &c},
	}
	if err := outbound.ResolveAll(settings...); err != nil || a != "value" || b != "value" || c != "" || written != "{env.OUTBOUND_TEST}" {
		t.Errorf("%q, %q, %q, %v", a, b, c, err)
	}
	err := outbound.ResolveAll(outbound.Setting{Option: "d", Written: "{env.OUTBOUND_UNSET}", To: &d}, settings[0])
	if err == nil || !strings.HasPrefix(err.Error(), "d: ") {
		t.Error(err)
	}
}

func TestOrigin(t *testing.T) {
	for whole, want := range map[string]string{
		"https://a.example/x?y#z": "https://a.example", "http://a:80": "http://a:80", "a.example": "", "": "", "https://a b": "",
	} {
		if got := outbound.Origin(whole); got != want {
			t.Errorf("%q: %q", whole, got)
		}
	}
}

func TestUnmarshalOption(t *testing.T) {
	for input, want := range map[string]string{
		"tls_trusted_ca /a.pem": "", "proxy http://p": "", "header A b": "", "header A b\nheader B c": "",
		"header A":               "header needs a name and a value",
		"header A b c":           "header needs a name and a value",
		"header A b\nheader A c": "already specified",
		"header A b\nheader a c": "already specified",
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

func TestUnmarshalBlock(t *testing.T) {
	for input, want := range map[string]string{
		"p": "",
		"p {\nname a\nscore 0.5\nproxy http://p\n}": "",
		"p {\nuseless a\n}":                         "",
		"p x":                                       `p takes no argument, got "x": write its options in a block`,
		"p {\nname\n}":                              "name needs a name, and nothing else",
		"p {\nname a\nname b\n}":                    "name is already specified: write it once",
		"p {\nscore 1\nscore 1\n}":                  "score is already specified: write it once",
		"p {\nscore high\n}":                        `score "high" is not a number: write one from 0 to 1, such as 0.5`,
		"p {\nscore {env.X}\n}":                     "write {$NAME} instead of {env.X}",
		"p {\nscore 2\n}":                           "too much",
		"p {\nscore NaN\n}":                         "too much",
		"p {\nproxy\n}":                             "proxy needs a URL",
		"p {\nother\n}":                             "unrecognized subdirective 'other': p has name, score, tls_trusted_ca, proxy and header",
	} {
		var (
			transport     outbound.Transport
			name, useless string
			score         *float64
		)
		check := func(n float64) error {
			if !(n <= 1) {
				return errors.New("too much")
			}
			return nil
		}
		unlisted := outbound.TextOption("useless", &useless, "a text")
		unlisted.Useless = true
		err := transport.UnmarshalBlock(caddyfile.NewTestDispenser(input), "p",
			outbound.TextOption("name", &name, "a name"), unlisted, outbound.ScoreOption("score", &score, check))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", input, err, want)
		}
		if strings.Contains(input, "proxy h") && (name != "a" || score == nil || *score != 0.5 || transport.Proxy != "http://p") {
			t.Errorf("%s: %q, %v, %+v", input, name, score, transport)
		}
	}
}
