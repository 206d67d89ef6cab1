//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// form is what a visitor has to say.
type form struct {
	format string // urlencoded, multipart, json, binary
	size   int
	last   bool // the token comes last
	edge   string
	fill   []byte
}

const urlencoded = "application/x-www-form-urlencoded"

// noise is what files are cut from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 24<<20)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a file, not a secret
	for i := 0; i < len(b); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
})

// dice returns a number from 0 to n-1.
func dice(n int) int { return rand.IntN(n) } //nolint:gosec // what to try next, not a secret

// newForm makes a form, most of them small, a few up to 20 MB.
func newForm(formats ...string) form {
	f := form{format: formats[dice(len(formats))], last: dice(2) == 0, edge: "----soak" + randomHex(12)}
	switch n := dice(1000); {
	case n < 850:
		f.size = 1<<10 + dice(30<<10)
	case n < 970:
		f.size = 32<<10 + dice(480<<10)
	case n < 996:
		f.size = 512<<10 + dice(4<<20)
	default:
		f.size = 5<<20 + dice(15<<20)
	}
	if f.format != "multipart" {
		f.size = min(f.size, 60<<10)
	}
	at := dice(len(noise()) - f.size)
	f.fill = noise()[at : at+f.size]
	return f
}

func (f form) contentType() string {
	switch f.format {
	case "multipart":
		return "multipart/form-data; boundary=" + f.edge
	case "json":
		return "application/json"
	case "binary":
		return "application/octet-stream"
	}
	return urlencoded
}

// body is the form with a token, or without one.
func (f form) body(token map[string]string) []byte {
	names := slices.Sorted(maps.Keys(token))
	switch f.format {
	case "multipart":
		return f.multipart(names, token)
	case "json":
		doc := map[string]any{"name": "Ada", "file": f.fill}
		for k, v := range token {
			doc[k] = v
		}
		text, _ := json.Marshal(doc) // of strings
		return text
	case "binary":
		return f.fill
	}
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, name+"="+url.QueryEscape(token[name]))
	}
	text := "name=Ada+Lovelace&consent=on&empty=&file=" + url.QueryEscape(string(f.fill[:min(len(f.fill), 16<<10)]))
	if f.last {
		pairs = append([]string{text}, pairs...)
	} else {
		pairs = append(pairs, text)
	}
	return []byte(strings.Join(pairs, "&"))
}

func (f form) multipart(names []string, token map[string]string) []byte {
	var fields, file strings.Builder
	for _, name := range names {
		fmt.Fprintf(&fields, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", f.edge, name, token[name])
	}
	fmt.Fprintf(&file, "--%s\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nprecious\r\n", f.edge)
	fmt.Fprintf(&file, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"film.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n", f.edge)
	body := make([]byte, 0, fields.Len()+file.Len()+len(f.fill)+100)
	if !f.last {
		body = append(body, fields.String()...)
	}
	body = append(append(append(body, file.String()...), f.fill...), "\r\n"...)
	if f.last {
		body = append(body, fields.String()...)
	}
	return append(body, "--"+f.edge+"--\r\n"...)
}
