package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// server is the connection to a Redis, whatever it consists of. It is shared by
// all configs that name the same one.
type server struct {
	options rueidis.ClientOption
	prefix  string
	logger  atomic.Pointer[zap.Logger]
	dials   atomic.Uint64 // connections that were begun; see epoch.go
	memory  memory
	surveys atomic.Bool // whether one is under way

	mu      sync.Mutex
	client  rueidis.Client
	buckets int
	err     error
	opening chan struct{} // closed when the attempt under way has ended
	closed  bool
}

var errClosed = errors.New("the connection to redis is closed")

func newServer(options rueidis.ClientOption, prefix string) *server {
	s := &server{prefix: prefix}
	s.logger.Store(zap.NewNop())
	options.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, t *tls.Config) (net.Conn, error) {
		s.dials.Add(1) // before anything can be sent on it
		if t != nil {
			return (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", address)
		}
		return d.DialContext(ctx, "tcp", address)
	}
	s.options = options
	return s
}

// Destruct implements caddy.Destructor. It lets commands under way finish, and
// does not wait for them.
func (s *server) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.client != nil {
		go s.client.Close()
	}
	return nil
}

// get returns the client. Without one it connects in the background, once for
// all who wait, and waits until ctx is done.
func (s *server) get(ctx context.Context) (rueidis.Client, int, error) {
	s.mu.Lock()
	if s.client != nil || s.closed {
		defer s.mu.Unlock()
		if s.closed {
			return nil, 0, errClosed
		}
		return s.client, s.buckets, nil
	}
	opening := s.opening
	if opening == nil {
		opening = make(chan struct{})
		s.opening = opening
		go s.open(opening)
	}
	s.mu.Unlock()
	select {
	case <-opening:
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("connecting to redis: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil, 0, s.err
	}
	return s.client, s.buckets, nil
}

// open connects. From then on the client library connects again by itself.
func (s *server) open(done chan struct{}) {
	client, err := rueidis.NewClient(s.options)
	buckets := 1
	if err == nil && client.Mode() == rueidis.ClientModeCluster {
		buckets = clusterBuckets
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(done)
	s.opening = nil
	switch {
	case err != nil:
		s.err = fmt.Errorf("connecting to redis: %w", err)
	case s.closed:
		s.err = errClosed
		go client.Close()
	default:
		s.client, s.buckets = client, buckets
		go s.warn(client)
	}
}

// warn looks for a server that may throw away what must be remembered.
func (s *server) warn(client rueidis.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), deadAfter)
	defer cancel()
	for address, node := range client.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		if err != nil {
			continue // it says nothing
		}
		policy := field(info, "maxmemory_policy:")
		if field(info, "maxmemory:") != "0" && policy != "" && policy != "noeviction" {
			s.logger.Load().Warn("redis evicts keys when its memory is full, and a spent token could be used again; set maxmemory-policy noeviction",
				zap.String("address", address), zap.String("maxmemory_policy", policy))
		}
	}
}

func field(info, name string) string {
	_, rest, _ := strings.Cut(info, "\n"+name)
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// clusterBuckets is over how many slots the keys of a cluster spread. Each has
// an epoch of its own, because each may be on a server of its own.
const clusterBuckets = 64

// keyOf is the name of a key of one kind, in the slot of its bucket.
func (s *server) keyOf(kind, key string, buckets int) (name string, bucket int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	bucket = int(h.Sum32() % uint32(buckets)) //nolint:gosec // at most 64
	return s.inBucket(bucket, kind+":"+key), bucket
}

func (s *server) inBucket(bucket int, rest string) string {
	return fmt.Sprintf("%s:{%02d}:%s", s.prefix, bucket, rest)
}

// touch claims or counts a key.
func (s *server) touch(ctx context.Context, what, key string, until time.Time) (int64, error) {
	ttl := time.Until(until)
	if ttl < time.Millisecond {
		if what == "claim" {
			return 0, nil // what is over cannot be kept
		}
		ttl = time.Second // a sum of 1 again and again would be no limit
	}
	client, buckets, err := s.get(ctx)
	if err != nil {
		return 0, err
	}
	name, bucket := s.keyOf(what, key, buckets)
	return s.run(ctx, client, bucket, name, what, ttl)
}

// release deletes a claim.
func (s *server) release(ctx context.Context, key string) error {
	client, buckets, err := s.get(ctx)
	if err != nil {
		return err
	}
	name, _ := s.keyOf("claim", key, buckets)
	return client.Do(ctx, client.B().Del().Key(name).Build()).Error()
}
