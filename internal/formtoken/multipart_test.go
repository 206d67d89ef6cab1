package formtoken

import (
	"bytes"
	"errors"
	"io"
	mimemultipart "mime/multipart"
	"strings"
	"testing"
)

var multiFormat = Format{Kind: Multipart, Boundary: "B"}

// head is a body with one part whose header is given; a final CRLF of each line is added.
func head(lines ...string) string {
	return "--B\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\nT\r\n--B--\r\n"
}

const (
	token = `Content-Disposition: form-data; name="altcha"`
	other = `Content-Disposition: form-data; name="x"`
)

func TestMultipartDelimiters(t *testing.T) {
	part := token + "\r\n\r\nT"
	checkRows(t, multiFormat, []row{
		{"one part", "--B\r\n" + part + "\r\n--B--\r\n", "T", nil},
		{"no line end at the end", "--B\r\n" + part + "\r\n--B--", "T", nil},
		{"empty preamble", "\r\n--B\r\n" + part + "\r\n--B--\r\n", "T", nil},
		{"epilogue", "--B\r\n" + part + "\r\n--B--\r\nanything\r\n\r\n", "T", nil},
		{"no parts", "--B--\r\n", absent, nil},
		{"no parts, no line end", "--B--", absent, nil},
		{"no bytes", "", absent, nil},
		{"empty value", "--B\r\n" + token + "\r\n\r\n\r\n--B--", "", nil},
		{"value with line ends", "--B\r\n" + token + "\r\n\r\n\r\r\n\n--A\r\n--\r\n-\r\n\r\n--B--", "\r\r\n\n--A\r\n--\r\n-\r\n", nil},
		{"D-03 equal duplicates", "--B\r\n" + part + "\r\n--B\r\n" + part + "\r\n--B--", "T", nil},
		{"D-03 different", "--B\r\n" + part + "\r\n--B\r\n" + part + "U\r\n--B--", "", errDifferent},
		{"D-08 preamble", "x\r\n--B\r\n" + part + "\r\n--B--\r\n", "", errPreamble},
		{"D-08 two line ends before", "\r\n\r\n--B\r\n" + part + "\r\n--B--\r\n", "", errPreamble},
		{"D-08 line feed before", "\n--B\r\n" + part + "\r\n--B--\r\n", "", errPreamble},
		{"D-08 other boundary", "--A\r\n" + part + "\r\n--A--\r\n", "", errPreamble},
		{"D-08 parts behind the end", "--B--\r\n--B\r\n" + part + "\r\n--B--", "", errDelimiter},
		{"D-08 parts in the epilogue", "--B--\r\nx\n--B\r\n" + part + "\r\n--B--", "", errDelimiter},
		{"D.0 junk behind the end", "--B\r\n" + part + "\r\n--B--junk", "", errDelimiter},
		{"D.0 junk behind a delimiter", "--B\r\n" + part + "\r\n--Bx\r\n\r\n\r\n--B--", "", errDelimiter},
		{"D.0 one hyphen", "--B\r\n" + part + "\r\n--B-\r\n--B--", "", errDelimiter},
		{"padding behind a delimiter", "--B \r\n" + part + "\r\n--B--", "", errDelimiter},
		{"padding behind the end", "--B\r\n" + part + "\r\n--B-- \r\n", "", errDelimiter},
		{"D.0 bare LF first", "--B\n" + part + "\r\n--B--", "", errDelimiter},
		{"D.0 bare LF before", "--B\r\n" + part + "\n--B--\r\n", "", errDelimiter},
		{"D.0 bare CR before", "--B\r\n" + part + "\r--B--\r\n", "", errDelimiter},
		{"D.0 bare LF behind", "--B\r\n" + part + "\r\n--B\n" + part + "\r\n--B--", "", errDelimiter},
		{"D.0 bare LF at the end", "--B\r\n" + part + "\r\n--B--\n", "", errDelimiter},
		{"body of a part is missing", "--B\r\n" + token + "\r\n\r\n--B--\r\n", "", errDelimiter},
		{"D-13 no final boundary", "--B\r\n" + part + "\r\n--B\r\n", "", errUnterminated},
		{"D-13 truncated value", "--B\r\n" + part, "", errUnterminated},
		{"D-13 truncated delimiter", "--B\r\n" + part + "\r\n--B", "", errUnterminated},
		{"D-13 truncated final delimiter", "--B\r\n" + part + "\r\n--B-", "", errUnterminated},
		{"D-13 half a line end", "--B\r\n" + part + "\r\n--B--\r", "", errUnterminated},
		{"D-13 truncated header", "--B\r\n" + token, "", errUnterminated},
		{"D-13 truncated start", "--", "", errUnterminated},
		{"D-95 parts", strings.Repeat("--B\r\nX: y\r\n\r\n\r\n", maxParts-1) + "--B\r\n" + part + "\r\n--B--", "T", nil},
		{"D-95 too many parts", strings.Repeat("--B\r\nX: y\r\n\r\n\r\n", maxParts) + "--B\r\n" + part + "\r\n--B--", "", errParts},
	})
}

