package formtoken

import "testing"

func TestNames(t *testing.T) {
	rows := []struct {
		want, name string
		near       bool
	}{
		{"cf-turnstile-response", "cf-turnstile-response", true},
		{"cf-turnstile-response", "CF-Turnstile-Response", true},
		{"cf-turnstile-response", "cf_turnstile_response", false}, // PHP keeps hyphens
		{"cf-turnstile-response", "cf-turnstile-response[]", true},
		{"cf-turnstile-response", "cf-turnstile-responses", false},
		{"geetest_challenge", "geetest.challenge", true},
		{"geetest_challenge", "geetest challenge", true},
		{"geetest_challenge", "geetest[challenge", true}, // PHP: an unclosed bracket is an underscore
		{"geetest_challenge", "geetest[challenge]", false},
		{"geetest_challenge", "geetest-challenge", false},
		{"geetest_challenge", "geetest_ſeccode", false},
		{"geetest_seccode", "geetest_ſeccode", true}, // folds to s
		{"token", "to\u212Aen", true},                // Kelvin sign
		{"token", "token\u00a0", true},
		{"token", "\u200btoken", true},
		{"token", "token.", false}, // PHP: token_
		{"token_", "token.", true},
		{"token_", "token ", true}, // PHP keeps one underscore
		{"token", "]token", true},
		{"token", "to[ken]", false},
		{"user[captcha]", "user[captcha]", true},
		{"user[captcha]", "user[email]", false},
		{"user[captcha]", "User[Captcha]", true},
		{"user[captcha]", "user[captcha][]", true},
		{"user[captcha]", "user", false},
		{"gen_time", "gen_time\x00", true},
		{"gen_time", "\x00", false},
		{"gen_time", "", false},
		{"lot_number", "İ", false},
		{"pin", "pİn", true},
	}
	for _, r := range rows {
		set := newNameSet(Prepare([]Field{{Name: r.want}}), nil)
		if got := set.near([]byte(r.name)); got != r.near {
			t.Errorf("%q for %q: %v", r.name, r.want, got)
		}
		f, e := set.match([]byte(r.name))
		if exact := r.want == r.name; (f != nil) != exact || (e != nil) != (r.near && !exact) {
			t.Errorf("%q for %q: field %v, error %v", r.name, r.want, f != nil, e)
		}
	}
}

func TestWantedNamesThatResembleEachOther(t *testing.T) {
	fields := []Field{{Name: "token"}, {Name: "Token", Optional: true}}
	got := scanAll(t, formFormat, fields, "token=a&Token=b")
	if got.Err != nil || got.Values["token"] != "a" || got.Values["Token"] != "b" {
		t.Errorf("%+v", got)
	}
}
