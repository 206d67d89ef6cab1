package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-captcha/caddy-captcha/internal/fleettest"
)

// startSentinel runs a master, a replica and a sentinel.
func startSentinel(t *testing.T) Redis {
	r, _, _ := startReplicas(t)
	return r
}

func startReplicas(t *testing.T) (r Redis, master, replica *fleettest.Redis) {
	t.Helper()
	master = fleettest.StartRedis(t)
	host, port, _ := strings.Cut(master.Addr, ":")
	replica = fleettest.StartRedis(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor fleet %s %s 1\nsentinel down-after-milliseconds fleet 1000\nsentinel failover-timeout fleet 3000\n", host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", fleettest.FreePort(t, "127.0.0.1"))
	_, sentinelPort, _ := strings.Cut(address, ":")
	fleettest.Start(t, nil, "redis-server", conf, "--sentinel", "--port", sentinelPort, "--bind", "127.0.0.1")
	fleettest.Until(t, "the replica to follow its master", 30*time.Second, func() bool {
		return replica.Do("EVAL", `return string.match(redis.call('INFO','replication'), 'master_link_status:(%a+)') or ''`, "0") == "up"
	})
	r = Redis{Address: []string{address}, SentinelMaster: "fleet"}
	fleettest.Until(t, "the sentinel to know the replica", 30*time.Second, func() bool {
		s := fleettest.Redis{Addr: address}
		return strings.HasPrefix(s.Ask("SENTINEL", "REPLICAS", "fleet"), "*1")
	})
	return r, master, replica
}

// startCluster runs three masters.
func startCluster(t *testing.T) Redis {
	r, _ := startNodes(t, 3)
	return r
}

// startNodes runs a cluster of three masters, the other nodes without a slot.
func startNodes(t *testing.T, count int) (Redis, []*fleettest.Redis) {
	t.Helper()
	var addresses []string
	var nodes []*fleettest.Redis
	for range count {
		addr := clusterAddress(t)
		nodes = append(nodes, fleettest.StartRedisAt(t, nil, addr, "--cluster-enabled", "yes"))
		addresses = append(addresses, addr)
	}
	bounds := []int{0, 5461, 10923, 16384}
	for i, n := range nodes {
		if i < 3 {
			n.Do("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(bounds[i]), fmt.Sprint(bounds[i+1]-1))
		}
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		host, port, _ := strings.Cut(nodes[0].Addr, ":")
		n.Do("CLUSTER", "MEET", host, port)
	}
	fleettest.Until(t, "the cluster to form", 60*time.Second, func() bool {
		for _, n := range nodes {
			if !strings.Contains(n.Do("CLUSTER", "INFO"), "cluster_state:ok") {
				return false
			}
			if n.Do("EVAL", `return string.match(redis.call('CLUSTER','INFO'), 'cluster_known_nodes:(%d+)')`, "0") != fmt.Sprint(count) {
				return false
			}
		}
		return true
	})
	return Redis{Address: addresses}, nodes
}

// clusterAddress is a free one whose port 10000 higher, the cluster's own, is
// free too.
func clusterAddress(t *testing.T) string {
	t.Helper()
	port := fleettest.FreePort(t, "127.0.0.1")
	if bus := port + 10000; bus < 65536 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", bus)); err == nil {
			l.Close()
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	return lowPort(t)
}

// lowPort is a free port below those that the system gives away.
func lowPort(t *testing.T) string {
	t.Helper()
	for port := 17000 + os.Getpid()%1000; port < 30000; port += 7 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		l.Close()
		if err == nil {
			bus.Close()
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// startWithACL runs a server whose only user may do what docs/fleet.md grants.
func startWithACL(t *testing.T) Redis {
	server := fleettest.StartRedis(t)
	text, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rule, _ := strings.Cut(string(text), "\nuser captcha ")
	rule, _, _ = strings.Cut(rule, "\n")
	server.Do(append([]string{"ACL", "SETUSER", "captcha"}, strings.Fields(strings.ReplaceAll(rule, "<password>", "secret"))...)...)
	server.Do("ACL", "SETUSER", "default", "off")
	r := at(server)
	r.Username, r.Password = "captcha", "secret"
	return r
}

// startWithTLS runs a server with a certificate that only our file vouches for.
func startWithTLS(t *testing.T) Redis {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // only to see that it has started
	addr := fmt.Sprintf("127.0.0.1:%d", fleettest.FreePort(t, "127.0.0.1"))
	server := fleettest.StartRedisAt(t, secure, addr, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	r := at(server)
	r.TLSTrustedCA = certFile
	return r
}

// The certificate is verified.
func TestUnknownAuthorityIsRefused(t *testing.T) {
	r := startWithTLS(t)
	r.TLS, r.TLSTrustedCA = true, ""
	n := node(t, r)
	fleettest.Until(t, "a word on the certificate", time.Minute, func() bool { // a busy machine may first be too slow
		_, err := n.Claim(t.Context(), "x", soon())
		if err == nil {
			t.Fatal("connected")
		}
		return strings.Contains(err.Error(), "certificate")
	})
}
