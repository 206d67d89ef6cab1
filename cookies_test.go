package captcha

import (
	"net/http"
	"slices"
	"testing"
)

// The oracle is net/http, which parses every cookie.
func TestCookieValues(t *testing.T) {
	for _, lines := range [][]string{
		nil,
		{""},
		{"a=1"},
		{"b=1; a=2; aa=3; ab=4"},
		{"a=1;a=2;  a=3 ;\ta=4; a=5"},
		{"x=a=7; a=b=c"},
		{"a=1", "b=2; a=3", "a="},
		{";;; a=1 ;;"},
		{"ba=1; a-once-x=2; a=3"},
	} {
		r := &http.Request{Header: http.Header{"Cookie": lines}}
		var want []string
		for _, c := range r.CookiesNamed("a") {
			want = append(want, c.Value)
		}
		want = want[:min(len(want), maxSameName)]
		if got := slices.Collect(cookieValues(r, "a")); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
}

// Of many cookies of one name, a few are looked at.
func TestCookieValuesEndEarly(t *testing.T) {
	r := &http.Request{Header: http.Header{"Cookie": {"a=1; a=2; a=3"}}}
	for value := range cookieValues(r, "a") {
		if value == "2" {
			return
		}
	}
	t.Error("the second value never came")
}

func TestCookieValuesAllocateNothing(t *testing.T) {
	r := &http.Request{Header: http.Header{"Cookie": {"theme=dark; session=0123456789abcdef; a=1; b=2"}}}
	if n := testing.AllocsPerRun(100, func() {
		for range cookieValues(r, "a") {
			break
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
