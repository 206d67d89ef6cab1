package captcha

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// healthText is what a node tells the others of a provider. Times are Unix
// milliseconds.
type healthText struct {
	Version   int          `json:"v"`
	Node      string       `json:"node"`
	At        int64        `json:"at"`
	State     state        `json:"state"`
	Since     int64        `json:"since"`
	Reached   bool         `json:"reached"`
	Passes    int          `json:"passes"`    // good probes in a row since it was down
	Throttled int64        `json:"throttled"` // until; 0 is not
	Probe     string       `json:"probe"`     // what was wrong with the last one
	Outages   []outageText `json:"outages"`
}

type outageText struct {
	Start    int64  `json:"start"`
	End      int64  `json:"end"` // 0 while it lasts
	Evidence string `json:"evidence"`
}

// drillText says until when a drill lasts; 0 ends it.
type drillText struct {
	Version int    `json:"v"`
	Node    string `json:"node"`
	At      int64  `json:"at"`
	Until   int64  `json:"until"`
}

const (
	textVersion = 1
	maxTold     = 32  // outages in one text
	maxEvidence = 256 // bytes
	maxNodeName = 64
	clockSlack  = time.Minute // by which another node's clock may be ahead
)

// parseHealthText reads exactly what tell writes. Anything else is none.
func parseHealthText(text []byte, now time.Time) (doc healthText, ok bool) {
	if !decodeStrictly(text, &doc) || doc.Version != textVersion || !validNode(doc.Node) {
		return doc, false
	}
	latest := now.Add(clockSlack).UnixMilli()
	switch {
	case !slices.Contains([]state{up, suspect, down, recovering, unknown}, doc.State),
		doc.At <= 0 || doc.At > latest || doc.Since <= 0 || doc.Since > latest || doc.Throttled < 0,
		len(doc.Outages) > maxTold || doc.Passes < 0 || doc.Passes > maxProbes || !validEvidence(doc.Probe):
		return doc, false
	}
	for i, o := range doc.Outages {
		lasts := o.End == 0
		if o.Start <= 0 || o.Start > latest || o.End > latest || !lasts && o.End < o.Start || lasts && i != len(doc.Outages)-1 || !validEvidence(o.Evidence) {
			return doc, false
		}
	}
	return doc, true
}

// openSince is when the outage began that lasts; not later than now, by this
// node's clock, which signs the challenges that belong to it.
func (d healthText) openSince(now time.Time) time.Time {
	start := time.UnixMilli(d.Since)
	if n := len(d.Outages); n > 0 && d.Outages[n-1].End == 0 {
		start = time.UnixMilli(d.Outages[n-1].Start)
	}
	return notAfter(now, start)
}

func parseDrillText(text []byte, now time.Time) (doc drillText, ok bool) {
	ok = decodeStrictly(text, &doc) && doc.Version == textVersion && validNode(doc.Node) &&
		doc.At > 0 && doc.Until >= 0 && doc.Until <= now.Add(maxDrill+clockSlack).UnixMilli()
	return doc, ok
}

func decodeStrictly(text []byte, doc any) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(doc) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

func validNode(name string) bool {
	return name != "" && len(name) <= maxNodeName && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

func validEvidence(text string) bool {
	return len(text) <= maxEvidence && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// tidy makes a text one that validEvidence accepts.
func tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	for len(text) > maxEvidence {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
