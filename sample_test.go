package captcha

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestSampled(t *testing.T) {
	core, written := observer.New(zapcore.InfoLevel)
	logger := sampled(zap.New(core), time.Minute, 2, 10)
	begin := time.Now()
	write := func(logger *zap.Logger, level zapcore.Level, message string, after time.Duration, times int) {
		t.Helper()
		for range times {
			if c := logger.Core().Check(zapcore.Entry{Level: level, Message: message, Time: begin.Add(after)}, nil); c != nil {
				c.Write()
			}
		}
	}
	for _, c := range []struct {
		name    string
		logger  *zap.Logger
		level   zapcore.Level
		message string
		after   time.Duration
		times   int
		want    int
	}{
		{"the first ones, then one in ten", logger, zapcore.WarnLevel, "a", 0, 25, 4},
		{"later in the same span", logger, zapcore.WarnLevel, "a", 59 * time.Second, 7, 1},
		{"with a field more it is the same message", logger.With(zap.Int("x", 1)), zapcore.WarnLevel, "a", 59 * time.Second, 7, 0},
		{"another message", logger, zapcore.WarnLevel, "b", 59 * time.Second, 3, 2},
		{"a level that is off does not count", logger, zapcore.DebugLevel, "c", 0, 30, 0},
		{"so it starts anew", logger, zapcore.WarnLevel, "c", 0, 3, 2},
		{"the next span", logger, zapcore.WarnLevel, "a", time.Minute, 3, 2},
	} {
		before := written.Len()
		if write(c.logger, c.level, c.message, c.after, c.times); written.Len()-before != c.want {
			t.Errorf("%s: %d of %d were written, want %d", c.name, written.Len()-before, c.times, c.want)
		}
	}
}

// TestIdleDirectiveIsSmall: what a directive keeps in memory while nobody uses it.
// A reload has it twice for as long as the old config ends.
func TestIdleDirectiveIsSmall(t *testing.T) {
	const n, most = 200, 64 << 10
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what a finalizer has kept
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	directive := func(i int) string { return fmt.Sprintf("captcha /form-%d* {\n\tprovider pow\n}\n", i) }
	e := serve(t, directive(0)+"respond ok")
	before := heap()
	var site strings.Builder
	for i := range n {
		site.WriteString(directive(i))
	}
	e.load("", site.String()+"respond ok")
	if each := (heap() - before) / n; each > most {
		t.Errorf("each of %d directives keeps %d bytes, want at most %d", n, each, most)
	} else {
		t.Logf("%d bytes each", each)
	}
}
