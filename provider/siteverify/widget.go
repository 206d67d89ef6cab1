package siteverify

import (
	"encoding/json"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// widgetData is what a row's markup can say.
type widgetData struct {
	SiteKey, Action, At string
	verify              string
}

// Region is which of a service's regions verify_url is of, for the widget to
// ask the same: "eu" of api.eu.example.com and of eu.example.com.
func (w widgetData) Region(domain string) string {
	u, err := url.Parse(w.verify)
	if err != nil {
		return ""
	}
	if h := u.Hostname(); h == "eu."+domain || h == "api.eu."+domain {
		return "eu"
	}
	return ""
}

// Widget returns what a page needs to show the service's widget.
func (p *Provider) Widget() provider.Widget {
	s, row := p.set, p.widget
	w := provider.Widget{SiteKey: s.siteKey, Script: s.script, Module: row.module}
	if row.render {
		w.Script += separator(w.Script) + "render=" + url.QueryEscape(s.siteKey)
	}
	if row.markup != "" {
		var b strings.Builder
		t := template.Must(template.New(p.name).Parse(row.markup))
		if err := t.Execute(&b, widgetData{s.siteKey, s.action, s.at, s.verify}); err != nil {
			panic(err) // the row is wrong, and its test says so
		}
		w.Markup = b.String()
	}
	if row.glue != "" {
		action := s.action
		if action == "" {
			action = "captcha"
		}
		w.Glue = strings.NewReplacer("{action}", quote(action), "{script}", quote(s.script)).Replace(row.glue)
		if strings.Contains(row.glue, "{script}") {
			w.Script = "" // the glue loads it
		}
	}
	w.CSP = p.policy()
	return w
}

// policy is the row's, with the hosts of the configured URLs.
func (p *Provider) policy() map[string][]string {
	hosts := strings.NewReplacer("{script}", outbound.Origin(p.set.script), "{at}", outbound.Origin(p.set.at))
	policy := make(map[string][]string, len(p.widget.csp))
	for directive, sources := range p.widget.csp {
		for _, source := range sources {
			policy[directive] = append(policy[directive], hosts.Replace(source))
		}
	}
	if p.ScriptURL != "" { // beside the service's own: a loader may load more
		if own := outbound.Origin(p.set.script); !slices.Contains(policy["script-src"], own) {
			policy["script-src"] = append(policy["script-src"], own)
		}
	}
	return policy
}

func separator(whole string) string {
	if strings.Contains(whole, "?") {
		return "&"
	}
	return "?"
}

// quote is a text as JavaScript, safe within a script element.
func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // texts always have a JSON form
	}
	return string(b)
}
