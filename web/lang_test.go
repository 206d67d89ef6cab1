package web

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestLanguagesAreComplete(t *testing.T) {
	files, err := langFiles.ReadDir("lang")
	if err != nil || len(files) != len(locales) {
		t.Fatalf("%d files for %d languages: %v", len(files), len(locales), err)
	}
	english := locales[0].text
	for _, l := range locales {
		for key, want := range english {
			got, ok := l.text[key]
			switch {
			case !ok:
				t.Errorf("%s lacks %s", l.tag, key)
			case strings.TrimSpace(got) != got || got == "":
				t.Errorf("%s: %s is empty or has space around it", l.tag, key)
			case strings.Count(got, "{from}") != strings.Count(want, "{from}"), strings.Count(got, "{host}") != strings.Count(want, "{host}"):
				t.Errorf("%s: %s does not have {from} or {host} where English has it", l.tag, key)
			case l.tag != "en" && got == want:
				t.Errorf("%s: %s is not translated", l.tag, key)
			}
			// texts are text: no HTML, no entities, nothing invisible
			rest := strings.NewReplacer("{from}", "", "{host}", "").Replace(got)
			if regexp.MustCompile(`[<>{}\\]|&\w+;`).MatchString(rest) || strings.ContainsFunc(rest, unicode.IsControl) {
				t.Errorf("%s: %s holds markup: %q", l.tag, key, got)
			}
		}
		for key := range l.text {
			if _, ok := english[key]; !ok {
				t.Errorf("%s: %s is not in English", l.tag, key)
			}
		}
	}
}

// Every text is used by the page or the injected script, and the page uses no other.
func TestLanguagesAreUsed(t *testing.T) {
	used := slices.Concat(widgetTexts, []string{"passed", "cancel"})
	for kind := Submit; kind <= Stop; kind++ {
		used = append(used, scriptTexts[kind]...)
	}
	for _, m := range regexp.MustCompile(`(?:Text|show\([^)]*)\W+"?'?([a-z-]+)`).FindAllStringSubmatch(partsHTML, -1) {
		used = append(used, m[1])
	}
	used = append(used, "heading", "heading-stop", "note-submit", "note-confirm", "note-large", "note-elsewhere", "stop-help", "insecure-elsewhere")
	for key := range locales[0].text {
		if !strings.HasPrefix(key, "reason.") && !slices.Contains(used, key) {
			t.Errorf("%s is never shown", key)
		}
	}
	for _, m := range regexp.MustCompile(`'([a-z]+(?:-[a-z]+)+|working|failed|retry|sending|back)'`).FindAllStringSubmatch(pageJS+powJS+widgetJS, -1) {
		if _, ok := locales[0].text[m[1]]; !ok && !slices.Contains([]string{"same-origin", "no-store", "captcha-solver", "captcha-widget", "captcha-blocked"}, m[1]) {
			t.Errorf("the script uses %s, which is no text", m[1])
		}
	}
}

func TestMatch(t *testing.T) {
	for header, want := range map[string]string{
		"":                           "en",
		"*":                          "en",
		"de-CH,de;q=0.9,en;q=0.8":    "de",
		"en-GB,en;q=0.9,de;q=0.5":    "en",
		"fr-CA":                      "fr",
		"es-419":                     "es",
		"pt-PT,pt;q=0.9":             "pt",
		"pt-BR":                      "pt",
		"ar-EG":                      "ar",
		"zh":                         "zh-Hans",
		"zh-CN,zh;q=0.9":             "zh-Hans",
		"zh-TW,zh;q=0.9":             "zh-Hant",
		"zh-HK":                      "zh-Hant",
		"ja":                         "ja",
		"ko-KR":                      "ko",
		"uk,de;q=0.5":                "de",
		"uk":                         "en", // not Russian
		"xx,fr-CA":                   "fr",
		"de;q=banana,,pl;q=0.5":      "pl",
		"ca":                         "en",
		"da, nl;q=0.7":               "nl",
		"xx-invalid-xx":              "en",
		"und":                        "en",
		"de;q=banana":                "en",
		";;;,,,":                     "en",
		"\x00\xff":                   "en",
		strings.Repeat("de-", 10000): "en",
		strings.Repeat("ja,", 5000):  "en",
		"i-klingon":                  "en",
		"x-private":                  "en",
		"en-US-u-va-posix":           "en",
		"tr_TR":                      "tr",
		"it-IT-oxendict,it;q=0.3":    "it",
		"ru;q=0,pl":                  "pl",
	} {
		if got := matchLocale(header).tag; got != want {
			t.Errorf("%.40q: %s, want %s", header, got, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, header := range []string{"de", "und", "zh-TW,zh;q=0.9", "a-b-c;q=1", "*;q=0"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if matchLocale(header) == nil {
			t.Fatal("no language")
		}
	})
}
