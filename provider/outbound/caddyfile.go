package outbound

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option is one option of a provider's block.
type Option struct {
	Name string
	// Read reads what stands behind the name, with the dispenser at the name.
	Read func(*caddyfile.Dispenser) error
	// Useless says that the option is read, for Validate to say what is wrong
	// with it, but not told to somebody who looks for one.
	Useless bool
}

// TextOption is an option whose only argument is a text; see Text.
func TextOption(name string, text *string, want string) Option {
	return Option{Name: name, Read: func(d *caddyfile.Dispenser) error { return Text(d, text, want) }}
}

// ScoreOption is an option whose only argument is a number, for check to judge.
func ScoreOption(name string, score **float64, check func(float64) error) Option {
	return Option{Name: name, Read: func(d *caddyfile.Dispenser) error {
		if *score != nil {
			return d.Errf("%s is already specified: write it once", name)
		}
		value, err := Value(d, "a number from 0 to 1")
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return d.Errf("%s %q is not a number: write one from 0 to 1, such as 0.5", name, value)
		}
		if err := check(n); err != nil {
			return d.WrapErr(err)
		}
		*score = &n
		return nil
	}}
}

// UnmarshalBlock reads a provider's block, with the dispenser before its name:
// the provider's own options, and the transport's.
func (t *Transport) UnmarshalBlock(d *caddyfile.Dispenser, name string, own ...Option) error {
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("%s takes no argument, got %q: write its options in a block", name, d.Val())
	}
	for d.NextBlock(0) {
		if err := t.unmarshal(d, name, own); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transport) unmarshal(d *caddyfile.Dispenser, name string, own []Option) error {
	var known []string
	for _, o := range own {
		if o.Name == d.Val() {
			return o.Read(d)
		}
		if !o.Useless {
			known = append(known, o.Name)
		}
	}
	if known, err := t.UnmarshalOption(d); known {
		return err
	}
	return d.Errf("unrecognized subdirective '%s': %s has %s, tls_trusted_ca, proxy and header", d.Val(), name, strings.Join(known, ", "))
}

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
		for name := range t.Header {
			if strings.EqualFold(name, args[0]) {
				return true, d.Errf("header %s is already specified: write it once", args[0])
			}
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
