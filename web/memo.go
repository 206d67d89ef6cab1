package web

import "sync"

// A memo keeps what is expensive to make and cheap to make again. What it is asked
// for is in part the client's word, so it is bounded: where there is no room, it
// begins anew. Whoever asks for odd things pays with the time of their own pages.
type memo[K comparable, V any] struct {
	max  int
	mu   sync.RWMutex
	kept map[K]V
}

func (m *memo[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.kept[k]
	return v, ok
}

func (m *memo[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= m.max {
		m.kept = make(map[K]V)
	}
	m.kept[k] = v
}
