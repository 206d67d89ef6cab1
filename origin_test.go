package captcha

import (
	"net/http"
	"testing"
)

func TestProvenance(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		want   provenance
	}{
		{"nothing", http.Header{}, elsewhere},
		{"same-origin", http.Header{"Sec-Fetch-Site": {"same-origin"}}, sameOrigin},
		{"same-site", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.com"}}, sameSite},
		{"cross-site", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://example.com"}}, elsewhere},
		{"typed", http.Header{"Sec-Fetch-Site": {"none"}}, elsewhere},
		{"unknown word", http.Header{"Sec-Fetch-Site": {"same-planet"}}, elsewhere},
		{"two values", http.Header{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, elsewhere},
		{"own Origin", http.Header{"Origin": {"https://example.com"}}, sameOrigin},
		{"behind a TLS terminator", http.Header{"Origin": {"http://EXAMPLE.com:80"}}, sameOrigin},
		{"other port", http.Header{"Origin": {"https://example.com:8443"}}, elsewhere},
		{"subdomain without Sec-Fetch-Site", http.Header{"Origin": {"https://www.example.com"}}, elsewhere},
		{"null", http.Header{"Origin": {"null"}}, elsewhere},
		{"null before a good Referer", http.Header{"Origin": {"null"}, "Referer": {"https://example.com/"}}, elsewhere},
		{"own Referer", http.Header{"Referer": {"https://example.com/form?x"}}, sameOrigin},
		{"foreign Referer", http.Header{"Referer": {"https://example.com.evil.test/"}}, elsewhere},
		{"user info", http.Header{"Origin": {"https://example.com@evil.test"}}, elsewhere},
		{"odd scheme", http.Header{"Origin": {"chrome-extension://example.com"}}, elsewhere},
	} {
		if got := cameFrom(&http.Request{Host: "example.com", Header: c.header}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHostOfD32(t *testing.T) {
	for host, want := range map[string]string{
		"Example.COM": "example.com", "example.com:8443": "example.com", "example.com.": "example.com",
		"[::1]:80": "::1", "[::1]": "::1", "127.0.0.1:8080": "127.0.0.1", "": "",
	} {
		if got := hostOf(&http.Request{Host: host}); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestNavigates(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   bool
	}{
		{http.Header{"Sec-Fetch-Mode": {"navigate"}}, true},
		{http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, false},
		{http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}}, false},
		{http.Header{"Accept": {"text/html,application/xhtml+xml;q=0.9"}}, true},
		{http.Header{"Accept": {"application/json", " Text/HTML ;q=1"}}, true},
		{http.Header{"Accept": {"text/html"}, "X-Requested-With": {"XMLHttpRequest"}}, false},
		{http.Header{"Accept": {"application/json, text/html;q=0"}}, false},
		{http.Header{"Accept": {"text/html; level=1; Q=0.000"}}, false},
		{http.Header{"Accept": {"text/html;q=0.1, */*"}}, true},
		{http.Header{"Accept": {"text/html;q=x"}}, true},
		{http.Header{"Accept": {"*/*"}}, false},
		{http.Header{}, false},
	} {
		if got := navigates(&http.Request{Header: c.header}); got != c.want {
			t.Errorf("%v: got %v, want %v", c.header, got, c.want)
		}
	}
}
