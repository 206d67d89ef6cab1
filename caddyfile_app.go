package captcha

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-captcha/caddy-captcha/store"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("captcha", parseGlobal)
}

// parseGlobal reads the global option of the name captcha.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next() // to the option's name, for its line
		return nil, d.Err("the global option captcha is already specified: write it once")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "captcha", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from Caddyfile tokens. Syntax:
//
//	captcha {
//		store         memory | <name> { ... }
//		store_failure local | deny
//		max_spill     <size>
//		keys {
//			rotate <duration>
//		}
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.Errf("the global option captcha takes a block, got %q", d.Val())
	}
	return eachOption(d, 0, func(option string) (err error) {
		switch option {
		case "store":
			err = a.parseStore(d)
		case "store_failure":
			a.StoreFailure, err = parseKeyword(d, failureLocal, failureDeny)
		case "max_spill":
			a.MaxSpill, err = parseSize(d)
		case "keys":
			a.Keys, err = parseKeys(d)
		default:
			err = d.Errf("unrecognized subdirective '%s': the global option captcha has store, store_failure, max_spill and keys", option)
		}
		return err
	})
}

func (a *App) parseStore(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("store needs a name; write store memory")
	}
	name := d.Val()
	id := store.Namespace + "." + name
	if _, err := caddy.GetModule(id); err != nil {
		return d.Errf("there is no store '%s' in this build; write store memory, or build Caddy with the module that has it", name)
	}
	unm, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return err
	}
	if _, ok := unm.(store.Store); !ok {
		return d.Errf("module %s (%T) is not a store", id, unm)
	}
	a.StoreRaw = caddyconfig.JSONModuleObject(unm, "name", name, nil)
	return nil
}

func parseKeys(d *caddyfile.Dispenser) (*KeysConfig, error) {
	if d.NextArg() {
		return nil, d.Errf("keys takes a block, got %q; write keys { rotate 30d }", d.Val())
	}
	keys := new(KeysConfig)
	return keys, eachOption(d, d.Nesting(), func(option string) (err error) {
		if option != "rotate" {
			return d.Errf("unrecognized subdirective '%s': keys has rotate", option)
		}
		if keys.Rotate, err = parseDuration(d); err != nil {
			return err
		}
		return located(d, keys.validate())
	})
}

var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddy.Module          = (*App)(nil)
)
