package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddy-captcha/caddy-captcha/store"
)

// followAgain is how long to wait before trying to hear again.
const followAgain = 500 * time.Millisecond

// The board lives in one slot: it is small, and rarely written.
func (s *server) boardKey(name string) string { return s.prefix + ":{board}:" + name }

func (s *server) channel() string { return s.prefix + ":{board}:news" }

// maxName is longer than any name on the board.
const maxName = 128

var postScript = rueidis.NewLuaScript(`
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('PUBLISH', ARGV[3], ARGV[4] .. '\n' .. ARGV[1])`)

var leaseScript = rueidis.NewLuaScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// Follow implements store.Board.
func (r *Redis) Follow(ctx context.Context, joined func(), heard func(name string, text []byte)) {
	for ctx.Err() == nil {
		r.server.follow(ctx, joined, heard)
		select {
		case <-ctx.Done():
		case <-time.After(followAgain):
		}
	}
}

// follow hears until the connection is lost. One goroutine calls both functions,
// so that what is read after joining cannot overtake what is heard.
func (s *server) follow(ctx context.Context, joined func(), heard func(name string, text []byte)) {
	client, _, err := s.get(ctx)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	news := make(chan string, 256)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case message := <-news:
				if message == "" {
					joined()
					continue
				}
				if name, text, ok := strings.Cut(message, "\n"); ok && len(name) <= maxName {
					heard(name, []byte(text))
				}
			}
		}
	}()
	give := func(message string) {
		select {
		case news <- message:
		case <-ctx.Done():
		}
	}
	hooked := rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) { give("") })
	_ = client.Receive(hooked, client.B().Subscribe().Channel(s.channel()).Build(), func(m rueidis.PubSubMessage) {
		if m.Message != "" && len(m.Message) <= store.MaxText+maxName {
			give(m.Message)
		}
	})
	cancel()
	<-done
}

// Post implements store.Board.
func (r *Redis) Post(ctx context.Context, name string, text []byte, ttl time.Duration) error {
	s := r.server
	client, _, err := s.get(ctx)
	if err != nil {
		return err
	}
	return postScript.Exec(ctx, client, []string{s.boardKey(name)},
		[]string{string(text), milliseconds(ttl), s.channel(), name}).Error()
}

// Read implements store.Board.
func (r *Redis) Read(ctx context.Context, name string) ([]byte, error) {
	client, _, err := r.server.get(ctx)
	if err != nil {
		return nil, err
	}
	text, err := client.Do(ctx, client.B().Get().Key(r.server.boardKey(name)).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return text, err
}

// Lease implements store.Board.
func (r *Redis) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	client, _, err := r.server.get(ctx)
	if err != nil {
		return false, err
	}
	text := "0"
	if ttl > 0 {
		text = milliseconds(ttl)
	}
	n, err := leaseScript.Exec(ctx, client, []string{r.server.boardKey(name)}, []string{holder, text}).AsInt64()
	return n == 1, err
}

// Secret implements store.Board.
func (r *Redis) Secret(ctx context.Context, offer []byte) ([]byte, error) {
	client, _, err := r.server.get(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := client.Do(ctx, client.B().Set().Key(r.server.boardKey("secret")).Value(rueidis.BinaryString(offer)).Nx().Get().Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return offer, nil // there was none
	}
	return secret, err
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
