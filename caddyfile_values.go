package captcha

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// parseText reads an option's only argument. It may hold placeholders, which
// resolve when the config is loaded.
func parseText(d *caddyfile.Dispenser, want string) (string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return "", d.Errf("%s needs %s, and nothing else", option, want)
	}
	return args[0], nil
}

func parseTexts(d *caddyfile.Dispenser, want string) ([]string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 || slices.Contains(args, "") {
		return nil, d.Errf("%s needs %s", option, want)
	}
	return args, nil
}

// parseValue reads the only argument of an option whose value is needed while
// the Caddyfile is adapted.
func parseValue(d *caddyfile.Dispenser, want string) (option, value string, err error) {
	option = d.Val()
	value, err = parseText(d, want)
	if err == nil && strings.HasPrefix(value, "{") {
		err = tooLate(d, option, value)
	}
	return option, value, err
}

// tooLate refuses a placeholder that would resolve when the config is loaded.
func tooLate(d *caddyfile.Dispenser, option, value string) error {
	return d.Errf("%s: numbers, durations, sizes and keywords are read when the Caddyfile is adapted; write {$NAME} instead of %s", option, value)
}

func parseKeyword(d *caddyfile.Dispenser, words ...string) (string, error) {
	option, value, err := parseValue(d, strings.Join(words, " or "))
	if err == nil && !slices.Contains(words, value) {
		err = d.Errf("%s must be %s, got '%s'", option, strings.Join(words, " or "), value)
	}
	return value, err
}

func parseCount(d *caddyfile.Dispenser) (int, error) {
	option, value, err := parseValue(d, "a number")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, d.Errf("%s must be a number from 1, got '%s'", option, value)
	}
	return n, nil
}

func parseSize(d *caddyfile.Dispenser) (int64, error) {
	option, value, err := parseValue(d, "a size, such as 64KiB")
	if err != nil {
		return 0, err
	}
	n, err := humanize.ParseBytes(value)
	if err != nil || n == 0 || n > 1<<50 {
		return 0, d.Errf("%s must be a size, such as 64KiB, got '%s'", option, value)
	}
	return int64(n), nil
}

func duration(d *caddyfile.Dispenser, option, value string) (caddy.Duration, error) {
	if strings.HasPrefix(value, "{") {
		return 0, tooLate(d, option, value)
	}
	dur, err := caddy.ParseDuration(value)
	if err != nil || dur <= 0 {
		return 0, d.Errf("%s must be a duration, such as %s, got '%s'", option, cmp.Or(exampleOf[option], "1h"), value)
	}
	return caddy.Duration(dur), nil
}

// exampleOf has the options for which an hour would not do.
var exampleOf = map[string]string{
	"verify_timeout": "5s", "timeout": "2s", "poll": "10s", "request": "5s", "grace": "5m", "tolerate": "15m", "rotate": "30d",
}

func parseFlag(d *caddyfile.Dispenser) (bool, error) {
	option := d.Val()
	if d.NextArg() {
		return false, d.Errf("%s stands alone, got '%s'", option, d.Val())
	}
	return true, nil
}

func parseDuration(d *caddyfile.Dispenser) (caddy.Duration, error) {
	option, value, err := parseValue(d, "a duration, such as 5s")
	if err != nil {
		return 0, err
	}
	return duration(d, option, value)
}
