package formtoken

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var jsonFormat = Format{Kind: JSON}

func jsonMembers(n int) string  { return strings.Repeat(`"a":0,`, n) }
func nestedArrays(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
func jsonKey(n int) string      { return `"` + strings.Repeat("k", n) + `":0` }

// plainJSON is read as it stands, oddJSON is refused, and longJSON is refused where
// it is too long.
var plainJSON = []row{
	{"only member", `{"altcha":"T"}`, "T", nil},
	{"white space", " \t\r\n{ \"altcha\" : \"T\" , \"x\" : [ ] } \n", "T", nil},
	{"among all types", `{"a":[1,-0.5e+3,true,false,null,{},{"b":[[]]}],"altcha":"T","z":{"altcha":"no"}}`, "T", nil},
	{"escapes in the value", `{"altcha":"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00"}`, "\"\\/\b\f\n\r\tAé😀", nil},
	{"D.0 escaped key is the key", `{"al\u0074cha":"T"}`, "T", nil},
	{"D-22 empty", `{"altcha":""}`, "", nil},
	{"null is absent", `{"altcha":null}`, absent, nil},
	{"no member", `{"x":1}`, absent, nil},
	{"empty object", `{}`, absent, nil},
	{"empty body", ``, absent, nil},
	{"blank body", " \n", absent, nil},
	{"array", `[{"altcha":"T"},"altcha"]`, absent, nil},
	{"string", `"altcha"`, absent, nil},
	{"number", `-12.5E-7`, absent, nil},
	{"zero", `0`, absent, nil},
	{"literal", `null`, absent, nil},
	{"value that is the name", `{"x":"altcha","y":["altcha",":","T"]}`, absent, nil},
	{"duplicates elsewhere", `{"a":1,"a":2,"altcha":"T","A":3}`, "T", nil},
	{"invalid UTF-8 elsewhere", "{\"a\":\"\xff\",\"b\":{\"\xff\":0},\"altcha\":\"T\"}", "T", nil},
	{"lone surrogate elsewhere", `{"a":"\ud800x\udc00\ud800\ud800","b":{"\udc00":0},"altcha":"T"}`, "T", nil},
}

var oddJSON = []row{
	{"D-14 duplicate", `{"altcha":"T","altcha":"U"}`, "", errJSONDup},
	{"D-14 equal duplicate", `{"altcha":"T","altcha":"T"}`, "", errJSONDup},
	{"D-14 duplicate of null", `{"altcha":null,"altcha":"T"}`, "", errJSONDup},
	{"D-14 escaped duplicate", `{"altcha":"T","\u0061ltcha":"T"}`, "", errJSONDup},
	{"D-14 case", `{"Altcha":"T"}`, "", errAlias},
	{"D-14 case, later", `{"altcha":"T","ALTCHA":1}`, "", errAlias},
	{"D-14 escaped case", `{"\u0041ltcha":"T"}`, "", errAlias},
	{"D-14 NUL", `{"altcha\u0000":"T"}`, "", errAlias},
	{"D-14 trailing document", `{"altcha":"T"}{}`, "", errJSONTrailing},
	{"D-14 trailing text", `{"altcha":"T"} x`, "", errJSONTrailing},
	{"D-14 byte order mark", "\xef\xbb\xbf{\"altcha\":\"T\"}", "", errJSON},
	{"D-14 NaN", `{"x":NaN}`, "", errJSON},
	{"D-14 comment", `{/**/"altcha":"T"}`, "", errJSON},
	{"D-14 trailing comma", `{"altcha":"T",}`, "", errJSON},
	{"D-14 trailing comma in an array", `[1,]`, "", errJSON},
	{"D-14 single quotes", `{'altcha':'T'}`, "", errJSON},
	{"D-14 bare key", `{altcha:"T"}`, "", errJSON},
	{"no colon", `{"altcha" "T"}`, "", errJSON},
	{"no comma", `{"altcha":"T" "x":1}`, "", errJSON},
	{"wrong end", `{"altcha":"T"]`, "", errJSON},
	{"leading zero", `{"x":01}`, "", errJSON},
	{"plus", `{"x":+1}`, "", errJSON},
	{"no fraction", `{"x":1.}`, "", errJSON},
	{"no exponent", `{"x":1e}`, "", errJSON},
	{"two minuses", `{"x":--1}`, "", errJSON},
	{"broken literal", `{"x":nul}`, "", errJSON},
	{"broken escape", `{"x":"\x41"}`, "", errJSON},
	{"broken unicode escape", `{"x":"\u00g0"}`, "", errJSON},
	{"control character", "{\"x\":\"\n\"}", "", errJSON},
	{"lone surrogate in the value", `{"altcha":"\ud800"}`, "", errJSONText},
	{"lone surrogate before text", `{"altcha":"\ud800x"}`, "", errJSONText},
	{"lone surrogate before an escape", `{"altcha":"\ud800\n"}`, "", errJSONText},
	{"lone low surrogate", `{"altcha":"\udc00"}`, "", errJSONText},
	{"two high surrogates", `{"altcha":"\ud800\ud800\udc00"}`, "", errJSONText},
	{"lone surrogate in a key", `{"altcha\ud800":"T"}`, "", errJSONText},
	{"invalid UTF-8 in the value", "{\"altcha\":\"\xff\"}", "", errJSONText},
	{"invalid UTF-8 in a key", "{\"altcha\xff\":\"T\"}", "", errJSONText},
	{"D-14 number", `{"altcha":1}`, "", errJSONType},
	{"D-14 object", `{"altcha":{}}`, "", errJSONType},
	{"D-14 array", `{"altcha":["T"]}`, "", errJSONType},
	{"D-14 boolean", `{"altcha":true}`, "", errJSONType},
	{"D-13 truncated", `{"altcha":"T"`, "", errJSONEnd},
	{"D-13 truncated string", `{"altcha":"T`, "", errJSONEnd},
	{"D-13 truncated key", `{"altcha"`, "", errJSONEnd},
	{"D-13 truncated number", `-`, "", errJSONEnd},
	{"D-13 truncated literal", `tru`, "", errJSONEnd},
}

var longJSON = []row{
	{"D-16 depth", nestedArrays(maxDepth), absent, nil},
	{"D-16 deeper", nestedArrays(maxDepth + 1), "", errJSONDepth},
	{"D-16 deep objects", strings.Repeat(`{"a":`, maxDepth+1), "", errJSONDepth},
	{"D-16 members", `{` + jsonMembers(maxPairs-1) + `"altcha":"T"}`, "T", nil},
	{"D-16 too many members", `{` + jsonMembers(maxPairs) + `"altcha":"T"}`, "", errPairs},
	{"D-16 long array", `{"altcha":"T","a":[` + strings.Repeat("1.5,", 20_000) + `0]}`, "T", nil},
	{"D-16 long key", `{` + jsonKey(maxName) + `}`, absent, nil},
	{"D-16 longer key", `{` + jsonKey(maxName+1) + `}`, "", errLongName},
	{"D-16 longer key below", `{"a":[{` + jsonKey(maxName+1) + `}]}`, "", errLongName},
}

func TestJSON(t *testing.T) {
	checkRows(t, jsonFormat, slices.Concat(plainJSON, oddJSON, longJSON))
}

func TestJSONPaths(t *testing.T) {
	fields := []Field{{Name: "captcha.token"}, {Name: "captcha.extra", Optional: true}, {Name: "plain", Alternative: 1}}
	rows := []struct {
		body, value string
		at          int64
		err         *Error
	}{
		{`{"captcha":{"token":"T"}}`, "T", 24, nil},
		{`{"captcha":{"x":{"token":"U"},"token":"T","extra":"E"}}`, "T", 42, nil},
		{`{"captcha.token":"T"}`, "", -1, errAlias},
		{`{"captcha":{"token":"T"},"captcha.token":"U"}`, "", 24, errAlias},
		{`{"captcha.tokens":"T","x":{"captcha.token":"T"}}`, absent, -1, nil},
		{`{"captcha":null}`, absent, -1, nil},
		{`{"captcha":"T"}`, absent, -1, nil},
		{`{"captcha":[{"token":"T"}]}`, absent, -1, nil},
		{`{"x":{"captcha":{"token":"T"}}}`, absent, -1, nil},
		{`{"token":"T","Token":"U"}`, absent, -1, nil},
		{`{"captcha":{"token":"T"},"captcha":{}}`, "", 24, errJSONDup},
		{`{"captcha":{},"captcha":{"token":"T"}}`, "", -1, errJSONDup},
		{`{"captcha":{"token":"T"},"Captcha":{}}`, "", 24, errAlias},
		{`{"captcha":{"TOKEN":"T"}}`, "", -1, errAlias},
		{`{"captcha":{"token":"T","extra":"E","token":"T"}}`, "", 24, errJSONDup},
		{`{"captcha":{"token":"T"}`, "", 24, errJSONEnd},
		{`{"plain":"P"`, "", -1, errJSONEnd},
		{`{"plain":"P" x`, "", -1, errJSON},
		{`{"plain":"P" ,`, "", 14, errJSONEnd},
	}
	for _, r := range rows {
		got := scanAll(t, jsonFormat, fields, r.body)
		value, ok := got.Values["captcha.token"]
		if !ok {
			value = absent
		}
		if got.Err != r.err || got.CompleteAt != r.at || r.err == nil && value != r.value {
			t.Errorf("%s: %+v", r.body, got)
		}
	}
}

// oraclePath reads a member as encoding/json's tokens have it: all values of the path, in order.
func oraclePath(d *json.Decoder, path []string, found *[]any) {
	token, err := d.Token()
	if err != nil {
		return
	}
	delim, container := token.(json.Delim)
	if !container {
		if path != nil && len(path) == 0 {
			*found = append(*found, token)
		}
		return
	}
	if path != nil && len(path) == 0 {
		*found = append(*found, delim)
	}
	for d.More() {
		var below []string
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return
			}
			if len(path) > 0 && name == path[0] {
				below = path[1:]
			}
		}
		oraclePath(d, below, found)
	}
	_, _ = d.Token()
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"altcha":"T"}`, `{"a":{"b":"x"},"altcha":"\u00e9"}`, `{"altcha":null,"a":[1,2.5e-3,true]}`, `[{"altcha":"T"}]`,
		`{"altcha":"T","altcha":"U"}`, `{"a":{"b":"\ud83d\ude00"}}`, `{"a":{"B":"x"}}`, `{"altcha":"T"} {}`, "\xef\xbb\xbf{}",
		`{"altcha":"\ud800"}`, "{\"altcha\":\"\xff\"}", `-0.0e+1`, `01`, `"\u12"`, `{"a":{"b":"x"},"a":1}`, `{"altcha":"T",}`,
	} {
		f.Add(seed)
	}
	fields := []Field{{Name: "altcha", MaxLen: 1 << 20}, {Name: "a.b", MaxLen: 1 << 20}}
	syntax := map[*Error]bool{errJSON: true, errJSONEnd: true, errJSONTrailing: true}
	f.Fuzz(func(t *testing.T, body string) {
		got := scan(jsonFormat, fields, body, whole)
		valid := json.Valid([]byte(body))
		if strings.Trim(body, " \t\r\n") == "" {
			valid = true // our reading of an empty body
		}
		if got.Err == nil && !valid || syntax[got.Err] && valid {
			t.Fatalf("valid %v, error %v", valid, got.Err)
		}
		if got.Err != nil {
			return
		}
		for _, field := range fields {
			d := json.NewDecoder(strings.NewReader(body))
			d.UseNumber()
			var values []any
			oraclePath(d, strings.Split(field.Name, "."), &values)
			value, found := got.Values[field.Name]
			switch {
			case len(values) > 1:
				t.Fatalf("%s: duplicates %v accepted", field.Name, values)
			case found && (len(values) == 0 || values[0] != value || !utf8.ValidString(value)):
				t.Fatalf("%s: %q, encoding/json has %v", field.Name, value, values)
			case !found && len(values) == 1 && values[0] != nil:
				t.Fatalf("%s: not found, encoding/json has %v", field.Name, values)
			}
		}
	})
}

// TestJSONBrackets is about a name that has brackets in forms. A script that sends the
// form's fields as they are has a member of that name; one that nests them is refused.
func TestJSONBrackets(t *testing.T) {
	brackets, both := []Field{{Name: "user[captcha]"}}, []Field{{Name: "user[captcha]"}, {Name: "user.captcha", Alternative: 1}}
	for _, r := range []struct {
		fields      []Field
		body, value string
		err         *Error
	}{
		{brackets, `{"user[captcha]":"T"}`, "T", nil},
		{brackets, `{"user":{"x":1,"captchas":"U","y":{"captcha":"U"}},"captcha":"U","user[captcha]":"T"}`, "T", nil},
		{brackets, `{"user":"captcha","user[captcha]":"T"}`, "T", nil},
		{brackets, `{"user[captcha]":"T","user":{"captcha":"U"}}`, "", errAlias},
		{brackets, `{"user":{"captcha":"U"},"user[captcha]":"T"}`, "", errAlias},
		{brackets, `{"user":{"Captcha":"U"},"user[captcha]":"T"}`, "", errAlias},
		{brackets, `{"user":{"captcha":"U"}}`, "", errAlias},
		{brackets, `{"user.captcha":"U","user[captcha]":"T"}`, "", errAlias},
		{[]Field{{Name: "a.b[c]"}}, `{"a":{"b[c]":"T","b":{"c":"U"}}}`, "", errAlias},
		{both, `{"user":{"captcha":"T"}}`, "T", nil},
		{both, `{"user":{"captcha":"T"},"user[captcha]":"U"}`, "", errAlias},
		{[]Field{{Name: "captcha[]"}}, `{"captcha[]":"T"}`, "T", nil},
	} {
		got := scanAll(t, jsonFormat, r.fields, r.body)
		value := ""
		for _, v := range got.Values {
			value += v
		}
		if got.Err != r.err || r.err == nil && value != r.value {
			t.Errorf("%s: %q, %v, want %q, %v", r.body, value, got.Err, r.value, r.err)
		}
	}
}
