package captcha

import (
	"context"
	"sync"
	"time"
)

// deadline is a context with a deadline whose timer runs only once somebody waits
// for it: most tokens are judged without any waiting. It does not end with the
// context that its values are from.
type deadline struct {
	at     time.Time
	values context.Context

	mu     sync.Mutex
	waited context.Context
	cancel context.CancelFunc
	ended  bool
}

// withDeadline returns a context that ends at that time or when end is called.
func withDeadline(values context.Context, at time.Time) *deadline {
	return &deadline{values: values, at: at}
}

// end ends what waits.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}

// wait is the context that those who wait share.
func (d *deadline) wait() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waited == nil {
		d.waited, d.cancel = context.WithDeadline(context.WithoutCancel(d.values), d.at)
		if d.ended {
			d.cancel()
		}
	}
	return d.waited
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }
func (d *deadline) Done() <-chan struct{}       { return d.wait().Done() }

// Err is nil as long as the time has not come.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.waited != nil:
		return d.waited.Err()
	case d.ended:
		return context.Canceled
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return nil
}

// Value asks the waiting context, where there is one: contexts that are made from
// this one find in it whom to join.
func (d *deadline) Value(key any) any {
	d.mu.Lock()
	waited := d.waited
	d.mu.Unlock()
	if waited != nil {
		return waited.Value(key)
	}
	return d.values.Value(key)
}
