package formtoken

import (
	"strings"
	"testing"
)

// part is a part as some client writes it: header lines and content.
type part struct {
	lines   []string
	content string
}

func disp(rest string) string { return "Content-Disposition: form-data; " + rest }

// clients are the shapes in which browsers and HTTP libraries send a form. None may ever be refused.
var clients = []struct {
	name, contentType, boundary string
	parts                       []part
	end                         string // behind the last part's content; default: CRLF, final delimiter, CRLF
	start                       string
}{
	{name: "Chrome, Safari", contentType: "multipart/form-data; boundary=----WebKitFormBoundaryePkpFF7tjBAqx29L", boundary: "----WebKitFormBoundaryePkpFF7tjBAqx29L", parts: []part{
		{[]string{disp(`name="user"`)}, "Jos\xc3\xa9"},
		{[]string{disp(`name="a%22b%0D%0Ac\d"`)}, "x"},
		{[]string{disp(`name="file"; filename="%22quoted%22 \ 日本語.png"`), "Content-Type: image/png"}, "\x89PNG\r\n\x1a\n\x00--\r\n--"},
		{[]string{disp(`name="empty"; filename=""`), "Content-Type: application/octet-stream"}, ""},
		{[]string{disp(`name="blob"; filename="blob"`), "Content-Type: application/json"}, `{"altcha":"no"}`},
		{[]string{disp(`name="altcha"`)}, "T"},
	}},
	{name: "Firefox", contentType: "multipart/form-data; boundary=---------------------------293582696224464", boundary: "---------------------------293582696224464", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
		{[]string{disp(`name="file"; filename="dir\name;x=y.txt"`), "Content-Type: text/plain"}, "-----------------------------29358269622446\r\n"},
	}},
	{name: "Firefox, newer", contentType: "multipart/form-data; boundary=----geckoformboundary8c79e61efa53dc5d441481912ad86439", boundary: "----geckoformboundary8c79e61efa53dc5d441481912ad86439", parts: []part{
		{[]string{disp(`name="_charset_"`)}, "UTF-8"},
		{[]string{disp(`name="altcha"`)}, "T"},
	}},
	{name: "curl", contentType: "multipart/form-data; boundary=------------------------d74496d66958873e", boundary: "------------------------d74496d66958873e", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
		{[]string{disp(`name="f"; filename="a \"b\" \\ c.txt"`), "Content-Type: text/plain"}, "x\n"},
		{[]string{"Content-Disposition: attachment; filename=\"x\"", "Content-Type: application/octet-stream"}, ""},
	}},
	{name: "Python requests", contentType: "multipart/form-data; boundary=08f1b8b9b0b54f2d8d6a1c2b6d5f2a0e", boundary: "08f1b8b9b0b54f2d8d6a1c2b6d5f2a0e", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
		{[]string{disp(`name="f"; filename*=utf-8''%C3%BC.txt`)}, "x"},
		{[]string{disp(`name="g"; filename="a%22\\.txt"`), "Content-Type: text/plain"}, "x"},
	}},
	{name: "Python aiohttp", contentType: "multipart/form-data; boundary=8f3c5c8d1b3a4f6e9a7b5d3c1f0e2a4b", boundary: "8f3c5c8d1b3a4f6e9a7b5d3c1f0e2a4b", parts: []part{
		{[]string{"Content-Type: text/plain; charset=utf-8", disp(`name="altcha"`)}, "T"},
	}},
	{name: ".NET", contentType: `multipart/form-data; boundary="6f1a4b8e-8c1e-4bd5-9d7b-0f6b8a4e2c11"`, boundary: "6f1a4b8e-8c1e-4bd5-9d7b-0f6b8a4e2c11", parts: []part{
		{[]string{"Content-Type: text/plain; charset=utf-8", disp("name=altcha")}, "T"},
		{[]string{disp("name=x; filename=y; filename*=utf-8''y")}, "z"},
		{[]string{disp(`name=x2; filename="=?utf-8?B?w7wudHh0?="; filename*=utf-8''%C3%BC.txt`), "Content-Type: image/png"}, "z"},
	}},
	{name: "C# by hand", contentType: "multipart/form-data; boundary=---------------------------8d9f0a1b2c3d4e5", boundary: "---------------------------8d9f0a1b2c3d4e5", start: "\r\n", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
		{[]string{disp(`name="file"; filename="C:\Users\x\a.txt"`), "Content-Type: text/plain"}, "x"},
	}},
	{name: "Node undici", contentType: "multipart/form-data; boundary=----formdata-undici-012345678901", boundary: "----formdata-undici-012345678901", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
		{[]string{disp(`name="f"; filename="blob"`), "Content-Type: application/octet-stream"}, "x"},
	}},
	{name: "axios, form-data", contentType: "multipart/form-data; boundary=--------------------------515890814546601021194782", boundary: "--------------------------515890814546601021194782", parts: []part{
		{[]string{disp(`name="nested[a][]"`)}, "1"},
		{[]string{disp(`name="altcha"`)}, "T"},
	}},
	{name: "axios in Node", contentType: "multipart/form-data; boundary=axios-1.7.2-boundary-abcDEF123_-xyz0123456789", boundary: "axios-1.7.2-boundary-abcDEF123_-xyz0123456789", parts: []part{
		{[]string{`Content-Disposition: form-data; name="altcha"`}, "T"},
	}},
	{name: "okhttp", contentType: "multipart/form-data; boundary=ebc1a7d3-1a30-4b6b-b0e7-ff4f4c9a0c0e", boundary: "ebc1a7d3-1a30-4b6b-b0e7-ff4f4c9a0c0e", parts: []part{
		{[]string{disp(`name="altcha"`), "Content-Transfer-Encoding: binary", "Content-Type: text/plain; charset=utf-8", "Content-Length: 1"}, "T"},
		{[]string{disp(`name="p"`), "Content-Type: application/json; charset=UTF-8", "Content-Length: 2"}, "{}"},
	}},
	{name: "Guzzle", contentType: "multipart/form-data; boundary=c8a9d3f0b1e2a4c5d6e7f8091a2b3c4d5e6f7081", boundary: "c8a9d3f0b1e2a4c5d6e7f8091a2b3c4d5e6f7081", parts: []part{
		{[]string{disp(`name="altcha"`), "Content-Length: 1"}, "T"},
		{[]string{disp(`name="f"; filename="a.txt"`), "Content-Length: 1", "Content-Type: text/plain"}, "x"},
	}},
	{name: "Apache HttpClient", contentType: "multipart/form-data; charset=UTF-8; boundary=3uUyNxN-_Vd0pZ8Qm1fKxA5gqL2bTz", boundary: "3uUyNxN-_Vd0pZ8Qm1fKxA5gqL2bTz", parts: []part{
		{[]string{disp(`name="altcha"`), "Content-Type: text/plain; charset=ISO-8859-1", "Content-Transfer-Encoding: 8bit"}, "T"},
		{[]string{disp(`name="f"; filename="a.bin"`), "Content-Type: application/octet-stream", "Content-Transfer-Encoding: binary"}, "\x00\xff"},
	}},
	{name: "Spring", contentType: "multipart/form-data;charset=UTF-8;boundary=DQT5kQ0gMXh4kZw9_-", boundary: "DQT5kQ0gMXh4kZw9_-", parts: []part{
		{[]string{disp(`name="altcha"`), "Content-Type: text/plain;charset=UTF-8", "Content-Length: 1"}, "T"},
	}},
	{name: "Jersey", contentType: "multipart/form-data; boundary=Boundary_1_1202321_1700000000000", boundary: "Boundary_1_1202321_1700000000000", parts: []part{
		{[]string{"Content-Type: text/plain", `Content-Disposition: form-data; name="altcha"`}, "T"},
	}},
	{name: "JavaMail", contentType: `multipart/form-data; boundary="----=_Part_0_1234.5678"`, boundary: "----=_Part_0_1234.5678", parts: []part{
		{[]string{`content-disposition: form-data; name="altcha"`, "Content-Transfer-Encoding: 7bit"}, "T"},
	}},
	{name: "Ruby Faraday", contentType: "multipart/form-data; boundary=-----------RubyMultipartPost-8b0d5a1c", boundary: "-----------RubyMultipartPost-8b0d5a1c", parts: []part{
		{[]string{`Content-Disposition: form-data; name="altcha"`}, "T"},
		{[]string{`Content-Disposition: form-data; name="f"; filename="a.txt"`, "Content-Length: 1", "Content-Type: text/plain", "Content-Transfer-Encoding: binary"}, "x"},
	}, end: "\r\n-------------RubyMultipartPost-8b0d5a1c--\r\n\r\n"},
	{name: "Dart", contentType: "multipart/form-data; boundary=dart-http-boundary-+abcDEF.123_xyz/0123456789abcdef012345678901234", boundary: "dart-http-boundary-+abcDEF.123_xyz/0123456789abcdef012345678901234", parts: []part{
		{[]string{`content-disposition: form-data; name="u"`, "content-type: text/plain; charset=utf-8", "content-transfer-encoding: binary"}, "é"},
		{[]string{`content-disposition: form-data; name="altcha"`}, "T"},
	}},
	{name: "Android by hand", contentType: "multipart/form-data;boundary=*****", boundary: "*****", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
	}},
	{name: "Alamofire", contentType: "multipart/form-data; boundary=alamofire.boundary.1f2e3d4c5b6a7988", boundary: "alamofire.boundary.1f2e3d4c5b6a7988", parts: []part{
		{[]string{`Content-Disposition: form-data; name="altcha"`}, "T"},
	}},
	{name: "LWP", contentType: "multipart/form-data; boundary=xYzZY", boundary: "xYzZY", parts: []part{
		{[]string{`Content-Disposition: form-data; name="altcha"`}, "T"},
	}, end: "\r\n--xYzZY--\r\n"},
	{name: "no line end at the end", contentType: "multipart/form-data; boundary=0123456789", boundary: "0123456789", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
	}, end: "\r\n--0123456789--"},
	{name: "boundary with inner spaces and an epilogue", contentType: `multipart/form-data; boundary="gc0p4Jq0M2Yt08jU534c0p (x)"`, boundary: "gc0p4Jq0M2Yt08jU534c0p (x)", parts: []part{
		{[]string{disp(`name="altcha"`)}, "T"},
	}, end: "\r\n--gc0p4Jq0M2Yt08jU534c0p (x)--\r\nThis is the epilogue.\r\n"},
}

