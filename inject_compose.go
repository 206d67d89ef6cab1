package captcha

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"slices"

	"github.com/caddy-captcha/caddy-captcha/web"
)

// compose makes what is put into every page.
func (i *Injector) compose(chain []*link, tokenHeader string, forms, actions []string) error {
	in := web.Inject{TokenHeader: tokenHeader, Forms: forms, Actions: actions}
	i.need.Sources = make(map[string][]string)
	for _, l := range chain {
		widget := l.shown()
		in.Providers = append(in.Providers, web.InjectProvider{Name: l.name, Fields: l.fields, Widget: widget})
		if widget != nil {
			addSources(i.need.Sources, widget.CSP)
		}
	}
	text, err := in.Script()
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(text))
	i.need.Script = "'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	i.script = []byte("<script " + web.InjectMark + ">" + text + "</script>")
	for _, name := range chain[0].fields { // without autocomplete, Firefox brings back an old token when a page is reloaded
		i.inputs = append(i.inputs, `<input type="hidden" name="`+html.EscapeString(name)+`" autocomplete="off" disabled `+web.InjectMark+`>`...)
	}
	return nil
}

// addSources adds a widget's sources to those of the others. What allows
// nothing is left out.
func addSources(sources, more map[string][]string) {
	for directive, list := range more {
		for _, s := range list {
			if s != "'none'" && !slices.Contains(sources[directive], s) {
				sources[directive] = append(sources[directive], s)
			}
		}
	}
}
