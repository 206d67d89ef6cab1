package outbound_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

func TestObject(t *testing.T) {
	for body, want := range map[string]bool{
		`{"a":1}`: true, " {}\n": true, `{"a":"1"}`: false, `{"a":1} x`: false, `{"a":1`: false,
		"null": false, "[]": false, `"{}"`: false, "": false, "<html>": false,
	} {
		var doc struct{ A int }
		if got := (outbound.Answer{Body: []byte(body)}).Object(&doc); got != want {
			t.Errorf("%q: %t", body, got)
		}
	}
}

func TestVisible(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a-code_1", "a-code_1"}, {"", "(none)"}, {"a\nb\x00\u202ec\xff", "a?b??c?"},
		{"no token for you", "no (hidden) for you"}, {"secret", "(hidden)"},
		{strings.Repeat("x", 79) + "secret", strings.Repeat("x", 79) + "("},
		{strings.Repeat("€", 100), strings.Repeat("?", 80)},
	} {
		if got := outbound.Visible(c.text, "", "token", "secret"); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestAgain(t *testing.T) {
	once := outbound.Unavailable("x")
	var f *provider.Fault
	if err := outbound.Again(once); !errors.As(err, &f) || !f.Again || once.Again {
		t.Errorf("%+v, and the fault itself %+v", f, once)
	}
	for _, err := range []error{nil, errors.New("x"), outbound.Misconfigured("x"), outbound.Throttled(outbound.Answer{})} {
		if got := outbound.Again(err); got != err { //nolint:errorlint // the very same
			t.Errorf("%v became %v", err, got)
		}
	}
}
