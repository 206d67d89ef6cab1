package redis

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	redis {
//		address           <host:port...>
//		sentinel_master   <name>
//		sentinel_username <name>
//		sentinel_password <password>
//		username          <name>
//		password          <password>
//		db                <n>
//		tls
//		tls_trusted_ca    <pem file>
//		prefix            <text>
//	}
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's name
	if d.NextArg() {
		return d.Errf("redis takes a block, got %q; write redis { address host:port }", d.Val())
	}
	texts := map[string]*string{
		"sentinel_master": &r.SentinelMaster, "sentinel_username": &r.SentinelUsername, "sentinel_password": &r.SentinelPassword,
		"username": &r.Username, "password": &r.Password, "tls_trusted_ca": &r.TLSTrustedCA, "prefix": &r.Prefix,
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is already specified: write it once", option)
		}
		seen[option] = true
		var err error
		switch text := texts[option]; {
		case text != nil:
			err = one(d, option, text)
		case option == "address":
			if r.Address = d.RemainingArgs(); len(r.Address) == 0 {
				err = d.Err("address needs at least one host:port")
			}
		case option == "db":
			err = r.unmarshalDB(d)
		case option == "tls":
			if r.TLS = true; d.NextArg() {
				err = d.Errf("tls takes no value, got %q; leave it out for an unencrypted connection", d.Val())
			}
		default:
			err = d.Errf("unrecognized subdirective '%s': redis has address, sentinel_master, sentinel_username, "+
				"sentinel_password, username, password, db, tls, tls_trusted_ca and prefix", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) unmarshalDB(d *caddyfile.Dispenser) (err error) {
	var text string
	if err := one(d, "db", &text); err != nil {
		return err
	}
	if r.DB, err = strconv.Atoi(text); err != nil {
		return d.Errf("db must be a number, got %q; placeholders such as {env.X} are not possible here, {$X} is", text)
	}
	return nil
}

// one reads the only argument of an option.
func one(d *caddyfile.Dispenser, option string, text *string) error {
	args := d.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return d.Errf("%s needs one value, got %d", option, len(args))
	}
	*text = args[0]
	return nil
}

var _ caddyfile.Unmarshaler = (*Redis)(nil)
