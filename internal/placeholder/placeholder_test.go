package placeholder

import (
	"strings"
	"testing"
)

func TestResolveD73(t *testing.T) {
	t.Setenv("PLACEHOLDER_TEST", "value")
	t.Setenv("PLACEHOLDER_EMPTY", "")
	for text, want := range map[string]string{
		"plain": "plain", "{env.PLACEHOLDER_TEST}": "value", "a-{env.PLACEHOLDER_TEST}": "a-value",
		"{env.PLACEHOLDER_EMPTY}": "", "{env.PLACEHOLDER_UNSET}": "", "{no.such}": "",
	} {
		got := text
		err := Resolve("secret_key", &got)
		if want == "" && (err == nil || !strings.HasPrefix(err.Error(), "secret_key: ")) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
