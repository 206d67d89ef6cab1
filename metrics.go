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
	for _, one := range []prometheus.Collector{c.decisions, c.verifications, c.failovers, c.duration, c.up, c.outage, c.storeErrors} {
		var again prometheus.AlreadyRegisteredError
		if err := reg.Register(one); err != nil && !errors.As(err, &again) {
			return nil, err
		}
	}
	return new(metrics), nil
}

func (*metrics) decided(d decision, by string) {
	collectors.decisions.WithLabelValues(string(d.verb), string(d.reason), by).Inc()
	if d.failover != "" {
		collectors.failovers.WithLabelValues(string(d.failover), string(d.action)).Inc()
	}
}

func (*metrics) verified(by, outcome string, took time.Duration) {
	collectors.verifications.WithLabelValues(by, outcome).Inc()
	collectors.duration.WithLabelValues(by).Observe(took.Seconds())
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
