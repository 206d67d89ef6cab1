package siteverify

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-captcha/caddy-captcha/provider"
	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// document is a JSON object of a service's answer.
type document map[string]any

// at returns the value at a path, with a dot between its members. A null is a
// value that is not there.
func (d document) at(path string) (value any, there bool) {
	value = map[string]any(d)
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[name]; !ok || value == nil {
			return nil, false
		}
	}
	return value, true
}

// text returns the text at a path, "" where there is none. It is an error for
// something else to be there.
func (d document) text(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	value, there := d.at(path)
	if !there {
		return "", nil
	}
	text, ok := value.(string)
	if !ok {
		return "", errNotProtocol
	}
	return text, nil
}

var errNotProtocol = outbound.Unavailable("the answer is not the provider's protocol")

// holds compares with the values' types: "true" and 1 are not true. The
// conditions are the protocol: a value that is missing, or of another type, is
// an error.
func (d document) holds(conditions []condition) (bool, error) {
	all := true
	for _, c := range conditions {
		value, there := d.at(c.path)
		if !there || !sameType(value, c.want) {
			return false, errNotProtocol
		}
		all = all && value == c.want
	}
	return all, nil
}

func sameType(a, b any) bool {
	switch a.(type) {
	case bool:
		_, ok := b.(bool)
		return ok
	case string:
		_, ok := b.(string)
		return ok
	case float64:
		_, ok := b.(float64)
		return ok
	}
	return false
}

// read reads an answer: what it says of the token, as a meaning and its code.
// A zero meaning is a pass.
func (p *preset) read(a outbound.Answer) (doc document, outcome provider.Outcome, code string, m meaning, err error) {
	if a.Status == http.StatusTooManyRequests {
		return nil, provider.Fail, "", m, outbound.Throttled(a)
	}
	if !a.Object(&doc) {
		doc = nil
	}
	if a.Status != http.StatusOK {
		code, m, err = p.readRefusal(a.Status, doc)
		return doc, provider.Fail, code, m, err
	}
	if doc == nil {
		return nil, provider.Fail, "", m, errNotProtocol
	}
	if p.failover != nil {
		if trouble, err := doc.holds(p.failover); err == nil && trouble {
			return doc, provider.ProviderFailover, "", m, nil
		}
	}
	pass, err := doc.holds(p.pass)
	if err == nil && pass {
		return doc, provider.Pass, "", m, nil
	}
	code, m, known, codeErr := p.readCode(doc)
	switch {
	case codeErr != nil:
		return doc, provider.Fail, "", m, codeErr
	case err != nil && !(known && m.class != ""):
		// a token is only refused by an answer that could have passed it
		return doc, provider.Fail, "", m, err
	}
	return doc, provider.Fail, code, m, nil
}

// readRefusal reads an answer with another status than 200: by a code of the
// protocol, else by a documented status. It is never a pass. An error comes with
// the unknown code that there was, for the log.
func (p *preset) readRefusal(status int, doc document) (unknown string, m meaning, err error) {
	if status >= 400 && status < 500 {
		code, m, known, err := p.readCode(doc)
		if err == nil && known {
			return code, m, nil
		}
		if m, ok := p.statuses[status]; ok {
			return "status " + strconv.Itoa(status), m, nil
		}
		unknown = code
	}
	return unknown, meaning{}, outbound.Unavailable("status " + strconv.Itoa(status))
}

// readCode finds what the answer's codes say together: what is wrong with us
// before what is wrong with the provider before what is wrong with the token.
// An unknown code, or none, is the client's fault.
func (p *preset) readCode(doc document) (code string, m meaning, known bool, err error) {
	m = invalid
	codes, err := p.codesOf(doc)
	if err != nil {
		return "", m, false, err
	}
	rank := -1
	for _, c := range codes {
		next, ok := p.meanings[c]
		if !ok {
			if rank < 0 {
				code = c
			}
			continue
		}
		r := 1
		switch next.class {
		case provider.Misconfigured:
			r = 3
		case provider.Unavailable, provider.Throttled:
			r = 2
		}
		if r > rank {
			code, m, known, rank = c, next, true, r
		}
	}
	return code, m, known, nil
}

// codesOf returns the codes as texts.
func (p *preset) codesOf(doc document) ([]string, error) {
	for _, path := range p.codes {
		value, there := doc.at(path)
		if !there {
			continue
		}
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		codes := make([]string, 0, len(list))
		for _, v := range list {
			switch v := v.(type) {
			case string:
				codes = append(codes, v)
			case float64:
				codes = append(codes, strconv.FormatFloat(v, 'f', -1, 64))
			default:
				return nil, errNotProtocol
			}
		}
		return codes, nil
	}
	return nil, nil
}

// checkPass checks what else must be true of a token that the service passes.
// The host must be named where hosts are configured, unless lax.
func (p *Provider) checkPass(doc document, host string, lax bool) (provider.Verdict, error) {
	pass := provider.Verdict{Outcome: provider.Pass}
	if p.score != "" {
		switch value, there := doc.at(p.score); score := value.(type) {
		case float64:
			pass.Score = &score
		default:
			if there {
				return provider.Verdict{}, errNotProtocol
			}
		}
	}
	hostname, err := doc.text(p.hostname)
	if err != nil {
		return provider.Verdict{}, err
	}
	action, err := doc.text(p.action)
	if err != nil {
		return provider.Verdict{}, err
	}
	fail := func(reason provider.Reason, detail string) (provider.Verdict, error) {
		return provider.Verdict{Reason: reason, Detail: detail, Score: pass.Score}, nil
	}
	switch {
	case p.tests: // they name a host and an action of their own
		return pass, nil
	case !p.hostAllowed(hostOf(hostname), host, lax):
		return fail(provider.HostnameMismatch, "solved on "+outbound.Visible(hostOf(hostname)))
	case p.set.action != "" && action != p.set.action:
		return fail(provider.ActionMismatch, "made for the action "+outbound.Visible(action))
	case p.set.scored && pass.Score == nil:
		return fail(provider.ScoreTooLow, "the answer has no score: is the key one that scores?")
	case p.set.scored && p.humanity(*pass.Score) < p.set.minScore:
		return fail(provider.ScoreTooLow, fmt.Sprintf("score %v", *pass.Score))
	}
	return pass, nil
}

// humanity is a score as min_score counts it: 1 is a human.
func (p *preset) humanity(score float64) float64 {
	if p.risk {
		return 1 - score
	}
	return score
}

// hostAllowed compares the host that an answer names with the configured ones,
// or with the request's. Only configured ones must be named.
func (p *Provider) hostAllowed(got, request string, lax bool) bool {
	if len(p.set.hosts) == 0 {
		return got == "" || got == normal(request)
	}
	if got == "" && lax {
		return true
	}
	return slices.Contains(p.set.hosts, got)
}

// hostOf is the host of what services call a host name: a host, a host with a
// port, or an origin.
func hostOf(text string) string {
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return "(unreadable)"
		}
		return normal(u.Hostname())
	}
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	return normal(text)
}

func normal(host string) string {
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}
