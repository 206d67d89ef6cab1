package web

import (
	_ "embed"
	"html/template"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed parts.html
var partsHTML string

//go:embed page.css
var pageCSS string

//go:embed solver.js
var solverJS string

//go:embed pool.js
var poolJS string

//go:embed token.js
var tokenJS string

//go:embed pow.js
var powJS string

//go:embed widget.js
var widgetJS string

//go:embed widget.css
var widgetCSS string

//go:embed page.js
var pageJS string

// The files as they stand in a page.
var (
	packedCSS    = template.CSS(pack(pageCSS))
	packedSolver = template.JS(pack(solverJS))
	packedPage   = script(poolJS, tokenJS, powJS, pageJS)

	packedWidgetCSS = template.CSS(pack(pageCSS + widgetCSS))
	packedWidget    = script(tokenJS, widgetJS, pageJS)
)

// script makes one function of files, so that a provider's script finds no name
// of theirs taken.
func script(files ...string) template.JS {
	return template.JS("(() => {\n" + pack(strings.Join(files, "\n")) + "})();\n")
}

// pack leaves out blank lines, indentation, and comments that take a line or end
// one. It knows no syntax: our files have no texts over several lines, and none
// that holds two slashes between spaces.
func pack(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " // ")
		comment := strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/*") && strings.HasSuffix(line, "*/")
		if line != "" && !comment {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// squeeze leaves out the spaces, line ends and semicolons of a packed script that
// mean nothing.
// It knows of quotes: our files have none in a regular expression (and no space
// there beside a sign), no text over several lines, and a semicolon behind each
// statement, none of which is empty.
func squeeze(script string) string {
	var b strings.Builder
	var quote, before byte
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case quote != 0 && c == '\\':
			b.WriteByte(c)
			i++
			c = script[i]
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '\'', c == '"', c == '`':
			quote = c
		case c == ';' && strings.HasPrefix(strings.TrimLeft(script[i+1:], " \n"), "}"):
			continue
		case (c == ' ' || c == '\n') && (i+1 == len(script) || kind(before) == 0 || kind(before) != kind(script[i+1])):
			continue
		}
		b.WriteByte(c)
		before = c
	}
	return b.String()
}

// kind tells letters of names from signs: a space between two of a kind stays.
func kind(c byte) int {
	switch {
	case c == '_', c == '$', c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return 1
	case c == '+', c == '-':
		return 2
	}
	return 0
}
