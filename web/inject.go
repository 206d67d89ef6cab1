package web

// Inject is the script that stands in the app's own pages.
type Inject struct {
	TokenHeader    string
	Providers      []InjectProvider
	Forms, Actions []string
}

// InjectProvider is a provider whose challenges the script can have solved.
type InjectProvider struct {
	Name   string
	Fields []string
	Widget *Widget
}

// InjectMark is the attribute of what is put into a page.
const InjectMark = "data-captcha-inject"

// Script returns the text of the inline script.
func (i Inject) Script() (string, error) {
	return "/* not there yet */", nil
}
