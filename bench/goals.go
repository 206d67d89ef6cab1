//go:build linux

package main

import (
	"fmt"
	"io"
)

// reportGoals writes one line for each case, and one more for a goal of its own.
func reportGoals(w io.Writer, results []result) {
	fmt.Fprintln(w, "| | goal | measured | CPU time | |\n|---|---|--:|--:|---|")
	for _, r := range results {
		if r.memory != nil {
			fmt.Fprintf(w, "| %s | ≤ %.0f MB | %s MB | | %s |\n", r.title, r.figure.limit, short(r.figure.value), state(r.figure.value <= r.figure.limit))
			continue
		}
		goal, result := "", ""
		rate := r.ratios(sample.rate).median
		if r.goal > 0 {
			goal, result = fmt.Sprintf("≥ %.2f", r.goal), state(rate >= r.goal)
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %s |\n", r.title, goal, rate, r.totalCPU(), result)
		if r.p99 > 0 {
			late := r.ratios(p99).median
			fmt.Fprintf(w, "| the same: p99 of the latency | ≤ %.2f | %.2f | | %s |\n", r.p99, late, state(late <= r.p99))
		}
	}
}

func state(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

func short(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
