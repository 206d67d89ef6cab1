package captcha

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-captcha/caddy-captcha/provider"
)

const observability = "examples/observability/"

// metricLabels are the labels of every metric, as the collectors themselves say.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	c := collectors
	all := []prometheus.Collector{c.decisions, c.verifications, c.failovers, c.duration, c.up, c.outage, c.storeErrors}
	for _, g := range gauges {
		all = append(all, g)
	}
	desc := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	found := make(map[string][]string)
	for _, one := range all {
		ch := make(chan *prometheus.Desc, 1)
		one.Describe(ch)
		text := (<-ch).String()
		m := desc.FindStringSubmatch(text)
		if m == nil {
			t.Fatal(text)
		}
		found[m[1]] = strings.Split(m[2], ",")
	}
	h := "caddy_captcha_verify_duration_seconds"
	found[h+"_bucket"] = append(slices.Clone(found[h]), "le")
	return found
}

// dashboard is what the tests read of it.
type dashboard struct {
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
	}
}

func readDashboard(t *testing.T) (d dashboard, text string) {
	t.Helper()
	raw, err := os.ReadFile(observability + "grafana/dashboards/captcha.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d, string(raw)
}

func readText(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Every metric and label that the dashboard and the rules name is one of ours.
func TestObservabilityNames(t *testing.T) {
	known := metricLabels(t)
	d, _ := readDashboard(t)
	texts := []string{readText(t, observability+"alerts.yml")}
	for _, v := range d.Templating.List {
		texts = append(texts, v.Definition)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			texts = append(texts, target.Expr, target.LegendFormat)
		}
	}
	labels := map[string]bool{"job": true, "instance": true} // Prometheus's own
	for _, list := range known {
		for _, l := range list {
			labels[l] = true
		}
	}
	metric := regexp.MustCompile(`\b(caddy_captcha_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	group := regexp.MustCompile(`\b(?:by|on|without|ignoring) \(([^)]*)\)`)
	shown := regexp.MustCompile(`\{\{ ?(?:\$labels\.)?(\w+) ?\}\}`)
	used := make(map[string]bool)
	for _, text := range texts {
		for _, m := range metric.FindAllStringSubmatch(text, -1) {
			if used[m[1]] = true; known[m[1]] == nil {
				t.Errorf("%s is no metric of ours", m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if l[1] != "job" && l[1] != "instance" && !slices.Contains(known[m[1]], l[1]) {
					t.Errorf("%s has no label %s", m[1], l[1])
				}
			}
		}
		for _, m := range group.FindAllStringSubmatch(text, -1) {
			for l := range strings.SplitSeq(m[1], ",") {
				if l = strings.TrimSpace(l); !labels[l] {
					t.Errorf("no metric has a label %s: %s", l, text)
				}
			}
		}
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			if !labels[m[1]] {
				t.Errorf("no metric has a label %s: %s", m[1], text)
			}
		}
	}
	for name := range known {
		if name != "caddy_captcha_verify_duration_seconds" && !used[name] {
			t.Errorf("neither the dashboard nor the rules use %s", name)
		}
	}
}

// Every alert says how bad it is, and leads to a section of the runbook.
func TestAlertsHaveARunbook(t *testing.T) {
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(readText(t, "docs/operations.md"), -1) {
		headings[strings.ToLower(strings.ReplaceAll(m[1], " ", "-"))] = true
	}
	alerts := strings.Split(readText(t, observability+"alerts.yml"), "- alert: ")[1:]
	tested := readText(t, observability+"alerts_test.yml") + readText(t, observability+"alerts_day_test.yml")
	runbook := regexp.MustCompile(`runbook_url: https://github\.com/caddy-captcha/caddy-captcha/blob/main/docs/operations\.md#([a-z-]+)\n`)
	severity := regexp.MustCompile(`severity: (warning|critical)\n`)
	if len(alerts) < 10 {
		t.Errorf("only %d alerts were found", len(alerts))
	}
	for _, alert := range alerts {
		name, rest, _ := strings.Cut(alert, "\n")
		m := runbook.FindStringSubmatch(rest)
		if len(m) == 0 || !headings[m[1]] || !severity.MatchString(rest) || !strings.Contains(rest, "summary: ") {
			t.Errorf("%s lacks a runbook, a severity or a summary", name)
		}
		if !strings.Contains(tested, "alertname: "+name+"\n        exp_alerts:\n") {
			t.Errorf("no test of the rules makes %s fire", name)
		}
	}
}

func TestDashboard(t *testing.T) {
	d, text := readDashboard(t)
	if d.SchemaVersion < 39 || !strings.Contains(text, `"name": "provider"`) {
		t.Errorf("schema version %d", d.SchemaVersion)
	}
	taken := make(map[[2]int]string)
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d, %q: an id twice, or no title, description or query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%q lies over %q, or beside the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// loadObservability runs the example's Caddyfile with a provider of this test.
func loadObservability(t *testing.T) (e *edge, logs string) {
	t.Helper()
	e = serve(t, chainSite(t, ""))
	logs = storageDir(t)
	t.Setenv("LOGS", logs)
	t.Setenv("SITE", e.url)
	t.Setenv("APP", strings.TrimPrefix(e.app.URL, "http://"))
	text := readText(t, observability+"Caddyfile")
	of, end := strings.Index(text, "\t\tprovider turnstile"), strings.Index(text, "\t\tfailover {")
	site := chainSite(t, "") // its provider, fallback and bypass_check
	inner := site[strings.Index(site, "{")+1 : strings.LastIndex(site, "}\n\treverse_proxy")]
	text = text[:of] + inner + text[end:]
	text = strings.Replace(text, "{\n\t# Request metrics", "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tgrace_period 1ns\n\tstorage file_system "+e.dir+"\n\t# Request metrics", 1)
	config, err := adaptText(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	e.loads++
	e.http.CloseIdleConnections()
	return e, logs
}

// lines waits until a log has a line that contains a text, and returns it.
func lineWith(t *testing.T, file, text string) (entry map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		raw, _ := os.ReadFile(file)
		for lines := bufio.NewScanner(strings.NewReader(string(raw))); lines.Scan(); {
			if strings.Contains(lines.Text(), text) {
				if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
					t.Fatal(err)
				}
				return entry
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s has no line with %q", file, text)
	return nil
}

// The access log has the fields that the documentation promises.
func TestAccessLogFields(t *testing.T) {
	e, logs := loadObservability(t)
	want := func(path string, fields map[string]string) {
		t.Helper()
		entry := lineWith(t, filepath.Join(logs, "access.log"), `"uri":"`+path+`"`)
		for name, value := range fields {
			if got := fmt.Sprint(entry[name]); got != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
	}
	world(t, nil, nil, passed)
	e.wantProblem(e.post("/login?1", formType, "a=1"), 403, "token-missing")
	want("/login?1", map[string]string{
		"captcha_status": "missing", "captcha_provider": "fake", "captcha_decision": "challenge", "captcha_finding": "token-missing",
		"captcha_reason": "token-missing", "captcha_score": "",
	})
	e.wantForwarded(e.post("/login?2", formType, "fake-token=x"))
	want("/login?2", map[string]string{"captcha_status": "passed", "captcha_decision": "forward", "captcha_finding": "", "status": "200"})
	world(t, unavailable, unavailable, provider.Verdict{})
	e.wantProblem(e.post("/login?3", formType, "fake-token=y"), 403, "provider-unreachable")
	want("/login?3", map[string]string{"captcha_decision": "challenge", "captcha_finding": "provider-unreachable"})
	entry := lineWith(t, filepath.Join(logs, "outages.log"), "the provider is down")
	if entry["provider"] != "fake" || entry["level"] != "warn" || entry["logger"] != "captcha.bypass" || entry["evidence"] == "" {
		t.Errorf("%v", entry)
	}
}

// notify.sh tells a webhook of an outage, without any plugin.
func TestNotifyScript(t *testing.T) {
	told := make(chan map[string]any, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var entry map[string]any
		if err := json.NewDecoder(r.Body).Decode(&entry); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v, %v", err, r.Header)
		}
		told <- entry
	}))
	t.Cleanup(hook.Close)
	file := filepath.Join(t.TempDir(), "outages.log")
	log, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	fmt.Fprintln(log, `{"msg":"of old"}`)
	cmd := exec.CommandContext(t.Context(), "sh", observability+"notify.sh", file)
	cmd.Env = append(os.Environ(), "WEBHOOK="+hook.URL)
	cmd.WaitDelay = time.Second
	setGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { endGroup(cmd) })
	deadline := time.After(60 * time.Second)
	for n := 0; ; n++ { // until tail is there
		fmt.Fprintf(log, "{\"msg\":\"the provider is down\",\"evidence\":\"it's \\\\\\\"%d\\\\\\\" $HOME\"}\n", n)
		select {
		case entry := <-told:
			if entry["msg"] != "the provider is down" || !strings.HasSuffix(fmt.Sprint(entry["evidence"]), `" $HOME`) {
				t.Errorf("%v", entry)
			}
			return
		case <-deadline:
			t.Fatal("nothing has come")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// execStandIn has the Caddyfile syntax and the placeholders of the plugin
// caddy-events-exec, as its documentation gives them.
type execStandIn struct {
	Command string   `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

var executed = make(chan string, 100)

func (execStandIn) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.exec", New: func() caddy.Module { return new(execStandIn) }}
}

func (e *execStandIn) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.NextArg() {
		return d.ArgErr()
	}
	e.Command, e.Args = d.Val(), d.RemainingArgs()
	return nil
}

func (e *execStandIn) Handle(ctx context.Context, _ caddy.Event) error {
	repl := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	executed <- repl.ReplaceAll(e.Command+" "+strings.Join(e.Args, " "), "")
	return nil
}

func init() { caddy.RegisterModule(execStandIn{}) }

// The recipe for events in the documentation: the command gets the event's data.
func TestEventsRecipe(t *testing.T) {
	doc := readText(t, "docs/observability.md")
	_, rest, found := strings.Cut(doc, "```caddyfile\n{\n")
	recipe, _, _ := strings.Cut(rest, "\n}\n")
	if !found || !strings.Contains(recipe, "on captcha.outage_started exec ") {
		t.Fatalf("docs/observability.md has no recipe for events at first: %s", recipe)
	}
	e := serve(t, chainSite(t, ""))
	e.load(recipe, chainSite(t, ""))
	world(t, unavailable, unavailable, provider.Verdict{})
	e.wantProblem(e.fake("x"), 403, "provider-unreachable")
	want := map[string]bool{"outage_started fake": true, "never_reached fake": true}
	for len(want) > 0 {
		select {
		case line := <-executed:
			for w := range want {
				if strings.Contains(line, w) {
					delete(want, w)
				}
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("these were not executed: %v", want)
		}
	}
}
