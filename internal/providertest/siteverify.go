package providertest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// Siteverify is what one provider of the siteverify family really receives and
// answers.
type Siteverify struct {
	Name  string // of the module
	Field string // that the widget adds to a form

	// Path, Key, Secret and Host are what the provider under test is configured
	// with and asked on. Default: /verify, SiteKey, Secret, example.com.
	Path, Key, Secret, Host string

	// Token makes a good one for a site key. Default: GoodToken.
	Token func(siteKey string) string

	ContentType string
	Params      string            // what is sent, as "name=value …"; $token, $secret, $key, $uuid stand for themselves
	Headers     map[string]string // likewise

	Pass string // the answer to a good token
	// Refuse makes the answer with one code.
	Refuse func(code string) (status int, body string)
	// Codes are all documented codes: what each means in the answer to a
	// client's token, and after a slash to a probe's, where that differs.
	Codes map[string]string
	// Junk is the code in the answer to a token that nobody was given.
	Junk string
	// Answers are further whole answers: "<status> <body>": meaning.
	Answers map[string]string
	// Classes says where the faults differ from Classes().
	Classes map[Fault]provider.Class
}

// What a Siteverify expects where it says nothing else.
const (
	SiteKey   = "site-key-1234567890"
	Secret    = "secret-key-that-nobody-may-read"
	GoodToken = "0.good-token_AbCdEf&=%+secret"
)

// Good returns a token that passes.
func (r Siteverify) Good() string {
	if r.Token != nil {
		return r.Token(or(r.Key, SiteKey))
	}
	return GoodToken
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// Protocol is the provider: it passes the good token, refuses others, and knows
// exactly one way to be asked.
func (r Siteverify) Protocol(s *Server) Answerer {
	return func(c Call) (int, string) {
		token := r.Strict(s, c)
		pass := strings.ReplaceAll(r.Pass, "example.com", or(r.Host, "example.com"))
		if token == r.Good() {
			return 200, pass
		}
		if r.Junk == "" {
			return 200, strings.Replace(pass, "true", "false", 1)
		}
		return r.Refuse(r.Junk)
	}
}

var (
	aUUID    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	ordinary = map[string]bool{"Accept": true, "Content-Type": true, "Content-Length": true, "User-Agent": true, "Connection": true}
)

// Strict reports everything about a call that is not the protocol, and returns
// the call's token.
func (r Siteverify) Strict(s *Server, c Call) string {
	want, inQuery := strings.CutPrefix(r.Params, "?")
	method, contentType := "POST", r.ContentType
	if inQuery {
		method = "GET"
	} else if contentType == "" {
		contentType = "application/x-www-form-urlencoded"
	}
	if c.Method != method || c.Path != or(r.Path, "/verify") || (!inQuery && len(c.Query) > 0) || (inQuery && len(c.Body) > 0) {
		s.Strict("%s %s ?%v %q", c.Method, c.Path, c.Query, c.Body)
	}
	if got := c.Header.Get("Content-Type"); got != contentType {
		s.Strict("Content-Type %q, want %q", got, contentType)
	}
	known := strings.NewReplacer("$secret", or(r.Secret, Secret), "$key", or(r.Key, SiteKey))
	for name := range c.Header {
		if _, mine := r.Headers[name]; !mine && !ordinary[name] {
			s.Strict("unknown header %s", name)
		}
	}
	for name, value := range r.Headers {
		if got := c.Header.Get(name); got != known.Replace(value) {
			s.Strict("header %s is %q", name, got)
		}
	}
	return parameters(s, known.Replace(want), sent(s, c, contentType))
}

// parameters compares what is sent with what is wanted, and returns the token.
func parameters(s *Server, want string, got map[string]string) (token string) {
	for param := range strings.FieldsSeq(want) {
		name, value, _ := strings.Cut(param, "=")
		if param == "$token" {
			name, value = "", "$token"
		}
		have, ok := got[name]
		delete(got, name)
		switch {
		case !ok:
			s.Strict("parameter %s is missing", name)
		case value == "$token":
			token = have
		case value == "$uuid" && aUUID.MatchString(have), value == have:
		default:
			s.Strict("parameter %s is %q", name, have)
		}
	}
	if len(got) > 0 {
		s.Strict("unknown parameters %v", got)
	}
	return token
}

// sent are the parameters of a call.
func sent(s *Server, c Call, contentType string) map[string]string {
	got := make(map[string]string)
	switch contentType {
	case "text/plain":
		got[""] = string(c.Body)
	case "application/json":
		var doc map[string]any
		if err := json.Unmarshal(c.Body, &doc); err != nil {
			s.Strict("%v", err)
		}
		flatten(got, "", doc)
	default:
		values := c.Query
		if contentType != "" {
			var err error
			if values, err = url.ParseQuery(string(c.Body)); err != nil {
				s.Strict("%v", err)
			}
		}
		for name, v := range values {
			if got[name] = v[0]; len(v) != 1 {
				s.Strict("parameter %s is there %d times", name, len(v))
			}
		}
	}
	return got
}

func flatten(into map[string]string, prefix string, doc map[string]any) {
	for name, v := range doc {
		switch v := v.(type) {
		case map[string]any:
			flatten(into, prefix+name+".", v)
		case string:
			into[prefix+name] = v
		default:
			into[prefix+name] = fmt.Sprintf("%T", v)
		}
	}
}

// ProsopoToken is what Prosopo's widget submits for a site key of less than 64
// characters, in the SCALE codec: two absent texts, the site key, the user, two
// more absent texts, a timestamp, and signatures.
func ProsopoToken(siteKey string) string {
	text := func(s string) string { return string([]byte{byte(len(s) << 2)}) + s }
	return "0x" + hex.EncodeToString([]byte("\x00\x00"+text(siteKey)+text("user")+"\x00\x00"+text("1780000000000")+"\x00\x00\x00\x00"))
}
