package captcha_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// runExample runs an example's configuration and returns the site's address.
// Admin endpoint, storage and log are not what it says: it runs in a test.
func runExample(t *testing.T, folder string, prepare func(*testing.T, []byte) []byte) (site string) {
	t.Helper()
	app := strings.TrimPrefix(newEcho(t).URL, "http://")
	port := freePort(t)
	site = "http://127.0.0.1:" + port
	var config []byte
	if file := filepath.Join(folder, "Caddyfile"); exists(file) {
		for name, value := range map[string]string{"SITE": site, "APP": app, "PORT": port, "APP_PORT": freePort(t)} {
			t.Setenv(name, value)
		}
		setEnv(t, readFile(t, file))
		config = adapt(t, file, readFile(t, file))
	} else {
		text := readFile(t, filepath.Join(folder, "caddy.json"))
		config = []byte(strings.NewReplacer(":8080", "127.0.0.1:"+port, "127.0.0.1:9000", app).Replace(text))
	}
	config = confine(t, config)
	validate(t, config)
	config = prepare(t, config)
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return site
}

// adapt turns a Caddyfile into JSON. A warning, such as that it is not
// formatted as caddy fmt does it, is an error.
func adapt(t *testing.T, name, text string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	for _, w := range warnings {
		t.Errorf("%s:%d: %s", w.File, w.Line, w.Message)
	}
	if formatted := caddyfile.Format([]byte(text)); !bytes.Equal(formatted, []byte(text)) {
		t.Errorf("%s is not formatted; caddy fmt writes\n%s", name, formatted)
	}
	return config
}

// confine keeps a configuration within the test.
func confine(t *testing.T, config []byte) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	c["storage"] = map[string]any{"module": "file_system", "root": dir}
	c["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "discard"}}}}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// easier gives every captcha handler puzzles that are solved quickly.
func easier(t *testing.T, config []byte) []byte {
	t.Helper()
	return eachHandler(t, config, func(handler map[string]any) {
		handler["provider"] = map[string]any{"name": "pow", "difficulty": 1000}
	})
}

// cutOff makes every provider of the network one that does not answer, and
// puzzles easy.
func cutOff(t *testing.T, config []byte) []byte {
	t.Helper()
	nobody := "https://127.0.0.1:" + freePort(t)
	change := func(v any) {
		switch p := v.(map[string]any); p["name"] {
		case "pow":
			p["difficulty"] = 1000
		case "geetest":
			p["api_url"], p["bypass_url"] = nobody, nobody+"/status"
		case "trustcaptcha":
			p["api_url"] = nobody
		default:
			p["verify_url"] = nobody + "/siteverify"
		}
	}
	return eachHandler(t, config, func(handler map[string]any) {
		change(handler["provider"])
		fallbacks, ok := handler["fallbacks"].([]any)
		if !ok {
			handler["fallbacks"] = []any{map[string]any{"name": "pow", "difficulty": 1000}} // the default, but easy
		}
		for _, f := range fallbacks {
			change(f)
		}
	})
}

// eachHandler changes every captcha handler of a configuration, and the
// providers of captcha_challenge in the same way.
func eachHandler(t *testing.T, config []byte, change func(handler map[string]any)) []byte {
	t.Helper()
	var c any
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	handlers := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["handler"] == "captcha" {
				change(v)
				handlers++
			}
			if v["handler"] == "captcha_challenge" {
				like := map[string]any{"provider": v["provider"]}
				change(like)
				v["provider"] = like["provider"]
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(c)
	if handlers == 0 {
		t.Error("there is no captcha handler")
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func validate(t *testing.T, config []byte) {
	t.Helper()
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Errorf("%v\n%s", err, config)
	}
}
