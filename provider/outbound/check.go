package outbound

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Located reports what is wrong with a provider's block, which has been read into
// m, with the line. It provisions and validates a copy of m, which must need nothing
// of the context. What is known only when the config is loaded, the values of
// placeholders and the files, is left to that.
func Located(d *caddyfile.Dispenser, m caddy.Module) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var options map[string]any
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	delete(options, "tls_trusted_ca")
	for name, value := range options {
		options[name] = standIn(name, value)
	}
	if text, err = json.Marshal(options); err != nil {
		return err
	}
	c := m.CaddyModule().New()
	if err := json.Unmarshal(text, c); err != nil {
		return err
	}
	if err := c.(caddy.Provisioner).Provision(caddy.Context{}); err != nil {
		return d.WrapErr(err)
	}
	if err := c.(caddy.Validator).Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// standIn returns the value of an option or, for a text with placeholders, one that
// every option of its kind accepts: a URL, or what may be a key, an id and a name.
func standIn(name string, value any) any {
	switch v := value.(type) {
	case string:
		switch {
		case !strings.Contains(v, "{"):
		case name == "proxy" || strings.HasSuffix(name, "_url"):
			return "https://example.com/"
		default: // another one for each option
			return fmt.Sprintf("00000000-0000-4000-8000-%012x", len(name))
		}
	case []any:
		for i := range v {
			v[i] = standIn(name, v[i])
		}
	case map[string]any: // headers
		for key := range v {
			v[key] = standIn(key, v[key])
		}
	}
	return value
}
