// Package redis is the store of a fleet: Redis 7 or later, or Valkey, as one
// server, behind sentinels, or as a cluster. Link it with a second --with:
//
//	xcaddy build --with github.com/caddy-captcha/caddy-captcha \
//	             --with github.com/caddy-captcha/caddy-captcha/store/redis
package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/rueidis"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-captcha/caddy-captcha/internal/placeholder"
	"github.com/caddy-captcha/caddy-captcha/store"
)

func init() {
	caddy.RegisterModule(new(Redis))
}

// Redis shares spent tokens, counts of clearances and the health of providers
// between the nodes of a fleet. One connection to each server is enough: many
// requests' commands travel on it together, and each takes one round trip.
//
// A server that evicts keys forgets what is spent: set maxmemory-policy
// noeviction. That its memory was lost (a restart, FLUSHALL, a failover to a
// replica, an old snapshot) is noticed: see the package's file epoch.go.
type Redis struct {
	// Address lists host:port of the server; of any servers of a cluster; or of
	// the sentinels. Several without sentinel_master are a cluster's.
	// Default: localhost:6379.
	Address []string `json:"address,omitempty"`

	// SentinelMaster is the name under which the sentinels know the master.
	// Default: none, Address is the server itself.
	SentinelMaster string `json:"sentinel_master,omitempty"`

	// SentinelUsername and SentinelPassword log in to the sentinels. Default:
	// none; those of the server are not tried.
	SentinelUsername string `json:"sentinel_username,omitempty"`
	SentinelPassword string `json:"sentinel_password,omitempty"`

	// Username is the ACL user. Default: the server's user default.
	Username string `json:"username,omitempty"`

	// Password of the user. Default: none.
	Password string `json:"password,omitempty"`

	// DB is the number of the database, at least 0. A cluster has only 0.
	// Default: 0.
	DB int `json:"db,omitempty"`

	// TLS encrypts, to the sentinels too, and verifies the servers' certificates.
	// Default: false.
	TLS bool `json:"tls,omitempty"`

	// TLSTrustedCA is the path of a PEM file with the authorities that may have
	// signed the servers' certificates. It implies TLS. Default: the system's.
	TLSTrustedCA string `json:"tls_trusted_ca,omitempty"`

	// Prefix begins every key and the channel, for a server that others use too:
	// letters, digits and _ - . : /, at most 64. Nodes with the same prefix are
	// one fleet. Default: captcha.
	Prefix string `json:"prefix,omitempty"`

	logger   *zap.Logger
	final    settings
	server   *server // outlives Cleanup, because requests in flight do
	acquired bool
}

// settings are the options with their placeholders resolved.
type settings struct {
	Address                            []string
	SentinelMaster                     string
	SentinelUsername, SentinelPassword string
	Username, Password                 string
	DB                                 int
	TLS                                bool
	CA                                 string
	Prefix                             string
}

const (
	defaultAddress = "localhost:6379"
	defaultPrefix  = "captcha"
	maxDB          = 1 << 16

	// dialTimeout bounds a new connection, and deadAfter the silence of one
	// that should have answered.
	dialTimeout = 2 * time.Second
	deadAfter   = 3 * time.Second
	// lookAtSentinels is how often they are asked who the master is, beside
	// what they tell by themselves.
	lookAtSentinels = 5 * time.Second
	lookAtCluster   = 30 * time.Second
	bufferSize      = 64 << 10
)

// CaddyModule returns the Caddy module information.
func (*Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  store.Namespace + ".redis",
		New: func() caddy.Module { return new(Redis) },
	}
}

// Provision prepares the connection, and touches no network: the first use
// connects. Configurations that say the same share the connection.
func (r *Redis) Provision(ctx caddy.Context) error {
	r.logger = ctx.Logger()
	if err := r.resolve(); err != nil {
		return err
	}
	options, err := r.final.client()
	if err != nil {
		return err
	}
	key, err := json.Marshal(r.final)
	if err != nil {
		return err
	}
	pooled, _, err := pool.LoadOrNew(string(key), func() (caddy.Destructor, error) {
		return newServer(options, r.final.Prefix), nil
	})
	if err != nil {
		return err
	}
	r.server, r.acquired = pooled.(*server), true
	r.server.logger.Store(r.logger)
	return nil
}

// resolve fills in placeholders and defaults. The configured values stay as
// they are, so that no secret is written back.
func (r *Redis) resolve() error {
	s := settings{
		Address: append([]string(nil), r.Address...), SentinelMaster: r.SentinelMaster,
		SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword,
		Username: r.Username, Password: r.Password, DB: r.DB, TLS: r.TLS, CA: r.TLSTrustedCA, Prefix: r.Prefix,
	}
	if len(s.Address) == 0 {
		s.Address = []string{defaultAddress}
	}
	if s.Prefix == "" {
		s.Prefix = defaultPrefix
	}
	texts := map[string]*string{
		"sentinel_master": &s.SentinelMaster, "sentinel_username": &s.SentinelUsername, "sentinel_password": &s.SentinelPassword,
		"username": &s.Username, "password": &s.Password, "tls_trusted_ca": &s.CA, "prefix": &s.Prefix,
	}
	for i := range s.Address {
		texts[fmt.Sprintf("address %d", i+1)] = &s.Address[i]
	}
	for name, text := range texts {
		if err := placeholder.Resolve(name, text); err != nil {
			return fmt.Errorf("store redis: %w", err)
		}
	}
	r.final = s
	return nil
}

