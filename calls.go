package captcha

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// maxCalls is how many calls for visitors' requests one provider gets at once.
// The probe is not among them and never waits behind them: else a flood of tokens
// that look like tokens would make it late, and a late probe is an outage.
const maxCalls = 256

// errCrowded says that no call was made, so it says nothing of the provider.
var errCrowded = errors.New("too many calls to the provider are under way")

// places are those of the calls to one provider, shared out among networks as a
// budget is. Who finds none waits. Networks take turns, and within one it is first
// come, first served.
type places struct {
	mu     sync.Mutex
	taken  budget
	queues []*queue // none of them empty; that of the longest wait for a turn first
}

// queue is one network's calls that wait. Each is a channel, which is closed when
// the call has got its place.
type queue struct {
	of    share
	calls list.List
}

// take waits for a place until ctx is done.
func (p *places) take(ctx context.Context, by share) error {
	p.mu.Lock()
	i := slices.IndexFunc(p.queues, func(q *queue) bool { return q.of == by })
	if i < 0 && p.taken.take(1, 0, by) {
		p.mu.Unlock()
		return nil
	}
	if i < 0 {
		i = len(p.queues)
		p.queues = append(p.queues, &queue{of: by})
	}
	q, turn := p.queues[i], make(chan struct{})
	call := q.calls.PushBack(turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		p.abandon(q, call, turn)
		return errCrowded
	}
}

// abandon takes a call out of its queue. Where its turn came at the last moment, the
// place is the next one's.
func (p *places) abandon(q *queue, call *list.Element, turn <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-turn:
		p.giveLocked(q.of)
		return
	default:
	}
	if q.calls.Remove(call); q.calls.Len() == 0 {
		p.queues = slices.DeleteFunc(p.queues, func(other *queue) bool { return other == q })
	}
}

// give gives a place back.
func (p *places) give(by share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveLocked(by)
}

// giveLocked gives a place back, and what is free then to those whose turn it is: a
// network that has its share is passed over.
func (p *places) giveLocked(by share) {
	p.taken.give(1, by)
	for i := 0; i < len(p.queues); {
		q := p.queues[i]
		if !p.taken.take(1, 0, q.of) {
			i++
			continue
		}
		close(q.calls.Remove(q.calls.Front()).(chan struct{}))
		p.queues = slices.Delete(p.queues, i, i+1)
		if q.calls.Len() > 0 {
			p.queues = append(p.queues, q)
		}
	}
}

// enter takes one of the places that calls to a provider for requests share, for a
// visitor at that address, and waits for one until ctx is done. Whoever has entered
// leaves, with the share that enter returned.
func (l *link) enter(ctx context.Context, ip netip.Addr) (share, error) {
	if l.health == nil {
		return nobodys, nil
	}
	by := shareOf(ip)
	return by, l.health.calls.take(ctx, by)
}

func (l *link) leave(by share) {
	if l.health != nil {
		l.health.calls.give(by)
	}
}
