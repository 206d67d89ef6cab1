package pow

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	pow {
//		difficulty <n>         # expected hashes, 1000 to 50000000; default 500000
//		expires    <duration>  # 1s to 24h; default 10m
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the provider's name
	if d.NextArg() {
		return d.Errf("pow takes no argument, got %q: write its options in a block", d.Val())
	}
	for d.NextBlock(0) {
		var err error
		switch option := d.Val(); option {
		case "difficulty":
			err = p.unmarshalDifficulty(d)
		case "expires":
			err = p.unmarshalExpires(d)
		default:
			err = d.Errf("unrecognized subdirective '%s': pow has difficulty and expires", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) unmarshalDifficulty(d *caddyfile.Dispenser) error {
	value, err := oneValue(d, "a number of hashes, such as 500000", p.Difficulty != 0)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return d.Errf("difficulty %q is not a number: write a number of hashes from %d to %d",
			value, MinDifficulty, MaxDifficulty)
	}
	// Here, because a written 0 would be taken for an unset one later.
	if err := checkDifficulty(n); err != nil {
		return d.WrapErr(err)
	}
	p.Difficulty = n
	return nil
}

func (p *Provider) unmarshalExpires(d *caddyfile.Dispenser) error {
	value, err := oneValue(d, "a duration, such as 10m", p.Expires != 0)
	if err != nil {
		return err
	}
	dur, err := caddy.ParseDuration(value)
	if err != nil {
		return d.Errf("expires %q is not a duration: write a number with its unit, such as 10m", value)
	}
	if err := checkExpires(dur); err != nil {
		return d.WrapErr(err)
	}
	p.Expires = caddy.Duration(dur)
	return nil
}

// oneValue reads the only argument of an option that may be written once and
// whose value is read now, not when the server starts.
func oneValue(d *caddyfile.Dispenser, want string, again bool) (string, error) {
	option := d.Val()
	if again {
		return "", d.Errf("%s is already specified: write it once", option)
	}
	args := d.RemainingArgs()
	if len(args) != 1 {
		return "", d.Errf("%s takes one value, got %d: write %s", option, len(args), want)
	}
	value := args[0]
	if strings.HasPrefix(value, "{") {
		instead := "{$NAME}"
		if name, ok := strings.CutPrefix(value, "{env."); ok {
			instead = "{$" + strings.TrimSuffix(name, "}") + "}"
		}
		return "", d.Errf("%s %q is a placeholder, but numbers and durations are read when the Caddyfile is adapted: write %s",
			option, value, instead)
	}
	return value, nil
}
