module github.com/caddy-captcha/caddy-captcha/bench

go 1.26.0
