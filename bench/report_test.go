//go:build linux

package main

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{2}, spread{2, 2, 2, 2, 2}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4, 1, 4}},
		{[]float64{5, 1, 4, 2, 3}, spread{3, 2, 4, 1, 5}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("spreadOf(%v) = %v, want %v", test.values, got, test.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i))
	}
	if p50, p99 := percentile(d, 0.5), percentile(d, 0.99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if percentile(nil, 0.5) != 0 {
		t.Error("a percentile of nothing")
	}
}

func TestForm(t *testing.T) {
	for _, token := range []string{"", "e30="} {
		if n := len(form(token)); n != formSize {
			t.Errorf("a form with token %q has %d bytes, want %d", token, n, formSize)
		}
	}
}

func TestRatio(t *testing.T) {
	r := result{
		plain: []sample{{requests: 100, took: time.Second, cpu: time.Second}},
		ours:  []sample{{requests: 50, took: time.Second, cpu: time.Second}},
	}
	if got := r.ratios(sample.rate).median; got != 0.5 {
		t.Errorf("ratio %v, want 0.5", got)
	}
	if got := r.totalCPU(); got != 2 {
		t.Errorf("CPU ratio %v, want 2", got)
	}
}

// one is a single latency.
func one(ms time.Duration) []time.Duration { return []time.Duration{ms * time.Millisecond} }
