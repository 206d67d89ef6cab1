package captcha

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// sampled is a logger that writes the first lines of each span of time, and then
// one in so many, of each message.
//
// zap's own sampler has room for 28,672 messages from the start, half a megabyte
// in each logger. A directive has three such loggers, with a handful of messages.
func sampled(logger *zap.Logger, span time.Duration, first, oneIn int) *zap.Logger {
	s := &sample{span: span, first: first, oneIn: oneIn}
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return &sampledCore{core, s}
	}))
}

// sampledCore drops what is too much.
type sampledCore struct {
	zapcore.Core
	sample *sample
}

// With implements zapcore.Core.
func (c *sampledCore) With(fields []zapcore.Field) zapcore.Core {
	return &sampledCore{c.Core.With(fields), c.sample}
}

// Check implements zapcore.Core.
func (c *sampledCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) || !c.sample.take(e.Message, e.Time) {
		return ce
	}
	return c.Core.Check(e, ce)
}

// sample counts messages. They are written in our source, so they are few.
type sample struct {
	span         time.Duration
	first, oneIn int

	mu     sync.Mutex
	counts map[string]*messageCount
}

type messageCount struct {
	until time.Time // end of the span
	n     int
}

// take reports whether a message is to be written.
func (s *sample) take(message string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[message]
	if c == nil {
		if s.counts == nil {
			s.counts = make(map[string]*messageCount)
		}
		c = new(messageCount)
		s.counts[message] = c
	}
	if !now.Before(c.until) {
		*c = messageCount{until: now.Add(s.span)}
	}
	c.n++
	return c.n <= s.first || (c.n-s.first)%s.oneIn == 0
}
