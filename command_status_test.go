package captcha

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
)

// night is when somebody looks at the table.
var night = time.Date(2026, 11, 21, 3, 14, 15, 0, time.UTC)

func ago(d time.Duration) time.Time { return night.Add(-d) }

func ended(start, lasted time.Duration, drill bool) outageDoc {
	end := ago(start).Add(lasted)
	return outageDoc{Start: ago(start), End: &end, Evidence: "unavailable: 503", FailedOver: 7, Drill: drill}
}

func probed(before time.Duration, err string) *probeDoc {
	return &probeDoc{At: ago(before), OK: err == "", Error: err}
}

// byDefault is what a directive with the defaults does now.
func byDefault(id string, now situation) policyDoc {
	d := policyDoc{Directives: 1, Mode: modeEnforce, Chain: []linkDoc{{"p", id}, {"pow", ""}}, Situation: now}
	for _, s := range situations {
		a := actionDoc{Situation: s, Action: policyTable[s].standard}
		if a.Action == fallback {
			a.Fallback = "pow"
		}
		d.Actions = append(d.Actions, a)
	}
	return d
}

func TestRefusedBeforeItWentDown(t *testing.T) {
	p := providerDoc{Name: "cap", State: down, Misconfigured: true, Reached: true, LastProbe: probed(time.Minute, "unavailable: no route to host")}
	if got := noteOn(p, night); got != "refused our keys when it last answered; now unavailable: no route to host" {
		t.Error(got)
	}
}

// nights are the states of the world that the golden files show.
func nights() map[string]statusDoc {
	well := storeDoc{Kind: "memory", OK: true}
	calm := providerDoc{
		ID: "01", Name: "turnstile", State: up, Since: ago(50 * time.Hour), Reached: true, BypassCheck: checkPoll, LastProbe: probed(4*time.Second, ""),
		Outages: []outageDoc{ended(5*time.Hour, time.Hour, false), ended(2*time.Hour, time.Minute, true)},
	}
	hurt := providerDoc{
		ID: "02", Name: "hcaptcha", State: down, Since: ago(134 * time.Minute), Reached: true, BypassCheck: checkPassive,
		LastProbe: probed(9*time.Second, "unavailable: dial tcp: lookup api.hcaptcha.com on 127.0.0.53:53: server misbehaving\x1b[2J\nand more"),
		Outages:   []outageDoc{ended(3*time.Hour, time.Minute, false), {Start: ago(134 * time.Minute), Evidence: "unavailable", FailedOver: 41}},
	}
	never, wrong, limited, doubted, drilled, fresh := hurt, calm, calm, calm, calm, calm
	never.ID, never.Name, never.Reached, never.State, never.Since = "03", "geetest", false, recovering, ago(61*time.Second)
	never.Outages = never.Outages[1:]
	wrong.ID, wrong.Name, wrong.Misconfigured, wrong.LastProbe = "04", "cap", true, probed(time.Minute, "misconfigured: invalid-input-secret")
	until := night.Add(40 * time.Second)
	limited.ID, limited.Name, limited.ThrottledUntil = "05", "trustcaptcha", &until
	doubted.ID, doubted.Name, doubted.State, doubted.LastProbe, doubted.Since = "06", "mcaptcha", suspect, probed(time.Second, "unavailable: 502"), ago(time.Second)
	drilled.ID, drilled.Name, drilled.State, drilled.Drill = "07", "turnstile", down, true
	drilled.Outages = []outageDoc{{Start: ago(3 * time.Minute), Evidence: "drill", Drill: true}}
	fresh.ID, fresh.Name, fresh.State, fresh.LastProbe, fresh.Outages, fresh.Since = "08", "altcha", unknown, nil, nil, ago(time.Hour)

	signal, open := byDefault("02", unreachable), byDefault("03", unreachable)
	signal.Mode = modeSignal
	open.Actions[0].Action, open.Actions[0].Fallback = allow, ""
	return map[string]statusDoc{
		"none":  {Store: well},
		"calm":  {Store: well, Providers: []providerDoc{calm}, Policies: []policyDoc{byDefault("01", "")}},
		"down":  {Store: well, Providers: []providerDoc{calm, hurt}, Policies: []policyDoc{byDefault("01", ""), byDefault("02", unreachable), signal}},
		"drill": {Store: well, Providers: []providerDoc{drilled}, Policies: []policyDoc{byDefault("07", unreachable)}},
		"everything": {
			Store:     storeDoc{Kind: "redis"},
			Providers: []providerDoc{fresh, calm, doubted, limited, drilled, wrong, never, hurt},
			Policies: []policyDoc{
				byDefault("02", unreachable), open, byDefault("04", misconfigured), byDefault("05", throttled), byDefault("07", unreachable),
			},
		},
	}
}

var wantExit = map[string]int{"none": 0, "calm": 0, "down": exitTrouble, "drill": 0, "everything": exitTrouble}

// view is a viewer of a world that a test makes.
func view(out *bytes.Buffer, fetch func() ([]byte, error)) viewer {
	return viewer{out: out, now: func() time.Time { return night }, fetch: fetch}
}