func TestMultipartCompletesWithThePart(t *testing.T) {
	body := "--B\r\n" + token + "\r\n\r\nT\r\n--B\r\n" + other + "\r\n\r\nx"
	got := scanAll(t, multiFormat, altcha, body)
	if at := int64(strings.Index(body, other)); got.CompleteAt != at || got.Err != errUnterminated {
		t.Errorf("%+v, want completion at %d", got, at)
	}
	body = "--B\r\n" + token + "\r\n\r\nT\r\n--B--junk"
	if got = scanAll(t, multiFormat, altcha, body); got.CompleteAt != -1 {
		t.Errorf("complete at %d before the delimiter is whole", got.CompleteAt)
	}
}

func TestMultipartNames(t *testing.T) {
	cd := "Content-Disposition: "
	checkRows(t, multiFormat, []row{
		{"unquoted, as .NET", head(cd + "form-data; name=altcha"), "T", nil},
		{"case and spaces", head("CONTENT-disposition:Form-Data ;  NAME=\"altcha\" ;"), "T", nil},
		{"other parameter", head(cd + "form-data; name=\"altcha\"; x=y"), "T", nil},
		{"attachment elsewhere", head(cd + `attachment; name="x"`), absent, nil},
		{"no name", head(cd + "form-data"), absent, nil},
		{"no disposition", head("X-Other: altcha"), absent, nil},
		{"file name is the name", head(cd + `form-data; name="x"; filename="altcha"`), absent, nil},
		{"file name in RFC 5987", head(cd + `form-data; name=x; filename=altcha; filename*=utf-8''altcha`), absent, nil},
		{"file name with escapes", head(cd + `form-data; name="x"; filename="a \"quoted\" \\ name.txt"`), absent, nil},
		{"file name ends in a backslash", head(cd + `form-data; name="x"; filename="dir\"`), absent, nil},
		{"file name with semicolon", head(cd + `form-data; name="x"; filename="a;b=c; d.txt"`), absent, nil},
		{"sloppy file name", head(cd + `form-data; name="x"; filename=a b "c".txt`), absent, nil},
		{"escaped quote in a name", head(cd + `form-data; name="a\"b"`), absent, nil},
		{"browser's quote in a name", head(cd + `form-data; name="a%22b"`), absent, nil},
		{"D-09 name*", head(cd + "form-data; name*=utf-8''altcha"), "", errExtendedName},
		{"D-09 name* of another", head(cd + "form-data; name*=utf-8''x"), "", errExtendedName},
		{"D-09 name*0", head(cd + `form-data; name*0="alt"; name*1="cha"`), "", errExtendedName},
		{"D-09 name and name*", head(cd + `form-data; name="x"; name*=utf-8''altcha`), "", errExtendedName},
		{"D-09 encoded word", head(cd + `form-data; name="=?utf-8?Q?altch=61?="`), "", errExtendedName},
		{"D-09 two names", head(cd + `form-data; name="x"; name="altcha"`), "", errDisposition},
		{"D-09 two equal names", head(cd + `form-data; name="altcha"; name="altcha"`), "", errDisposition},
		{"D-09 two names of others", head(cd + `form-data; name="x"; name="y"`), "", errDisposition},
		{"D-09 two headers", head(token, other), "", errDisposition},
		{"D-09 two equal headers", head(token, token), "", errDisposition},
		{"two file names", head(cd + `form-data; name="x"; filename="a"; filename="b"`), "", errDisposition},
		{"D-10 file", head(cd + `form-data; name="altcha"; filename="a"`), "", errTokenFile},
		{"D-10 empty file name", head(cd + `form-data; name="altcha"; filename=""`), "", errTokenFile},
		{"D-10 filename*", head(cd + `form-data; name="altcha"; filename*=utf-8''a`), "", errTokenFile},
		{"D-10 file first", head(cd + `form-data; filename="a"; name="altcha"`), "", errTokenFile},
		{"D-04 upper case", head(cd + `form-data; name="ALTCHA"`), "", errPartName},
		{"D-04 array", head(cd + `form-data; name="altcha[]"`), "", errPartName},
		{"D-04 space", head(cd + `form-data; name=" altcha"`), "", errPartName},
		{"D-04 NUL", head(cd + "form-data; name=\"altcha\x00\""), "", errPartHead},
		{"D-04 percent", head(cd + `form-data; name="altch%61"`), "", errPartName},
		{"D-04 escape", head(cd + `form-data; name="alt\cha"`), "", errPartName},
		{"D-04 escape in an unquoted name", head(cd + `form-data; name=alt\cha`), "", errPartName},
		{"D-04 single quotes", head(cd + `form-data; name='altcha'`), "", errPartName},
		{"D-04 open quote", head(cd + `form-data; name="altcha`), "", errPartName},
		{"D-04 junk behind the quote", head(cd + `form-data; name="altcha"x`), "", errPartName},
		{"D-04 space at the equals sign", head(cd + `form-data; name ="altcha"`), "", errPartName},
		{"D-04 space behind the equals sign", head(cd + `form-data; name= altcha`), "", errPartName},
		{"D-04 no semicolon", head(cd + `form-data name="altcha"`), "", errPartName},
		{"D-04 other disposition", head(cd + `attachment; name="altcha"`), "", errPartName},
		{"D-04 hidden in a file name", head(cd + `form-data; filename="; name=altcha"; name="x"`), "", errPartName},
		{"D-04 two readings of a quote", head(cd + `form-data; filename="a\"; name="altcha"; x="b"`), "", errPartName},
		{"D-04 word within", head(cd + `form-data; name="x"; y="a name='altcha'"`), "", errPartName},
		{"D-04 two semicolons", head(cd + `form-data;;name="altcha"`), "", errPartName},
		{"D-04 broken parameter", head(cd + `form-data; name="altcha"; x=a b`), "", errPartName},
		{"D-04 repeated parameter", head(cd + `form-data; name="altcha"; x=a; x=b`), "", errPartName},
		{"D-04 name that only begins so", head(cd + `form-data; name="altcha;x"`), "", errPartName},
		{"D-95 long name", head(cd + `form-data; name="` + strings.Repeat("n", maxName) + `"`), absent, nil},
		{"D-95 longer name", head(cd + `form-data; name="` + strings.Repeat("n", maxName+1) + `"`), "", errLongName},
		{"many names", head(cd + "form-data; " + strings.Repeat(" name=x", 20)), "", errDisposition},
	})
}

