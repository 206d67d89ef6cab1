package captcha

import (
	"context"
	"errors"
)

// maxCalls is how many calls for visitors' requests one provider gets at once.
// The probe is not among them and never waits behind them: else a flood of tokens
// that look like tokens would make it late, and a late probe is an outage.
const maxCalls = 256

// errCrowded says that no call was made, so it says nothing of the provider.
var errCrowded = errors.New("too many calls to the provider are under way")

// enter takes one of the places that all calls to a provider for requests share,
// and waits for one until ctx is done. Whoever has entered leaves.
func (l *link) enter(ctx context.Context) error {
	if l.health == nil {
		return nil
	}
	select {
	case l.health.calls <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errCrowded
	}
}

func (l *link) leave() {
	if l.health != nil {
		<-l.health.calls
	}
}
