package providertest

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // GeeTest's protocol
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// GeeTest is the API of version 3.
type GeeTest struct {
	ID, Key string
	Digest  string // that register must be told; default md5
	// Challenge makes what register answers.
	Challenge func() string
	// Passes says what validate passes.
	Passes func(challenge, seccode string) bool
}

// Protocol is strict about what is asked.
func (g GeeTest) Protocol(s *Server) Answerer {
	return func(c Call) (int, string) {
		switch c.Path {
		case "/register.php":
			want := url.Values{"gt": {g.ID}, "digestmod": {or(g.Digest, "md5")}, "client_type": {"web"}, "json_format": {"1"}, "sdk": {"caddy-captcha"}}
			expect(s, c, g.Key, http.MethodGet, want, nil)
			return 200, `{"challenge":"` + g.Challenge() + `"}`
		case "/validate.php":
			form := formOf(s, c)
			seccode, challenge := form.Get("seccode"), form.Get("challenge")
			want := url.Values{"seccode": {seccode}, "json_format": {"1"}, "challenge": {challenge}, "sdk": {"caddy-captcha"}, "captchaid": {g.ID}}
			expect(s, c, g.Key, http.MethodPost, nil, want)
			if !g.Passes(challenge, seccode) {
				return 200, `{"seccode":"false"}`
			}
			sum := md5.Sum([]byte(seccode)) //nolint:gosec // GeeTest's protocol
			return 200, `{"seccode":"` + hex.EncodeToString(sum[:]) + `"}`
		case "/v1/bypass_status.php":
			expect(s, c, g.Key, http.MethodGet, url.Values{"gt": {g.ID}}, nil)
			return 200, `{"status": "success"}`
		}
		s.Strict("unknown path %s", c.Path)
		return 404, ""
	}
}

// GeeTest4 is the API of version 4.
type GeeTest4 struct {
	ID, Key string
	// Passes says which pass_token passes.
	Passes func(token string) bool
}

// Protocol is strict about what is asked.
func (g GeeTest4) Protocol(s *Server) Answerer {
	return func(c Call) (int, string) {
		if c.Path != "/validate" {
			s.Strict("unknown path %s", c.Path)
			return 404, ""
		}
		form := formOf(s, c)
		lot := form.Get("lot_number")
		sign := hmac.New(sha256.New, []byte(g.Key))
		sign.Write([]byte(lot))
		want := url.Values{"sign_token": {hex.EncodeToString(sign.Sum(nil))}}
		for _, name := range []string{"lot_number", "captcha_output", "pass_token", "gen_time"} {
			want.Set(name, form.Get(name))
		}
		expect(s, c, g.Key, http.MethodPost, url.Values{"captcha_id": {g.ID}}, want)
		switch {
		case strings.Trim(form.Get("gen_time"), "0123456789") != "":
			return 200, `{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`
		case !g.Passes(form.Get("pass_token")):
			return 200, `{"status":"success","result":"fail","reason":"pass_token error","captcha_args":{}}`
		}
		return 200, fmt.Sprintf(`{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide",`+
			`"user_ip":"127.0.0.1","lot_number":%q,"scene":"x","referer":"http://127.0.0.1:8077/","ip_type":1}}`, lot)
	}
}

func formOf(s *Server, c Call) url.Values {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		s.Strict("body: %v", err)
	}
	return form
}

// expect is strict about what a call carries; the key is never in it.
func expect(s *Server, c Call, key, method string, query, form url.Values) {
	if c.Method != method {
		s.Strict("%s %s, want %s", c.Method, c.Path, method)
	}
	if query.Encode() != c.Query.Encode() {
		s.Strict("%s: query %v, want %v", c.Path, c.Query, query)
	}
	got, _ := url.ParseQuery(string(c.Body))
	if form.Encode() != got.Encode() {
		s.Strict("%s: form %v, want %v", c.Path, got, form)
	}
	if ct := c.Header.Get("Content-Type"); form != nil && ct != "application/x-www-form-urlencoded" || form == nil && ct != "" {
		s.Strict("%s: Content-Type %q", c.Path, ct)
	}
	if strings.Contains(fmt.Sprint(c), key) {
		s.Strict("%s: the key was sent", c.Path)
	}
}
