//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWithHeader(t *testing.T) {
	r := request("POST", "127.0.0.1:1", "/form", "", acceptHTML, urlencoded, form(""))
	r = withHeader(withHeader(r, "Cookie: pass=1"), "X-Key: a: b")
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || string(body) != form("") {
		t.Errorf("body %q, %v", body, err)
	}
	if c, k := got.Header["Cookie"], got.Header.Get("X-Key"); len(c) != 1 || c[0] != "pass=1" || k != "a: b" {
		t.Errorf("Cookie %q, X-Key %q", c, k)
	}
}

func TestParseOther(t *testing.T) {
	for _, test := range []struct {
		options
		err string // a part of it
	}{
		{options{}, ""},
		{options{otherURL: "http://127.0.0.1:8080", otherPath: "/", upstream: "127.0.0.1:9000"}, ""},
		{options{otherURL: "http://127.0.0.1:8080", otherPath: "/"}, "-upstream"},
		{options{otherURL: "https://127.0.0.1:8080", otherPath: "/", upstream: "127.0.0.1:9000"}, "must be like"},
		{options{otherURL: "http://127.0.0.1:8080/x", otherPath: "/", upstream: "127.0.0.1:9000"}, "-other-path"},
		{options{otherURL: "http://127.0.0.1:8080", otherPath: "x", upstream: "127.0.0.1:9000"}, "must begin with /"},
		{options{otherHeaders: headers{"Cookie: a"}}, "need -other"},
	} {
		o := test.options
		err := o.parseOther()
		if test.err == "" {
			if err != nil {
				t.Errorf("%+v: %v", test.options, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%+v: got %v, want %q", test.options, err, test.err)
		}
	}
	if new(headers).Set("no colon") == nil || new(headers).Set("a: b\r\nc: d") == nil {
		t.Error("a header that is none was accepted")
	}
}
