package captcha

import (
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// collectors outlive a config: each config registers the same ones, so counters
// go on over reloads. Every label has a fixed set of values.
var collectors = struct {
	decisions, verifications, failovers *prometheus.CounterVec
	duration                            *prometheus.HistogramVec
	up                                  *prometheus.GaugeVec
	outage                              *prometheus.CounterVec
	storeErrors                         *prometheus.CounterVec
}{
	decisions:     counter("decisions_total", "Decisions on protected requests.", "decision", "reason", "provider"),
	verifications: counter("verifications_total", "Verified tokens.", "provider", "outcome"),
	failovers:     counter("failover_total", "Requests that the failover policy decided.", "situation", "action"),
	duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy", Subsystem: "captcha", Name: "verify_duration_seconds",
		Help: "How long the provider took to judge a token.", Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"provider"}),
	up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "caddy", Subsystem: "captcha", Name: "provider_up", Help: "1 unless the provider is confirmed down.",
	}, []string{"provider"}),
	outage:      counter("outage_seconds_total", "Seconds of ended outages, drills left out.", "provider"),
	storeErrors: counter("store_errors_total", "Failed operations of the store.", "store"),
}

// gauges are read from what is known of the providers whenever somebody asks.
// Of two accounts of one provider, they tell the worse.
var gauges = []*gauge{
	newGauge("provider_reached", "1 if the provider has ever answered since start.", func(o overview) bool { return o.reached }, false),
	newGauge("provider_misconfigured", "1 while the provider refuses our keys.", func(o overview) bool { return o.wrong }, true),
	newGauge("provider_throttled", "1 while the provider's quota is spent.", func(o overview) bool { return !o.throttled.IsZero() }, true),
	newGauge("provider_drill", "1 while a drill is under way.", func(o overview) bool { return o.drill }, true),
}

// gauge is 1 or 0 for each provider that was probed.
type gauge struct {
	desc *prometheus.Desc
	is   func(overview) bool
	bad  bool // whether 1 is the worse
}

func newGauge(name, help string, is func(overview) bool, bad bool) *gauge {
	return &gauge{prometheus.NewDesc("caddy_captcha_"+name, help, []string{"provider"}, nil), is, bad}
}

// Describe implements prometheus.Collector.
func (g *gauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

// Collect implements prometheus.Collector.
func (g *gauge) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	values := make(map[string]float64)
	for _, h := range allHealths() {
		o := h.overview(now)
		if o.last.At.IsZero() && !o.reached && !o.drill {
			continue
		}
		v := 0.0
		if g.is(o) {
			v = 1
		}
		if other, ok := values[h.name]; ok && (other > v) == g.bad {
			continue
		}
		values[h.name] = v
	}
	for name, v := range values {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, v, name)
	}
}

// A counter that is not there yet has no first increment that a rate would see.
func init() {
	for s, r := range policyTable {
		for _, a := range append([]action{r.standard, deny}, r.others...) {
			collectors.failovers.WithLabelValues(string(s), string(a))
		}
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "caddy", Subsystem: "captcha", Name: name, Help: help}, labels)
}

// metrics is what a config's handlers count with.
type metrics struct{}

func newMetrics(ctx caddy.Context) (*metrics, error) {
	reg := ctx.GetMetricsRegistry()
	if reg == nil {
		return nil, errors.New("there is no metrics registry in this context")
	}
	c := collectors
	all := []prometheus.Collector{c.decisions, c.verifications, c.failovers, c.duration, c.up, c.outage, c.storeErrors}
	for _, g := range gauges {
		all = append(all, g)
	}
	for _, one := range all {
		var again prometheus.AlreadyRegisteredError
		if err := reg.Register(one); err != nil && !errors.As(err, &again) {
			return nil, err
		}
	}
	return new(metrics), nil
}

// tally are one provider's counters of what happens most; looking them up by their
// labels costs more than counting.
type tally struct {
	forwarded, passed prometheus.Counter
	took              prometheus.Observer
}

func newTally(name string) tally {
	return tally{
		forwarded: collectors.decisions.WithLabelValues(string(verbForward), "", name),
		passed:    collectors.verifications.WithLabelValues(name, outcomePass),
		took:      collectors.duration.WithLabelValues(name),
	}
}

const outcomePass = "pass"

func (*metrics) decided(d decision, by *link) {
	if d.verb == verbForward && d.reason == "" {
		by.tally.forwarded.Inc()
	} else {
		collectors.decisions.WithLabelValues(string(d.verb), string(d.reason), by.name).Inc()
	}
	if d.failover != "" {
		collectors.failovers.WithLabelValues(string(d.failover), string(d.action)).Inc()
	}
}

func (*metrics) verified(by *link, outcome string, took time.Duration) {
	if outcome == outcomePass {
		by.tally.passed.Inc()
	} else {
		collectors.verifications.WithLabelValues(by.name, outcome).Inc()
	}
	by.tally.took.Observe(took.Seconds())
}

func (*metrics) providerUp(name string, isUp bool) {
	v := 0.0
	if isUp {
		v = 1
	}
	collectors.up.WithLabelValues(name).Set(v)
}

func (*metrics) outageSeconds(name string, d time.Duration) {
	collectors.outage.WithLabelValues(name).Add(d.Seconds())
}

func (*metrics) storeError(name string) { collectors.storeErrors.WithLabelValues(name).Inc() }
