// Command caddy is Caddy with its standard modules and caddy-captcha: what
// xcaddy builds, without xcaddy.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-captcha/caddy-captcha"
	_ "github.com/caddy-captcha/caddy-captcha/store/redis"
)

func main() { caddycmd.Main() }
