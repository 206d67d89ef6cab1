//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

var perMillion = regexp.MustCompile(`([0-9.]+) MB/million`)

// spentTokens asks the Go benchmark of the store: through a server, a million
// tokens would take as long as all other cases.
func spentTokens(ctx context.Context, _ *bench) (figure, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkBytesPerMillion$", "-benchtime", "1x", "./store/memory")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	m := perMillion.FindSubmatch(out)
	if err != nil || m == nil {
		return figure{}, fmt.Errorf("go %v: %w: %s", cmd.Args[1:], err, out)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	return figure{
		table: fmt.Sprintf("| spent tokens in the store `memory` | heap, million bytes |\n|--:|--:|\n| 1,000,000 | %.1f |\n", value),
		value: value, limit: 64,
	}, err
}
