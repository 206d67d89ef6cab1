package captcha

import (
	"net/http"
	"strings"
	"testing"
)

func TestInject(t *testing.T) {
	e := serve(t, `encode
	captcha /login*
	captcha_inject
	header /csp Content-Security-Policy "default-src 'self'"
	header Content-Type text/html
	respond `+"`<!doctype html><html><head><meta charset=\"utf-8\"><title>x</title></head><body><form method=\"post\" action=\"/login\"></form><form></form></body></html>`")
	r := e.do(e.request("GET", "/", "", "", "Accept", "text/html"))
	body := string(r.body)
	if r.StatusCode != 200 || strings.Count(body, "<script data-captcha-inject>") != 1 ||
		!strings.Contains(body, `action="/login"><input type="hidden" name="altcha" disabled data-captcha-inject></form><form></form>`) {
		t.Errorf("%s %s", r.Status, body)
	}
	if csp := e.do(e.request("GET", "/csp", "", "", "Accept", "text/html")).Header.Get("Content-Security-Policy"); !strings.Contains(csp, "; script-src 'self' 'sha256-") {
		t.Error(csp)
	}
	_ = http.MethodGet
}