func TestStatusTable(t *testing.T) {
	for name, doc := range nights() {
		for _, colours := range []bool{false, true} {
			var out bytes.Buffer
			v := view(&out, func() ([]byte, error) { return json.Marshal(doc) })
			v.colours = colours
			code, err := v.print()
			if err != nil || code != wantExit[name] {
				t.Errorf("%s: exit code %d, %v, want %d", name, code, err, wantExit[name])
			}
			file := name
			if colours {
				file += "-colours"
			}
			golden(t, filepath.Join("testdata", "status", file+".txt"), out.String())
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s: %v; got\n%s", file, err, got)
	}
}

func TestStatusJSON(t *testing.T) {
	var out bytes.Buffer
	v := view(&out, func() ([]byte, error) { return []byte("{\"store\": {\"ok\": false}, \"later\": 1}\n\n"), nil })
	if code, err := v.printJSON(); err != nil || code != exitTrouble || out.String() != "{\"store\": {\"ok\": false}, \"later\": 1}\n" {
		t.Errorf("%d, %v, %q; want what came, and that the store is in trouble", code, err, out.String())
	}
	v = view(&out, func() ([]byte, error) { return []byte("<html>"), nil })
	for _, show := range []func() (int, error){v.printJSON, v.print} {
		if code, err := show(); err == nil || code != caddy.ExitCodeFailedStartup {
			t.Errorf("what is no status: %d, %v", code, err)
		}
	}
}

// watched runs a watch over answers, one for each tick, and returns what it
// wrote; each answer may be an error.
func watched(t *testing.T, terminal bool, answers ...any) (screens []string, code int, err error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	tick := make(chan time.Time, len(answers))
	var out bytes.Buffer
	asked := 0
	v := view(&out, func() ([]byte, error) {
		answer := answers[asked]
		if asked++; asked == len(answers) {
			stop()
		} else {
			tick <- night
		}
		if err, ok := answer.(error); ok {
			return nil, err
		}
		return json.Marshal(answer)
	})
	v.terminal, v.colours = terminal, terminal
	code, err = v.watch(ctx, tick)
	separator := "\n\n" + night.Format(time.DateTime)
	if terminal {
		separator = "\x1b[H"
	}
	return strings.Split(out.String(), separator), code, err
}

func TestStatusWatch(t *testing.T) {
	calm, bad := nights()["calm"], nights()["down"]
	away := errors.New("connection refused")

	screens, code, err := watched(t, true, calm, away, bad)
	if err != nil || code != exitTrouble || len(screens) != 4 {
		t.Fatalf("%d, %v, %q; want three screens", code, err, screens)
	}
	if screens[0] != "\x1b[?25l\x1b[2J" || !strings.HasSuffix(screens[3], "\x1b[J\x1b[?25h\r\n") {
		t.Errorf("%q … %q: the cursor is hidden, and shown again at the end", screens[0], screens[3])
	}
	for i, screen := range screens[1:] {
		if !strings.Contains(screen, "\x1b[J") || strings.Contains(screen, "\x1b[2J") || strings.Count(screen, "\n") < strings.Count(screen, "\x1b[K") {
			t.Errorf("screen %d is not drawn over the last one: %q", i, screen)
		}
	}
	if s := screens[2]; !strings.Contains(s, "has not answered since 03:14:15: connection refused") || !strings.Contains(s, "turnstile") {
		t.Errorf("Caddy is away: %q; want that, and what was last known", s)
	}
	if strings.Contains(screens[3], "not answered") || !strings.Contains(screens[3], "hcaptcha") {
		t.Errorf("Caddy is back: %q", screens[3])
	}

	screens, code, err = watched(t, false, calm, calm, away)
	if !errors.Is(err, away) || code != caddy.ExitCodeFailedStartup || len(screens) != 3 || strings.Contains(strings.Join(screens, ""), "\x1b") {
		t.Errorf("%d, %v, %q; want three tables, one after the other, without colours", code, err, screens)
	}
}

// Cobra prints what is wrong with the command line, and nothing about exit codes.
func TestStatusCommandLine(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"store": {"ok": false}}`))
	}))
	t.Cleanup(admin.Close)
	for _, c := range []struct {
		args, err, printed string
	}{
		{"--watch --json", "none of the others can be", "Error: "},
		{"x", "unknown command", "Error: "},
		{"--json --address " + strings.TrimPrefix(admin.URL, "http://"), "exiting with status 2", ""},
	} {
		var out bytes.Buffer
		cmd := statusCommand()
		cmd.SetArgs(strings.Fields(c.args))
		cmd.SetErr(&out)
		cmd.SetOut(io.Discard)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(out.String(), c.printed) || c.printed == "" && out.Len() > 0 {
			t.Errorf("%s: %v, want %q; printed %q, want %q", c.args, err, c.err, out.String(), c.printed)
		}
	}
}

// A drill in an outage does not hide it.
func TestDrillInAnOutage(t *testing.T) {
	p := nights()["down"].Providers[1]
	p.Drill = true
	doc := statusDoc{Store: storeDoc{OK: true}, Providers: []providerDoc{p}}
	if state, _ := p.stateText(); doc.exitCode() != exitTrouble || state != "DOWN" {
		t.Errorf("exit code %d, state %s", doc.exitCode(), state)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m 1s", 134 * time.Minute: "2h 14m", 50 * time.Hour: "2d 2h",
	} {
		if got := age(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// FuzzStatusDocument shows whatever the admin API may answer: in lines, and with
// nothing that a terminal would obey.
func FuzzStatusDocument(f *testing.F) {
	for _, doc := range nights() {
		text, err := json.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte(`"name":"`), []byte(`"name":"\u001b[2J\u009b\u202e`)))
	}
	for _, seed := range []string{
		`{"store":{"kind":"\u001b[2J"}}`, `{"providers":[{"state":"\u001b]0;x\u0007","name":"a\nb","last_probe":{"error":"\r"}}],"store":{"ok":true}}`,
		`{"providers":[{"state":"down","id":"1"},{"id":"2"}],"policies":[{"chain":[{"id":"1"}],"actions":[{"fallback":"\u0085"}]}]}`, `[]`, `{"providers":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var out bytes.Buffer
		if _, err := view(&out, func() ([]byte, error) { return text, nil }).print(); err != nil {
			return
		}
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q is shown as %q", text, out.String())
			}
		}
	})
}
