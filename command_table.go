package captcha

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// colour is a terminal's.
type colour string

const (
	plain  colour = ""
	red    colour = "1;31"
	yellow colour = "33"
	green  colour = "32"
	bold   colour = "1"
)

func (v viewer) paint(c colour, text string) string {
	if !v.colours || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// cell is one of the table; its colour takes no room.
type cell struct {
	text   string
	colour colour
}

// maxNote is how much of an error the table shows.
const maxNote = 72

// table shows a status for somebody who was woken up by it: what is wrong first,
// in one sentence, then a line for each provider.
func (v viewer) table(doc statusDoc) []byte {
	var b bytes.Buffer
	say := func(c colour, format string, args ...any) {
		fmt.Fprintln(&b, v.paint(c, fmt.Sprintf(format, args...)))
	}
	if !doc.Store.OK {
		say(red, "The store %s does not answer.", clean(doc.Store.Kind))
	}
	if len(doc.Providers) == 0 {
		say(plain, "No provider is called over the network: nothing can be down.")
		return b.Bytes()
	}
	text, c := doc.summary()
	say(c, "%s", text)
	b.WriteByte('\n')
	rows := [][]cell{{{"STATE", bold}, {"PROVIDER", bold}, {"FOR", bold}, {"LAST PROBE", bold}, {"OUTAGES TODAY", bold}, {"NOW", bold}, {"NOTE", bold}}}
	providers := slices.Clone(doc.Providers)
	slices.SortStableFunc(providers, func(a, b providerDoc) int { return a.rank() - b.rank() })
	for _, p := range providers {
		rows = append(rows, doc.row(p, v.now()))
	}
	v.align(&b, rows)
	return b.Bytes()
}

// align writes rows in columns two blanks apart.
func (v viewer) align(b *bytes.Buffer, rows [][]cell) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(v.paint(c.colour, c.text))
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
}

// summary says in a sentence who is in trouble.
func (doc statusDoc) summary() (string, colour) {
	var names, drills []string
	for _, p := range doc.Providers {
		if p.inTrouble() {
			names = append(names, doc.nameOf(p))
		} else if p.Drill {
			drills = append(drills, doc.nameOf(p))
		}
	}
	switch n := len(doc.Providers); {
	case len(names) > 0:
		return fmt.Sprintf("%d of %s in trouble: %s.", len(names), count(n, "provider"), strings.Join(names, ", ")), red
	case len(drills) > 0:
		return fmt.Sprintf("A drill is under way: %s.", strings.Join(drills, ", ")), yellow
	case n == 1:
		return "The provider is not in trouble.", green
	default:
		return fmt.Sprintf("None of the %d providers is in trouble.", n), green
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// nameOf is the provider's name; with its id, where the name is not enough.
func (doc statusDoc) nameOf(p providerDoc) string {
	for _, other := range doc.Providers {
		if other.Name == p.Name && other.ID != p.ID {
			return clean(p.Name + " " + p.ID)
		}
	}
	return clean(p.Name)
}

func (doc statusDoc) row(p providerDoc, now time.Time) []cell {
	state, c := p.stateText()
	since := p.Since
	if p.Drill {
		since = p.drillStart()
	}
	probe := cell{text: "none yet"}
	if p.LastProbe != nil {
		probe.text = age(now.Sub(p.LastProbe.At)) + " ago, good"
		if !p.LastProbe.OK {
			probe = cell{age(now.Sub(p.LastProbe.At)) + " ago, bad", c}
		}
	}
	today := cell{text: "–"}
	if n := p.outagesOn(now); n > 0 {
		today = cell{fmt.Sprint(n), yellow}
	}
	return []cell{
		{state, c}, {doc.nameOf(p), plain}, {age(now.Sub(since)), plain}, probe, today,
		{doc.actionNow(p), plain}, {shorten(noteOn(p, now), maxNote), plain},
	}
}

// stateText is the word for what somebody must know first.
func (p providerDoc) stateText() (string, colour) {
	switch {
	case p.Misconfigured:
		return "REFUSES KEYS", red
	case p.State.isDown() && p.inTrouble():
		return strings.ToUpper(string(p.State)), red
	case p.Drill:
		return "drill", yellow
	case p.ThrottledUntil != nil:
		return "throttled", yellow
	case p.State == suspect:
		return string(suspect), yellow
	case p.State == up:
		return string(up), green
	}
	return clean(string(p.State)), plain
}

// rank puts those in trouble first.
func (p providerDoc) rank() int {
	switch _, c := p.stateText(); c {
	case red:
		return 0
	case yellow:
		return 1
	}
	return 2
}

// drillStart is when the drill that is under way began.
func (p providerDoc) drillStart() time.Time {
	for _, o := range slices.Backward(p.Outages) {
		if o.Drill && o.End == nil {
			return o.Start
		}
	}
	return p.Since
}

// outagesOn counts the outages of a day, drills left out.
func (p providerDoc) outagesOn(now time.Time) (n int) {
	y, m, d := now.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	for _, o := range p.Outages {
		if !o.Drill && (o.End == nil || o.End.After(midnight)) {
			n++
		}
	}
	return n
}

// actionNow says what the directives do with a request that needs this provider.
func (doc statusDoc) actionNow(p providerDoc) string {
	var words []string
	add := func(word string) {
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, d := range doc.Policies {
		if len(d.Chain) == 0 || d.Chain[0].ID != p.ID {
			continue
		}
		for _, a := range d.Actions {
			switch {
			case a.Situation != d.Situation:
			case d.Mode == modeSignal:
				add("forwards, and tells the app")
			case a.Fallback != "":
				add("falls back to " + clean(a.Fallback))
			case a.Action == allow:
				add("lets everybody in")
			case a.Action == deny:
				add("denies")
			default:
				add("challenges")
			}
		}
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, "; ")
	case p.State.isDown() || p.Misconfigured || p.ThrottledUntil != nil:
		return "is left out"
	}
	return "asks " + clean(p.Name)
}

// noteOn says what somebody must know of a provider at once.
func noteOn(p providerDoc, now time.Time) string {
	switch {
	case p.Misconfigured && p.LastProbe != nil && !strings.HasPrefix(p.LastProbe.Error, string(provider.Misconfigured)):
		return "refused our keys when it last answered; now " + p.lastError()
	case p.Misconfigured:
		return "refuses our keys: " + p.lastError()
	case p.inTrouble() && !p.Reached:
		return "never reached, check the egress firewall: " + p.lastError()
	case p.inTrouble() || p.State == suspect:
		return p.lastError()
	case p.Drill:
		return "ends by itself, or with caddy captcha drill --stop " + p.Name
	case p.ThrottledUntil != nil:
		return "quota spent, for " + age(p.ThrottledUntil.Sub(now)) + " more"
	}
	return ""
}

func (p providerDoc) lastError() string {
	if p.LastProbe == nil {
		return ""
	}
	return p.LastProbe.Error
}

// age is a span in its two largest units.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// shorten makes one line of a text, with at most n characters.
func shorten(text string, n int) string {
	text = clean(text)
	if utf8.RuneCountInString(text) > n {
		text = string([]rune(text)[:n-1]) + "…"
	}
	return text
}

// clean takes out what a terminal would obey: an error may quote a provider's
// answer.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