func TestMultipartHeaders(t *testing.T) {
	pad := func(n int) string { return "X-Pad: " + strings.Repeat("p", n-len("X-Pad: \r\n")-len("\r\n")) }
	checkRows(t, multiFormat, []row{
		{"transfer encodings that change nothing", head("content-transfer-encoding: 8BIT", token), "T", nil},
		{"binary", head(token, "Content-Transfer-Encoding:binary"), "T", nil},
		{"plain text", head("Content-Type: text/plain; charset=ISO-8859-1", token), "T", nil},
		{"other parts may be anything", head(other, "Content-Type: x", "Content-Transfer-Encoding: base64"), absent, nil},
		{"D-11 base64", head(token, "Content-Transfer-Encoding: base64"), "", errTokenCoding},
		{"D-11 quoted-printable first", head("Content-Transfer-Encoding: quoted-printable", token), "", errTokenCoding},
		{"D-11 twice", head(token, "Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: 7bit"), "", errTokenCoding},
		{"D-17 charset", head(token, "Content-Type: text/plain; charset=utf-16le"), "", errTokenType},
		{"type", head(token, "Content-Type: application/json"), "", errTokenType},
		{"broken type", head(token, "Content-Type: text/plain; charset"), "", errTokenType},
		{"two types", head(token, "Content-Type: text/plain", "Content-Type: text/plain"), "", errTokenType},
		{"folded", head(`Content-Disposition: form-data;`, ` name="altcha"`), "", errPartHead},
		{"folded by a tab", head(other, "\tx"), "", errPartHead},
		{"space before the colon", head(`Content-Disposition : form-data; name="altcha"`), "", errPartHead},
		{"no colon", head("altcha"), "", errPartHead},
		{"bare LF", "--B\r\n" + token + "\n\r\nT\r\n--B--", "", errPartHead},
		{"bare LF at the end of the header", "--B\r\n" + token + "\r\n\nT\r\n--B--", "", errPartHead},
		{"bare CR", head("X: y\r" + token), "", errPartHead},
		{"NUL", head("X: \x00", token), "", errPartHead},
		{"header of 16 KiB", head(pad(maxPartHead)), absent, nil},
		{"D-95 longer header", head(pad(maxPartHead + 1)), "", errPartHeadLong},
		{"D-17 _charset_", head(`Content-Disposition: form-data; name="_charset_"`), "", errCharset},
		{"_charset_ is fine", strings.Replace(head(`Content-Disposition: form-data; name="_charset_"`), "T\r", "utf-8\r", 1), absent, nil},
	})
}