// client are the options of the client library.
func (s settings) client() (rueidis.ClientOption, error) {
	o := rueidis.ClientOption{
		InitAddress: s.Address, Username: s.Username, Password: s.Password, SelectDB: s.DB,
		Dialer:           net.Dialer{Timeout: dialTimeout},
		ConnWriteTimeout: deadAfter,
		// one connection; nothing is cached
		PipelineMultiplex:   -1,
		DisableCache:        true,
		ReadBufferEachConn:  bufferSize,
		WriteBufferEachConn: bufferSize,
		ClientName:          "caddy-captcha",
		ClientSetInfo:       rueidis.DisableClientSetInfo,
		ClusterOption:       rueidis.ClusterOption{ShardsRefreshInterval: lookAtCluster, MaxMovedRedirections: 5},
	}
	if s.TLS || s.CA != "" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return o, fmt.Errorf("store redis: tls_trusted_ca: %w", err)
		}
		o.TLSConfig.RootCAs = x509.NewCertPool()
		if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("store redis: tls_trusted_ca: %s has no certificate in PEM format", s.CA)
		}
	}
	if s.SentinelMaster != "" {
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: s.SentinelMaster, Username: s.SentinelUsername, Password: s.SentinelPassword,
			Dialer: o.Dialer, TLSConfig: o.TLSConfig, TopologyRefreshInterval: lookAtSentinels,
		}
	}
	return o, nil
}

var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,64}$`)

// Validate checks the final values.
func (r *Redis) Validate() error {
	s := r.final
	for _, a := range s.Address {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("store redis: address %q must be host:port, such as redis.internal:6379", a)
		}
	}
	switch {
	case s.DB < 0 || s.DB > maxDB:
		return fmt.Errorf("store redis: db must be from 0 to %d, got %d", maxDB, s.DB)
	case s.DB != 0 && len(s.Address) > 1 && s.SentinelMaster == "":
		return errors.New("store redis: a cluster has only db 0; leave db out, or write one address")
	case s.Username != "" && s.Password == "":
		return errors.New("store redis: username needs a password")
	case s.SentinelMaster == "" && (s.SentinelUsername != "" || s.SentinelPassword != ""):
		return errors.New("store redis: sentinel_username and sentinel_password need sentinel_master")
	case s.SentinelUsername != "" && s.SentinelPassword == "":
		return errors.New("store redis: sentinel_username needs a sentinel_password")
	case !validPrefix.MatchString(s.Prefix):
		return fmt.Errorf("store redis: prefix must be 1 to 64 letters, digits and _ - . : /, got %q", s.Prefix)
	}
	return nil
}

// Cleanup gives up this config's hold on the connection.
func (r *Redis) Cleanup() error {
	if !r.acquired {
		return nil
	}
	r.acquired = false
	key, err := json.Marshal(r.final)
	if err != nil {
		return err
	}
	_, err = pool.Delete(string(key))
	return err
}

// Claim spends key until the given time, in one round trip. Exactly one caller in
// the fleet is told true, for as long as Redis keeps its memory; that it did not
// is in Since before this returns.
func (r *Redis) Claim(ctx context.Context, key string, until time.Time) (bool, error) {
	n, err := r.server.touch(ctx, "claim", key, until)
	return n == 1, err
}

// Release lets go of a claim.
func (r *Redis) Release(ctx context.Context, key string) error {
	return r.server.release(ctx, key)
}

// Count adds one to the key's counter and returns the sum, in one round trip.
func (r *Redis) Count(ctx context.Context, key string, until time.Time) (int64, error) {
	return r.server.touch(ctx, "count", key, until)
}

// Since is when the memory of the Redis servers began, as far as this node has
// noticed; of several, the one that began last.
func (r *Redis) Since() time.Time { return r.server.memory.begin() }

// MarshalLogObject keeps passwords out of the log.
func (r *Redis) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("address", strings.Join(r.Address, " "))
	enc.AddString("prefix", r.Prefix)
	return nil
}

// pool holds the connections for as long as a config uses them.
var pool = caddy.NewUsagePool()

// Interface guards.
var (
	_ store.Store             = (*Redis)(nil)
	_ store.Board             = (*Redis)(nil)
	_ caddy.Provisioner       = (*Redis)(nil)
	_ caddy.Validator         = (*Redis)(nil)
	_ caddy.CleanerUpper      = (*Redis)(nil)
	_ zapcore.ObjectMarshaler = (*Redis)(nil)
)
