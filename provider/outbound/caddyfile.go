package outbound

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalOption reads one of the transport's options, with the dispenser at
// its name. It reports false for an option that is none of them. Syntax:
//
//	tls_trusted_ca <pem file>
//	proxy          <url>
//	header         <name> <value>
func (t *Transport) UnmarshalOption(d *caddyfile.Dispenser) (known bool, err error) {
	switch d.Val() {
	case "tls_trusted_ca":
		return true, Text(d, &t.TLSTrustedCA, "a PEM file")
	case "proxy":
		return true, Text(d, &t.Proxy, "a URL")
	case "header":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return true, d.Err("header needs a name and a value")
		}
		if _, twice := t.Header[args[0]]; twice {
			return true, d.Errf("header %s is already specified: write it once", args[0])
		}
		if t.Header == nil {
			t.Header = make(map[string]string)
		}
		t.Header[args[0]] = args[1]
		return true, nil
	}
	return false, nil
}

// Text reads the only argument of an option, with the dispenser at its name,
// into text. It may hold placeholders, which resolve when the config is loaded.
func Text(d *caddyfile.Dispenser, text *string, want string) error {
	option := d.Val()
	if *text != "" {
		return d.Errf("%s is already specified: write it once", option)
	}
	args := d.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return d.Errf("%s needs %s, and nothing else", option, want)
	}
	*text = args[0]
	return nil
}

// Value is Text for a number, duration or keyword, which is read when the
// Caddyfile is adapted.
func Value(d *caddyfile.Dispenser, want string) (string, error) {
	option, value := d.Val(), ""
	if err := Text(d, &value, want); err != nil {
		return "", err
	}
	if strings.HasPrefix(value, "{") {
		return "", d.Errf("%s: numbers, durations, sizes and keywords are read when the Caddyfile is adapted; write {$NAME} instead of %s", option, value)
	}
	return value, nil
}
