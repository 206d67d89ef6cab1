// Package placeholder resolves the placeholders that a text option may hold.
package placeholder

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Resolve replaces the placeholders of an option's value in place. One that is
// empty or unknown is an error that names the option: it is a variable that
// somebody forgot to set.
func Resolve(option string, text *string) error {
	if !strings.Contains(*text, "{") {
		return nil
	}
	v, err := caddy.NewReplacer().ReplaceOrErr(*text, true, true)
	if err != nil {
		return fmt.Errorf("%s: %w; set it, or write the value itself", option, err)
	}
	*text = v
	return nil
}