// goParts reads a body as mime/multipart does: the values of all parts of that name.
func goParts(body, name string) (values []string, files bool, err error) {
	r := mimemultipart.NewReader(strings.NewReader(body), "B")
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return values, files, nil
		} else if err != nil {
			return values, files, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return values, files, err
		}
		if part.FormName() == name {
			values = append(values, string(content))
			files = files || part.FileName() != ""
		}
	}
}

func FuzzMultipart(f *testing.F) {
	for _, seed := range []string{
		head(token), head(other), head(token, "Content-Type: text/plain"), head(token, "Content-Transfer-Encoding: 8bit"),
		head("Content-Disposition: form-data; name=altcha"), head(`Content-Disposition: form-data; name="x"; filename="a\"; name=\"altcha"`),
		head("Content-Disposition: form-data; name*=utf-8''altcha"), head("Content-Disposition: form-data;\r\n name=altcha"),
		head(`Content-Disposition: form-data; filename=""; name='altcha'; filename*=utf-8''x`), "--B--", "\r\n--B--\r\nx",
		"--B\r\n" + token + "\r\n\r\nT\r\n--B\r\n" + token + "\r\n\r\nT\r\n--B--\r\nepilogue", "--B\r\n\r\n--B--", "--B \r\n\r\n\r\n--B--",
		head("Content-Disposition:form-dAtA;;nAme=\"altcha\""),
		"--B\n" + token + "\n\nT\n--B--\n", "--B\r\n" + token + "\r\n\r\nT\n--B\r\nx: y\r\n\r\n\r\n--B--",
	} {
		f.Add(seed)
	}
	fields := []Field{{Name: "altcha", MaxLen: 1 << 20}}
	f.Fuzz(func(t *testing.T, body string) {
		got := scan(multiFormat, fields, body, whole)
		if got.Err != nil || body == "" {
			return
		}
		values, files, err := goParts(body, "altcha")
		value, found := got.Values["altcha"]
		// What mime/multipart refuses is no application's token; up to there both must agree.
		if files || err == nil && found != (len(values) > 0) || err != nil && !found && len(values) > 0 {
			t.Fatalf("found %v %q; mime/multipart: %q, file %v, %v", found, value, values, files, err)
		}
		for _, v := range values {
			if v != value {
				t.Fatalf("%q, mime/multipart has %q", value, values)
			}
		}
	})
}

func TestGoWriter(t *testing.T) {
	var b bytes.Buffer
	w := mimemultipart.NewWriter(&b)
	_ = w.WriteField(`a "quoted" \ name`, "x")
	file, _ := w.CreateFormFile("file", `Ü "x" \ é.png`)
	_, _ = file.Write(bytes.Repeat([]byte("--\r\n"), 1000))
	_ = w.WriteField("altcha", "T")
	_ = w.Close()
	format, err := ParseContentType([]string{w.FormDataContentType()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, format, altcha, b.String()); got.Err != nil || got.Values["altcha"] != "T" {
		t.Errorf("%+v", got)
	}
}
