//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// percentile returns the q-quantile of durations, which it sorts.
func percentile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	if !slices.IsSorted(d) {
		slices.Sort(d)
	}
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// spread is how values lie: the median, the quartiles, the extremes.
type spread struct{ median, q1, q3, low, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[(n-1)/4], v[n-1-(n-1)/4], v[0], v[n-1]}
}

func (s spread) String() string {
	return fmt.Sprintf("**%.3f** | %.2f…%.2f | %.2f…%.2f", s.median, s.q1, s.q3, s.low, s.high)
}

// ratios compares the servers in every round.
func (r result) ratios(of func(sample) float64) spread {
	var v []float64
	for i := range r.plain {
		v = append(v, of(r.ours[i])/of(r.plain[i]))
	}
	return spreadOf(v)
}

func median(samples []sample, of func(sample) float64) float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, of(s))
	}
	return spreadOf(v).median
}

func p50(s sample) float64 { return s.p(0.50) }
func p99(s sample) float64 { return s.p(0.99) }

// total is the ratio of the processor time per request over all rounds.
func (r result) totalCPU() float64 {
	sum := func(samples []sample) float64 {
		var all sample
		for _, s := range samples {
			all.cpu, all.requests = all.cpu+s.cpu, all.requests+s.requests
		}
		return all.cpuPerReq()
	}
	return sum(r.ours) / sum(r.plain)
}

// report writes tables in Markdown. Every ratio is captcha to plain, of the two
// slices of a round.
func report(w io.Writer, results []result) {
	reportGoals(w, results)
	var rated []result
	for _, r := range results {
		if !r.upload && r.memory == nil {
			rated = append(rated, r)
		}
	}
	if len(rated) > 0 {
		reportRates(w, rated)
	}
	reportPages(w, results)
	for _, r := range results {
		if r.upload {
			reportUpload(w, r)
		}
		if r.memory != nil {
			fmt.Fprintf(w, "\n%s", r.figure.table)
		}
	}
}

const ratio = "median ratio | quartiles | min…max"

func reportRates(w io.Writer, results []result) {
	fmt.Fprintln(w, "\n| requests per second | plain | captcha | "+ratio+" |\n|---|--:|--:|--:|--:|--:|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %s |\n", r.name, median(r.plain, sample.rate), median(r.ours, sample.rate), r.ratios(sample.rate))
	}
	fmt.Fprintln(w, "\n| CPU time per request, µs | plain | captcha | "+ratio+" | ratio of the sums |\n|---|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s | %.3f |\n", r.name,
			1e6*median(r.plain, sample.cpuPerReq), 1e6*median(r.ours, sample.cpuPerReq), r.ratios(sample.cpuPerReq), r.totalCPU())
	}
	fmt.Fprintln(w, "\n| latency, ms | p50 plain | p50 captcha | p99 plain | p99 captcha | p99: "+ratio+" |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f | %.2f | %s |\n", r.name,
			1e3*median(r.plain, p50), 1e3*median(r.ours, p50), 1e3*median(r.plain, p99), 1e3*median(r.ours, p99), r.ratios(p99))
	}
}

func reportUpload(w io.Writer, r result) {
	fmt.Fprintf(w, "\n| upload of %d MB, token first | plain | captcha | "+ratio+" |\n|---|--:|--:|--:|--:|--:|\n", r.mb)
	fmt.Fprintf(w, "| MB per second | %.0f | %.0f | %s |\n", median(r.plain, sample.rate), median(r.ours, sample.rate), r.ratios(sample.rate))
	fmt.Fprintf(w, "| CPU time per MB, µs | %.0f | %.0f | %s |\n", 1e6*median(r.plain, sample.cpuPerReq), 1e6*median(r.ours, sample.cpuPerReq), r.ratios(sample.cpuPerReq))
	fmt.Fprintf(w, "| peak memory, MB | %s | %s | **%.3f** | | |\n", inMB(r.plainPeak), inMB(r.oursPeak), float64(r.oursPeak)/float64(r.plainPeak))
}

// reportPages writes what counts of a page of 100 KB besides.
func reportPages(w io.Writer, results []result) {
	head := "\n| page of 100 KB | first byte, ms, p50: plain | captcha | median ratio | quartiles | min…max | peak memory, MB: plain | captcha |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
	for _, r := range results {
		if r.page {
			fmt.Fprintf(w, "%s| %s | %.2f | %.2f | %s | %.1f | %.1f |\n", head, r.name, 1e3*median(r.plain, sample.firstByte), 1e3*median(r.ours, sample.firstByte),
				r.ratios(sample.firstByte), float64(r.plainPeak)/(1<<20), float64(r.oursPeak)/(1<<20))
			head = ""
		}
	}
}

// describe says what is measured, and on what.
func describe(o options) {
	what := o.caddy
	if what == "" {
		commit, _ := exec.Command("git", "-C", "..", "describe", "--always", "--dirty").Output()
		what = "commit " + cmp.Or(strings.TrimSpace(string(commit)), "unknown")
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s; %s; %s, %d cores, GOMAXPROCS of each Caddy %d; load average %s; %d rounds of %v on %d pairs of processes, each of them %d slices warm, %d connections\n\n",
		what, runtime.Version(), processor(), runtime.NumCPU(), o.procs,
		strings.TrimSpace(string(load)), o.rounds, o.slice, o.restarts, o.warm, o.connections)
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return "unknown processor"
}
