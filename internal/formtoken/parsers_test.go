package formtoken

import (
	"strings"
	"testing"
)

// These bodies are what one widely used parser reads otherwise than all others do: each was accepted, or
// would be, if that parser did not have its own rule here.

func TestFormsThatOneParserReadsOtherwise(t *testing.T) {
	checkRows(t, formFormat, []row{
		{"URLSearchParams drops a question mark", "?altcha=U&altcha=T", "", errAlias},
		{"URLSearchParams drops it, no token", "?%61ltcha=U", "", errAlias},
		{"question marks elsewhere", "??altcha=U&?altcha=V&%3Faltcha=W&altcha=T", "T", nil},
		{"Formidable drops the highest bit of a letter", "\xe1ltcha=U&altcha=T", "", errAlias},
		{"Formidable drops it of the equals sign", "altcha\xbdU&altcha=T", "", errAlias},
		{"Formidable drops it of the ampersand", "x=1\xa6altcha=U&altcha=T", "", errSemicolon},
		{"Formidable drops it of both", "x=1\xa6altcha\xbdU&altcha=T", "", errSemicolon},
		{"Formidable drops it of both in a name", "x\xa6altcha\xbdU&altcha=T", "", errAlias},
		{"Formidable drops it of both before a long text", "x=1\xa6altcha\xbd" + strings.Repeat("U", 2*maxRawName), "", errSemicolon},
		{"Formidable drops it of a percent sign", "\xa561ltcha=U", "", errAlias},
		{"Formidable drops it of a question mark", "\xbfaltcha=U", "", errAlias},
		{"text in UTF-8", "stra\u00dfe=\u00e6\u0126\u00bd=\u00a6;\u00e6&\u00e6=\u00a6=\u00bd&altcha=T", "T", nil},
		{"long text in UTF-8", "x=" + strings.Repeat("\u00e6", 4*maxRawName) + "&altcha=T", "T", nil},
		{"qs drops a dot", ".altcha=U&altcha=T", "", errAlias},
	})
}

func TestPartsThatOneParserReadsOtherwise(t *testing.T) {
	const hidden = "--B\r\n" + token + "\r\n\r\nU\r\n"
	value := func(v string) string { return "--B\r\n" + token + "\r\n\r\n" + v + "\r\n--B--\r\n" }
	cd := "Content-Disposition: "
	checkRows(t, multiFormat, []row{
		{"Django and Rack: a delimiter within a line", "--B\r\n" + other + "\r\n\r\nx" + hidden + "--B--\r\n", "", errDelimiter},
		{"within a line of the token", value("x--B--B"), "", errDelimiter},
		{"behind hyphens", value("----B"), "", errDelimiter},
		{"behind what began like it", value("T\r\n---B"), "", errDelimiter},
		{"in the epilogue", value("T") + "x" + hidden, "", errDelimiter},
		{"in the header", head(token, "X: y--B"), "", errDelimiter},
		{"Django: the epilogue as a part", value("T") + token + "\r\n\r\nU", "", errEpilogue},
		{"Django: the epilogue as a part, later", value("T") + "x\r\n" + token + "\r\n\r\nU\r\n", "", errEpilogue},
		{"only its beginning", value("x---\r\n---b-"), "x---\r\n---b-", nil},
		{"Werkzeug: a header behind an empty line", "--B\r\n\r\n" + token + "\r\n\r\nU\r\n--B--\r\n", "", errPartHead},
		{"Rack: the end of another header's name", head(other, "X-"+token), "", errDisposition},
		{"Rack: within a header", head("X: " + token), "", errDisposition},
		{"Rack: Content-ID as name", head("Content-ID: altcha"), "", errPartName},
		{"Rack: Content-ID within a header", head(other, "X-Content-ID: altcha[x]"), "", errPartName},
		{"Rack: the type as name", head("Content-Type: altcha"), "", errPartName},
		{"Rack: the type within the type", head("Content-Type:Content-Type: altcha"), "", errPartName},
		{"Content-ID of another", head(other, "Content-ID: <altcha>"), absent, nil},
		{"Rack: the file as name", head(cd + `form-data; filename="altcha"`), "", errTokenFile},
		{"Rack: the file as name, if that is empty", head(cd + `form-data; name=""; filename="altcha"`), "", errTokenFile},
		{"Rack, Starlette: the end of a bare name", head(cd + "form-data; name=altcha}"), "", errPartName},
		{"Rack, Starlette: the end of a bare name at an equals sign", head(cd + "form-data; name=altcha=; x=y"), "", errPartName},
		{"PHP: two equals signs", head(cd + `form-data; name; name=="altcha"`), "", errPartName},
		{"Werkzeug: an extended name behind an open quote", head(cd + `form-data; name="x; name*=utf-8''altcha`), "", errPartName},
		{"@fastify/busboy: no equals sign", head(cd + `form-data; name="x"; name*utf-8''altcha`), "", errPartName},
		{"@fastify/busboy: a tab in the name", head(cd + "form-data; name=alt\tcha"), "", errPartName},
		{"@fastify/busboy: a tab in the word", head(cd + "form-data; nam\te=\"altcha\""), "", errPartName},
		{"a file with a star", head(cd + `form-data; name="x"; filename="my name*.txt"`), absent, nil},
	})
}

// TestMembersThatOneParserReadsOtherwise is about the wanted name user[captcha].
func TestMembersThatOneParserReadsOtherwise(t *testing.T) {
	fields := []Field{{Name: "user[captcha]"}}
	for parser, name := range map[string]string{
		"PHP drops what follows": "user[captcha]x", "PHP drops the bracket": "user[captcha][", "Rack drops brackets": "user[captcha]]",
		"Rack drops them before": "]user[captcha]", "Rack wants no end": "user[captcha", "qs and Rack": "[user][captcha]",
		"qs passes over text": "[user]x[captcha]", "qs with dots, ASP.NET": "user.captcha", "escaped": "user%5bcaptcha%5D%20",
	} {
		for _, body := range []string{name + "=U", "user[captcha]=T&" + name + "=U"} {
			if got := scanAll(t, formFormat, fields, body); got.Err != errAlias {
				t.Errorf("%s: %s: %v", parser, body, got.Err)
			}
		}
	}
	const others = "user=1&user[captchas]=2&user[x]=3&captcha[user]=4&user[x][captcha]=5&user_captcha=6&captcha=7&"
	if got := scanAll(t, formFormat, fields, others+"user[captcha]=T"); got.Err != nil || got.Values["user[captcha]"] != "T" {
		t.Errorf("%+v", got)
	}
	if got := scanAll(t, formFormat, []Field{{Name: "captcha.token"}}, "captcha.token=T&captcha[token]=U"); got.Err != errAlias {
		t.Errorf("a name with a dot: %+v", got)
	}
}
