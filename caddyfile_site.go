package captcha

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnNested warns of a directive within a handle or route block: it can remove
// forged headers there, but not in the blocks beside it.
func warnNested(h httpcaddyfile.Helper) {
	if nested(h) && h.State[strippedKey] != siteOf(h) {
		warn(h, "captcha within a block removes forged X-Captcha-* headers in that block only; "+
			"write captcha_strip in the site block, or captcha with a matcher there instead")
	}
}

// siteOf identifies the site block in which a directive stands: Caddy keeps one
// State for all of them. What it returns equals nothing else.
func siteOf(h httpcaddyfile.Helper) any {
	if block := reflect.ValueOf(h).FieldByName("parentBlock"); block.IsValid() {
		if keys := block.FieldByName("Keys"); keys.IsValid() && keys.Kind() == reflect.Slice && keys.Len() > 0 {
			return keys.Pointer()
		}
	}
	return new(byte) // another Caddy: every directive is a site of its own
}

// nested reports whether a directive stands in a block within the site's.
func nested(h httpcaddyfile.Helper) bool { return blockOf(h) != reflect.ValueOf(h.State).Pointer() }

// blockOf identifies the block in which a directive stands.
func blockOf(h httpcaddyfile.Helper) uintptr { return reflect.ValueOf(h.BlockState).Pointer() }

// warnMatcher warns of matchers that leave open what they seem to protect.
func warnMatcher(h httpcaddyfile.Helper, matcher caddy.ModuleMap) {
	var paths caddyhttp.MatchPath
	if len(matcher) == 1 && json.Unmarshal(matcher["path"], &paths) == nil && len(paths) == 1 && !strings.Contains(paths[0], "*") {
		warn(h, "captcha protects exactly one path; "+paths[0]+" does not match "+paths[0]+"/. Write "+paths[0]+"* to protect both")
	}
	var methods caddyhttp.MatchMethod
	if json.Unmarshal(matcher["method"], &methods) == nil && len(methods) > 0 && !slices.Contains(methods, "POST") {
		warn(h, "the challenge page sends a form by POST, which this matcher does not match; use captcha's own option methods instead")
	}
	var headers map[string][]string
	if json.Unmarshal(matcher["header"], &headers) == nil && headers["Content-Type"] != nil {
		warn(h, "the challenge page sends a form as "+formContentType+", which this matcher does not match; leave Content-Type out of it")
	}
}

func warn(h httpcaddyfile.Helper, message string) {
	caddy.Log().Named("config.adapter.caddyfile").Warn(message, zap.String("file", h.File()), zap.Int("line", h.Line()))
}
