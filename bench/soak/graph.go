//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The graph's measures, in pixels.
const (
	graphWidth  = 960
	graphLeft   = 70
	graphRight  = 16
	panelHeight = 96
	panelGap    = 44
	graphTop    = 30
	columns     = 400 // points of a curve at most
)

const graphStyle = `<style>
svg{background:#fff}text{fill:#222}.axis{stroke:#999;fill:none}.curve{stroke:#1d4ed8;fill:none;stroke-width:1.5}
.reload{stroke:#000;stroke-opacity:.1}.refused{stroke:#dc2626;stroke-opacity:.45}.fault{fill:#d97706;fill-opacity:.16}.outage{fill:#dc2626;fill-opacity:.14}
@media (prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.axis{stroke:#6e7681}.curve{stroke:#79b8ff}
.reload{stroke:#fff;stroke-opacity:.14}.refused{stroke:#ff7b72;stroke-opacity:.6}.fault{fill-opacity:.26}.outage{fill-opacity:.26}}
</style>
`

// graph draws one panel for each series, above one time axis.
func (s *soak) graph() string {
	list := allSeries()
	height := graphTop + len(list)*(panelHeight+panelGap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-labelledby="t d">
<title id="t">What one Caddy with captcha takes under load</title>
<desc id="d">Memory, goroutines, open files and temporary files over the time of the load, with its reloads and the faults of providers.</desc>
`, graphWidth, height, graphWidth, height)
	b.WriteString(graphStyle)
	for i, x := range list {
		s.panel(&b, x, graphTop+i*(panelHeight+panelGap))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// x is where a time stands.
func (s *soak) x(t time.Time) float64 {
	share := t.Sub(s.loadFrom).Seconds() / s.loadTo.Sub(s.loadFrom).Seconds()
	return graphLeft + min(max(share, 0), 1)*(graphWidth-graphLeft-graphRight)
}

func (s *soak) panel(b *strings.Builder, x series, top int) {
	at, v := s.watch.values(x)
	high := 1.0
	for _, value := range v {
		high = max(high, value/x.scale)
	}
	high = round(high)
	bottom := top + panelHeight
	for _, g := range s.providers {
		for _, sp := range g.spans {
			class := "fault"
			if sp.fault.outage() {
				class = "outage"
			}
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/>`, class, s.x(sp.from), top, max(s.x(sp.to)-s.x(sp.from), 0.5), panelHeight)
		}
	}
	var good, refused strings.Builder
	for _, r := range s.reloads {
		into := &good
		if r.broken != "" {
			into = &refused
		}
		fmt.Fprintf(into, "M%.1f %dV%d", s.x(r.at), top, bottom)
	}
	fmt.Fprintf(b, "\n<path class=\"reload\" d=\"%s\"/><path class=\"refused\" d=\"%s\"/>\n", good.String(), refused.String())
	title := x.name
	if x.unit != "" {
		title += ", " + x.unit
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text><text x="%d" y="%d" text-anchor="end">%g</text><text x="%d" y="%d" text-anchor="end">0</text>`+"\n",
		graphLeft, top-8, title, graphLeft-8, top+10, high, graphLeft-8, bottom)
	fmt.Fprintf(b, `<path class="axis" d="M%d %dV%dH%d"/>`, graphLeft, top, bottom, graphWidth-graphRight)
	for i := range 5 {
		t := s.loadFrom.Add(s.loadTo.Sub(s.loadFrom) * time.Duration(i) / 4)
		anchor := []string{"start", "middle", "middle", "middle", "end"}[i]
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="%s">%s</text>`, s.x(t), bottom+15, anchor, clock(t.Sub(s.loadFrom)))
	}
	fmt.Fprintf(b, "\n<path class=\"curve\" d=\"%s\"/>\n", s.curve(at, v, x.scale, high, float64(bottom)))
}

// curve takes the highest value where several fall into one column.
func (s *soak) curve(at []time.Time, v []float64, scale, high, bottom float64) string {
	var b strings.Builder
	step := 'M'
	for i := 0; i < len(at); {
		column := func(t time.Time) int {
			return int(columns * (s.x(t) - graphLeft) / (graphWidth - graphLeft - graphRight))
		}
		here, most := column(at[i]), v[i]
		for i++; i < len(at) && column(at[i]) == here; i++ {
			most = max(most, v[i])
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", step, s.x(at[i-1]), bottom-panelHeight*most/scale/high)
		step = 'L'
	}
	return b.String()
}

// round makes a number that reads well, not below n.
func round(n float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(n)))
	for _, k := range []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if k*unit >= n {
			return k * unit
		}
	}
	return 10 * unit
}

func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}
