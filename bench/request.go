//go:build linux

package main

import (
	"fmt"
	"net/url"
	"strings"
)

// request writes a request with the headers that Chrome sends. Their number
// matters: the maps they are copied into grow in steps.
func request(method, addr, path, cookie, accept, contentType, body string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s %s HTTP/1.1", method, path)
	line("Host: %s", addr)
	line("Connection: keep-alive")
	if method == "POST" {
		line("Content-Length: %d", len(body))
		line("Cache-Control: max-age=0")
	}
	line(`sec-ch-ua: "Chromium";v="156", "Not_A Brand";v="24"`)
	line("sec-ch-ua-mobile: ?0")
	line(`sec-ch-ua-platform: "Linux"`)
	if method == "POST" {
		line("Origin: http://%s", addr)
		line("Content-Type: %s", contentType)
	}
	line("User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36")
	line("Accept: %s", accept)
	line("Sec-Fetch-Site: same-origin")
	if accept == acceptHTML {
		line("Upgrade-Insecure-Requests: 1")
		line("Sec-Fetch-Mode: navigate")
		line("Sec-Fetch-User: ?1")
		line("Sec-Fetch-Dest: document")
	} else {
		line("Sec-Fetch-Mode: cors")
		line("Sec-Fetch-Dest: empty")
	}
	line("Referer: http://%s/form", addr)
	line("Accept-Encoding: gzip, deflate, br, zstd")
	line("Accept-Language: en-GB,en;q=0.9")
	if cookie != "" {
		cookie = "; " + cookie
	}
	line("Cookie: session=0123456789abcdef0123456789abcdef%s", cookie)
	line("")
	return []byte(b.String() + body)
}

const (
	acceptHTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	acceptJSON = "application/json"
	urlencoded = "application/x-www-form-urlencoded"
	formSize   = 1 << 10
)

// form is an urlencoded body of 1 KB, with a token at its end if there is one.
func form(token string) string {
	head := "name=Ada+Lovelace&email=ada%40example.com&subject=Note+G&consent=on&message="
	tail := ""
	if token != "" {
		tail = "&altcha=" + url.QueryEscape(token)
	}
	filler := strings.Repeat("The+engine+weaves+patterns+", formSize/16)
	return head + filler[:max(0, formSize-len(head)-len(tail))] + tail
}