func TestOrdinaryClients(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			format, err := ParseContentType([]string{c.contentType}, nil)
			if err != nil || format.Boundary != c.boundary {
				t.Fatalf("%+v %v", format, err)
			}
			var b strings.Builder
			b.WriteString(c.start)
			for i, p := range c.parts {
				if i > 0 {
					b.WriteString("\r\n")
				}
				b.WriteString("--" + c.boundary + "\r\n" + strings.Join(p.lines, "\r\n") + "\r\n\r\n" + p.content)
			}
			if c.end == "" {
				c.end = "\r\n--" + c.boundary + "--\r\n"
			}
			body := b.String() + c.end
			if got := scanAll(t, format, altcha, body); got.Err != nil || got.Values["altcha"] != "T" {
				t.Errorf("%+v", got)
			}
			empty := "--" + c.boundary + "--\r\n"
			if got := scanAll(t, format, altcha, empty); got.Err != nil || got.CompleteAt != -1 {
				t.Errorf("empty form: %+v", got)
			}
		})
	}
}

func TestOrdinaryForms(t *testing.T) {
	checkRows(t, formFormat, []row{
		{"browser", "user=Jos%C3%A9&pw=a%26b%3D%3B&files=&altcha=T&go=Log+in", "T", nil},
		{"jQuery", "tags%5B%5D=a&tags%5B%5D=b&user%5Bname%5D=x&altcha=T", "T", nil},
		{"ASP.NET", "__VIEWSTATE=%2FwEPDwUK%2B%3D&ctl00%24main%24user=x&altcha=T", "T", nil},
		{"JSF", "form=form&form%3Auser=x&javax.faces.ViewState=e1s1&altcha=T", "T", nil},
		{"raw characters by hand", "mail=a@b.c&url=http://x/?y=z&text=100%&altcha=T", "T", nil},
		{"Latin-1 bytes", "name=Jos\xe9&x=%E9&altcha=T", "T", nil},
	})
	checkRows(t, jsonFormat, []row{
		{"JSON.stringify", `{"user":"José","age":1e21,"tags":["a",null],"altcha":"T"}`, "T", nil},
		{"indented", "{\r\n  \"altcha\": \"T\",\r\n  \"user\": {\r\n    \"name\": \"x\"\r\n  }\r\n}\r\n", "T", nil},
		{"JSON-RPC batch", `[{"jsonrpc":"2.0","method":"x","id":1}]`, absent, nil},
		{"Python, ASCII only", `{"user": "\ud83d\ude00", "altcha": "T"}`, "T", nil},
	})
}
