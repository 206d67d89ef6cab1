package formtoken

import (
	"errors"
	"mime"
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/internal/charset"
)

// contentTypes are headers, and what a body is that comes with one.
var contentTypes = []struct {
	header string
	format Format
	err    error
}{
	{"", Format{}, nil},
	{"text/plain", Format{}, nil},
	{"text/plain; charset=utf-16; x", Format{}, nil},
	{"application/octet-stream", Format{}, nil},
	{"multipart/mixed; boundary=x", Format{}, nil},
	{"application/x-ndjson", Format{}, nil},
	{"application/x-www-form-urlencoded", form, nil},
	{"Application/X-WWW-Form-URLEncoded; Charset=UTF-8", form, nil},
	{"application/x-www-form-urlencoded;charset=\"iso-8859-1\";", form, nil},
	{"application/x-www-form-urlencoded; charset=windows-1252", form, nil},
	{"application/x-www-form-urlencoded; charset=Shift_JIS", form, nil},
	{"application/x-www-form-urlencoded; charset='utf-8'", form, nil},
	{"application/x-www-form-urlencoded; charset=utf-8; charset=UTF-8", form, nil},
	{"application/x-www-form-urlencoded; charset=utf-8; charset=utf-16", Format{}, errTypeSyntax},
	{"application/x-www-form-urlencoded; charset*=utf-8''utf-16", Format{}, errTypeSyntax},
	{"application/x-www-form-urlencoded; charset", Format{}, errTypeSyntax},
	{"application/json", js, nil},
	{"application/vnd.api+json; ext=bulk", js, nil},
	{"application/json;odata=verbose", js, nil},
	{"text/json; charset=utf-8", js, nil},
	{"application/json; charset=", js, nil},
	{"application/json, application/json", Format{}, errTypeSyntax},
	{"application/json; charset=utf-8, text/plain", Format{}, errTypeMany},
	{"application/json; charset=shift_jis", Format{}, ErrUnsupported},
	{"application/json; charset=gb18030", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=utf-16", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=UTF-7", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=utf-32le", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=iso-2022-jp", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=hz-gb-2312", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=ibm037", Format{}, ErrUnsupported},
	{"application/x-www-form-urlencoded; charset=unicode", Format{}, ErrUnsupported},
	{"application/json;;charset=utf-8", Format{}, errTypeSyntax},
	{"json", Format{}, errTypeSyntax},
	{"/", Format{}, errTypeSyntax},
	{"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", multi("----WebKitFormBoundary7MA4YWxkTrZu0gW"), nil},
	{"multipart/form-data; boundary=---------------------------9051914041544843365972754266", multi("---------------------------9051914041544843365972754266"), nil},
	{"multipart/form-data; boundary=----geckoformboundary3f0a", multi("----geckoformboundary3f0a"), nil},
	{"multipart/form-data; boundary=*****", multi("*****"), nil},
	{"multipart/form-data;boundary=\"0b1e-4f\"", multi("0b1e-4f"), nil},
	{"multipart/form-data; boundary=\"a b\"", multi("a b"), nil},
	{"multipart/form-data; boundary=\"a,b:c=d?\"", multi("a,b:c=d?"), nil},
	{"multipart/form-data; boundary=----=_Part_1_2.3", multi("----=_Part_1_2.3"), nil},
	{"multipart/form-data; charset=utf-8; boundary=x ;", multi("x"), nil},
	{"multipart/form-data; boundary=" + b70, multi(b70), nil},
	{"multipart/form-data; boundary=" + b70 + "b", Format{}, errBoundary},
	{"multipart/form-data", Format{}, errBoundary},
	{"multipart/form-data; boundary=", Format{}, errBoundary},
	{"multipart/form-data; boundary=\"\"", Format{}, errBoundary},
	{"multipart/form-data; boundary=a; boundary=b", Format{}, errBoundary},
	{"multipart/form-data; boundary=a; boundary=a", Format{}, errBoundary},
	{"multipart/form-data; boundary*0=a; boundary*1=b", Format{}, errBoundary},
	{"multipart/form-data; boundary=a; boundary*=utf-8''b", Format{}, errBoundary},
	{"multipart/form-data; x=\"boundary=evil\"; boundary=a", Format{}, errBoundary},
	{"multipart/form-data; xboundary=evil; boundary=a", Format{}, errBoundary},
	{"multipart/form-data; boundary=\"boundary=a\"", Format{}, errBoundary},
	{"multipart/form-data; boundary=a b", Format{}, errBoundary},
	{"multipart/form-data; boundary=a, text/plain", Format{}, errBoundary},
	{"multipart/form-data; boundary=\"a b\"; x=\"c d\"", multi("a b"), nil},
	{"multipart/form-data; boundary=\"a \"", Format{}, errBoundary},
	{"multipart/form-data; boundary=\"a\\b\"", Format{}, errBoundary},
	{"multipart/form-data; boundary=a\xff", Format{}, errBoundary},
	{"multipart/form-data; boundary = a", Format{}, errTypeSyntax},
	{"multipart/form-data; boundary=\"a\"b", Format{}, errTypeSyntax},
	{"multipart/form-data; boundary=\"a", Format{}, errTypeSyntax},
	{"multipart/form-data; boundary=a; charset=utf-16le", Format{}, ErrUnsupported},
}

