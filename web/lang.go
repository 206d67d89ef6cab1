package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

//go:embed lang/*.json
var langFiles embed.FS

// A locale is one language of the page.
type locale struct {
	tag  string
	dir  string
	text map[string]string
}

// locales are the languages, English first: the matcher's default.
var locales = loadLocales("en", "de", "fr", "es", "pt", "it", "nl", "pl", "tr", "ru", "ar", "zh-Hans", "zh-Hant", "ja", "ko")

var matcher = newMatcher()

func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(locales))
	for i, l := range locales {
		tags[i] = language.MustParse(l.tag)
	}
	return language.NewMatcher(tags)
}

// loadLocales reads the embedded texts. The files are part of the program, so a
// faulty one is a fault of ours.
func loadLocales(tags ...string) []*locale {
	all := make([]*locale, len(tags))
	for i, tag := range tags {
		raw, err := langFiles.ReadFile("lang/" + tag + ".json")
		if err != nil {
			panic(err)
		}
		l := &locale{tag: tag, dir: "ltr"}
		if tag == "ar" {
			l.dir = "rtl"
		}
		if err := json.Unmarshal(raw, &l.text); err != nil {
			panic(fmt.Sprintf("lang/%s.json: %v", tag, err))
		}
		all[i] = l
	}
	return all
}

// maxAcceptLanguage is more than any browser sends.
const maxAcceptLanguage = 1 << 10

// matchLocale picks the language of a page. What is only remotely related to a
// language of ours (Ukrainian to Russian) or too long means English.
func matchLocale(acceptLanguage string) *locale {
	if len(acceptLanguage) > maxAcceptLanguage {
		return locales[0]
	}
	l, ok := matched.get(acceptLanguage)
	if !ok {
		l = newMatch(acceptLanguage)
		matched.put(strings.Clone(acceptLanguage), l)
	}
	return l
}

// matched remembers what browsers have sent: a few lists are most of them.
var matched = &memo[string, *locale]{max: 1 << 10}

func newMatch(acceptLanguage string) *locale {
	var known []string // one that nobody knows does not hide the others
	for part := range strings.SplitSeq(acceptLanguage, ",") {
		if _, _, err := language.ParseAcceptLanguage(part); err == nil {
			known = append(known, part)
		}
	}
	wanted, _, err := language.ParseAcceptLanguage(strings.Join(known, ","))
	if err != nil || len(wanted) == 0 {
		return locales[0]
	}
	_, i, confidence := matcher.Match(wanted...)
	if confidence < language.High {
		return locales[0]
	}
	return locales[i]
}
