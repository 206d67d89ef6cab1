package captcha

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-captcha/caddy-captcha/internal/keyring"
	"github.com/caddy-captcha/caddy-captcha/provider"
)

// TestFuzzTestsAreListed finds fuzz tests that no row of CONTRIBUTING.md names.
func TestFuzzTestsAreListed(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, found := strings.Split(string(text), "\n"), 0
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == "node_modules":
			return fs.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		code, err := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(code, -1) {
			found++
			if !slices.ContainsFunc(rows, func(row string) bool {
				dir := filepath.ToSlash(filepath.Dir(name))
				return strings.HasPrefix(row, "|") && strings.Contains(row, "`"+string(m[1])+"`") && (dir == "." || strings.Contains(row, "`"+dir+"`"))
			}) {
				t.Errorf("%s: %s has no row in the table of fuzz tests", name, m[1])
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatal(found, err)
	}
}

// fuzzHandler signs and seals with keys in memory.
func fuzzHandler(f *testing.F) *Handler {
	ring := keyring.New(time.Now)
	ring.Close() // makes a key
	f.Cleanup(ring.Close)
	return &Handler{
		scope: "shop", cookie: defaultCookie, Clearance: &Clearance{}, logger: zap.NewNop(),
		passes: ring.Signer("clearance"), sealer: ring.Sealer("seal"), roles: ring.Signer("role"),
		chain: []*link{{identity: "primary"}},
	}
}

// Only the text that was signed is a clearance, and only with its binding.
func FuzzClearanceD83(f *testing.F) {
	h := fuzzHandler(f)
	now := time.Now()
	good, err := h.newPass(f.Context(), []byte("binding"), now, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, good + "=", strings.ToLower(good), "....", ".", "", "a.b.c.d.e", strings.Replace(good, ".", "..", 1)} {
		f.Add(seed, "binding")
	}
	f.Add(good, "binding\x00")
	f.Add(good[1:], "binding\x00"+good[:1])
	f.Fuzz(func(t *testing.T, value, binding string) {
		p, ok := h.openPass(t.Context(), value, []byte(binding), now)
		if ok != (value == good && binding == "binding") {
			t.Fatalf("%q bound to %q: %v", value, binding, ok)
		}
		if ok && (p.issued != now.UnixMilli() || p.expires != now.Add(time.Hour).Unix()) {
			t.Fatalf("%+v", p)
		}
	})
}

// A seal opens to what was sealed, where it was sealed for, and nothing else does.
func FuzzSealD77(f *testing.F) {
	h := fuzzHandler(f)
	now := time.Now()
	r, _ := http.NewRequest("POST", "http://example.com/login?a=1", nil)
	c := h.carry(r, now)
	c.body = []byte("body")
	good, err := h.seal(f.Context(), c)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, good + "A", good[:len(good)-1], "", "AAAA", strings.Repeat("A", 200), good[:11] + good} {
		f.Add(seed, "example.com", "/login?a=1", []byte("body"))
	}
	f.Add(good, "EXAMPLE.com:8443", "/login?a=2", []byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, text, host, uri string, body []byte) {
		if u, err := url.ParseRequestURI(uri); err == nil && strings.HasPrefix(uri, "/") {
			r := &http.Request{Method: "POST", Host: host, URL: u, Header: http.Header{"Origin": {host}, "Content-Type": {string(body)}}}
			c := h.carry(r, now)
			c.body = body
			if sealed, err := h.seal(t.Context(), c); err == nil {
				back, err := h.open(r, sealed, now)
				if err != nil || !bytes.Equal(back.body, body) || back.URI != c.URI || !reflect.DeepEqual(back.Header, c.Header) {
					t.Fatalf("%q %q: %+v, %v", host, uri, back, err)
				}
			}
		}
		if _, err := h.open(r, text, now); (err == nil) != (text == good) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// The token header of a provider with several fields is a JSON object of strings.
func FuzzTokenHeader(f *testing.F) {
	for _, seed := range []string{`{"a":"1","b":"2"}`, `{"a":"1"}`, `{"a":1,"b":"2"}`, `null`, `[]`, `{"a":"1","a":"2","b":""}`, `{"A":"1","b":"2"}`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)))
	}
	l := &link{fields: []string{"a", "b"}}
	f.Fuzz(func(t *testing.T, header string) {
		token := found{header: header}.token(l)
		text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "="))
		var want map[string]string
		if err == nil && json.Unmarshal(text, &want) != nil {
			want = nil
		}
		_, hasA := want["a"]
		_, hasB := want["b"]
		if isToken := hasA && hasB && len(text) <= 2*maxTokenLen; isToken != (token != nil) {
			t.Fatalf("%q: %v, of %v", header, token, want)
		}
		if token != nil && (len(token) != 2 || token["a"] != want["a"] || token["b"] != want["b"]) {
			t.Fatalf("%q: %v, want of %v", header, token, want)
		}
	})
}

// Every pair of a query that a parser takes for an override is one for us.
func FuzzOverrideD27(f *testing.F) {
	for _, seed := range []string{"_method=DELETE", "a=1;_METHOD=patch", "%5fmethod=de%6cete", "_method", "_method=&_method=PUT", "%20.method=POST", "_method%00=PUT", "_method=%zz"} {
		f.Add(seed)
	}
	h := new(Handler)
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(strings.ReplaceAll(query, ";", "&"))
		for name, all := range values {
			for _, value := range all {
				if strings.EqualFold(name, "_method") && h.protectsOverride(value) && !h.overriddenByQuery(query) {
					t.Fatalf("%q asks for %q", query, value)
				}
			}
		}
		if h.overriddenByQuery(query) && !strings.Contains(strings.ToLower(query+unescaped(query)), "method") {
			t.Fatalf("%q asks for nothing", query)
		}
	})
}

