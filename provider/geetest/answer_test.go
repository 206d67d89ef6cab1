package geetest

import (
	"strings"
	"testing"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

// TestCodes: every code of GeeTest's tables is known, and no other one is. What
// is unknown is told, without what GeeTest may send back.
func TestCodes(t *testing.T) {
	for codes, unknown := range map[string]string{
		"01 02 03 11 12 13 14 15 16 17 18 19 21 22 23 41 51 52 53 61 62 63 64 65 66 67 68 69 70 71 error_02": "",
		"04 10 99 999999999":     "same",
		"later_9 51x":            "same",
		testSeccode + "-9":       "(hidden)-9",
		strings.Repeat("9", 100): strings.Repeat("9", 80),
	} {
		for c := range strings.FieldsSeq(codes) {
			f := &fake3{}
			f.validate.Store(`{"error_code":"` + c + `"}`)
			b, _ := serve(t, f)
			v, err := b.judge(b.request(), token3(md5OfOriginAndKey, testValidate, testSeccode))
			checkUnknown(t, "version 3", c, unknown, v, err)
		}
	}
	for codes, unknown := range map[string]string{
		"-50001 50002 50003 50004 -50005 50301 50302 50303 50304 50305 50306 50307 50308": "",
		"49999 50006 50106 50300 50309 x":                                                 "same",
		"good-1":                                                                          "(hidden)-1",
	} {
		for c := range strings.FieldsSeq(codes) {
			f := &fake4{}
			f.validate.Store(`{"status":"error","code":"` + c + `"}`)
			b, _ := serve4(t, f)
			v, err := b.judge(token4(testLot, "outputoutput", "good", seconds(b.now)))
			checkUnknown(t, "version 4", c, unknown, v, err)
		}
	}
	b, _ := serve4(t, func() *fake4 { f := new(fake4); f.validate.Store(`{"status":"error"}`); return f }())
	v, err := b.judge(token4(testLot, "outputoutput", "good", seconds(b.now)))
	checkUnknown(t, "version 4", "none", "", v, err)
}

func checkUnknown(t *testing.T, version, c, want string, v provider.Verdict, err error) {
	t.Helper()
	if want == "same" {
		want = c
	}
	if err != nil || v.Outcome != provider.Fail || v.Reason == "" || v.Unknown != want {
		t.Errorf("%s, %q: %+v, %v; want it unknown as %q", version, c, v, err, want)
	}
}