var (
	form, js = Format{Kind: URLEncoded}, Format{Kind: JSON}
	b70      = strings.Repeat("b", 70)
)

func multi(boundary string) Format { return Format{Kind: Multipart, Boundary: boundary} }

func TestParseContentType(t *testing.T) {
	for _, r := range contentTypes {
		format, err := ParseContentType([]string{r.header}, nil)
		if format != r.format || !errors.Is(err, r.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", r.header, format, err, r.format, r.err)
		}
	}
}

func TestContentTypeAndEncodingFields(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	rows := []struct {
		types, codings []string
		kind           Kind
		err            error
	}{
		{nil, nil, None, nil},
		{nil, []string{"gzip"}, None, nil},
		{[]string{"text/plain"}, []string{"gzip"}, None, nil},
		{[]string{form, form}, nil, None, errTypeMany},
		{[]string{"text/plain", form}, nil, None, errTypeMany},
		{[]string{form}, []string{"", "Identity , identity"}, URLEncoded, nil},
		{[]string{form}, []string{"gzip"}, None, ErrUnsupported},
		{[]string{form}, []string{"identity", "br"}, None, ErrUnsupported},
		{[]string{form}, []string{"identity,deflate"}, None, ErrUnsupported},
	}
	for _, r := range rows {
		if format, err := ParseContentType(r.types, r.codings); format.Kind != r.kind || !errors.Is(err, r.err) {
			t.Errorf("%q %q: %v %v", r.types, r.codings, format.Kind, err)
		}
	}
}

func FuzzContentType(f *testing.F) {
	for _, seed := range []string{
		"application/json; charset=utf-8", "multipart/form-data; boundary=\"a b\"; charset=x", "text/plain; a=\"\\\"\"",
		"multipart/form-data; boundary*0=a; boundary*1=b", "application/x-www-form-urlencoded;;", "multipart/form-data;boundary=a=b",
		"application/x+json; a=\"b;c=\"", "multipart/form-data; boundary=\"a\\\"b\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		format, err := ParseContentType([]string{header}, nil)
		if err != nil && format != (Format{}) {
			t.Fatalf("%+v with %v", format, err)
		}
		media, params, mimeErr := mime.ParseMediaType(header)
		if mimeErr != nil || err != nil {
			return
		}
		major, minor, _ := strings.Cut(media, "/")
		if kind := kindOf(major, minor); kind != format.Kind {
			t.Fatalf("%v, mime says %v", format.Kind, kind)
		}
		if format.Kind == Multipart && params["boundary"] != format.Boundary {
			t.Fatalf("boundary %q, mime says %q", format.Boundary, params["boundary"])
		}
		if c := params["charset"]; format.Kind != None && c != "" && charset.Of(c) == charset.Foreign {
			t.Fatalf("charset %q accepted", c)
		}
	})
}