func unescaped(query string) (all string) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return strings.ContainsRune("&;=", r) }) {
		text, _ := url.QueryUnescape(pair)
		all += text
	}
	return all
}

// A header is ours where CGI would make one of ours of it.
func FuzzForgedNamesD88(f *testing.F) {
	for _, seed := range []string{"X-Captcha-Status", "x_captcha_", "X.CAPTCHA.a", "X-Captcha", "Xx-Captcha-", "X-Captcha-\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		cgi := []byte(strings.ToUpper(name))
		for i, c := range cgi {
			if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				cgi[i] = '_'
			}
		}
		if want := bytes.HasPrefix(cgi, []byte("X_CAPTCHA_")); isASCII(name) && forged(name) != want {
			t.Fatalf("%q: %v, CGI has %s", name, !want, cgi)
		}
		hdr := http.Header{"Connection": {name + ", keep-alive"}}
		scrubConnection(hdr)
		for part := range strings.SplitSeq(hdr.Get("Connection"), ",") {
			if forged(strings.TrimSpace(part)) {
				t.Fatalf("%q leaves %q", name, hdr)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e }) < 0
}

// What counts as the same origin has the request's host, for any parser of URLs.
func FuzzSameOriginD76(f *testing.F) {
	for _, seed := range [][2]string{{"https://example.com", "example.com"}, {"http://EXAMPLE.com.:80/", "example.com"}, {"https://[::1]:1", "[::1]:1"},
		{"https://example.com@evil.test", "example.com"}, {"null", ""}, {"https://a%2eb", "a.b"}, {`https://evil.test\@example.com`, "example.com"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := &http.Request{Host: host, Header: http.Header{"Origin": {origin}}}
		if cameFrom(r) != sameOrigin {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(strings.Trim(strings.TrimSuffix(u.Hostname(), "."), "[]"), hostOf(r)) {
			t.Fatalf("%q is the same origin as %q", origin, host)
		}
	})
}

// A role is what we have written, and it is ours only with our code.
func FuzzRole(f *testing.F) {
	h := fuzzHandler(f)
	good, err := h.roleText(f.Context(), unreachable)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("fb:::")
	f.Add(strings.Replace(good, "unreachable", "throttled", 1))
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRole(text)
		if !ok {
			return
		}
		_, _, tail := strings.Cut(text, ":")
		if h.ours(t.Context(), r) && (!tail || !strings.HasSuffix(good, ":"+r.keyID+":"+r.mac)) {
			t.Fatalf("%q is ours", text)
		}
	})
}

// No Caddyfile makes the adapter panic, and what it makes of one is what the
// modules read and write.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		caddyfile, _, _ := strings.Cut(string(text), "----------")
		f.Add(caddyfile)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "import") { // files of this machine are no input
			return
		}
		out, err := adaptText(text)
		if err != nil {
			return
		}
		var doc any
		if err := json.Unmarshal(out, &doc); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		rewrite(t, doc)
	})
}

// rewrite reads and writes every handler of ours in a configuration.
func rewrite(t *testing.T, doc any) {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			rewrite(t, v)
		}
	case map[string]any:
		if name, _ := doc["handler"].(string); strings.HasPrefix(name, "captcha") {
			reread(t, "http.handlers."+name, doc, "handler")
		}
		for key, v := range doc {
			if inner, ok := v.(map[string]any); ok && key == "provider" && inner["name"] != nil {
				reread(t, "http.captcha.providers."+inner["name"].(string), inner, "name")
			}
			rewrite(t, v)
		}
	}
}

// reread reads a module's configuration and writes it again: it stays the same.
func reread(t *testing.T, id string, doc map[string]any, key string) {
	info, err := caddy.GetModule(id)
	if err != nil {
		t.Fatal(err)
	}
	own := make(map[string]any)
	for k, v := range doc {
		if k != key {
			own[k] = v
		}
	}
	before, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	mod := info.New()
	dec := json.NewDecoder(bytes.NewReader(before))
	dec.DisallowUnknownFields()
	if err := dec.Decode(mod); err != nil {
		t.Fatalf("%s: %v in %s", id, err, before)
	}
	after, err := json.Marshal(mod)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	var again map[string]any
	if err := json.Unmarshal(after, &again); err != nil || !reflect.DeepEqual(again, own) {
		t.Fatalf("%s: %s became %s (%v)", id, before, after, err)
	}
}

// Whatever a request says of itself, the answer is one that a client can read.
func FuzzAnswers(f *testing.F) {
	h := &Handler{Mode: modeEnforce, logger: zap.NewNop(), chain: []*link{{name: "pow", provider: struct{ provider.Provider }{}, fields: []string{"a", "b"}}}}
	f.Add("en", "text/html", "https://example.com", "token-missing")
	f.Add("\xff;q=9", "a\r\nb: c", "null", "<script>")
	f.Fuzz(func(t *testing.T, language, accept, origin, reason string) {
		r := httptest.NewRequest("POST", "/login", nil)
		r.Header = http.Header{"Accept-Language": {language}, "Accept": {accept}, "Origin": {origin}}
		w := httptest.NewRecorder()
		a := h.newAnswer(w, r, decision{verb: verbDeny, status: 400, reason: provider.Reason(reason)}, time.Now())
		if err := a.problem(); err != nil {
			t.Fatal(err)
		}
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Reference != a.reference {
			t.Fatalf("%v in %s", err, w.Body)
		}
		navigates(r)
		originOf(r)
	})
}
