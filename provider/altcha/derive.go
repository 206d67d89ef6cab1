package altcha

import (
	"context"
	"crypto/pbkdf2"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/scrypt"

	"github.com/caddy-captcha/caddy-captcha/provider/outbound"
)

// Bounds of one derivation. All of it is signed by the ALTCHA server, so they
// guard against its settings, not against visitors. The dearest takes about half
// a second.
const (
	maxKeyLength  = 64
	maxIterations = 1_000_000 // of SHA and PBKDF2
	maxMemory     = 64 << 20  // bytes, of SCRYPT and ARGON2ID
	maxPasses     = 16        // of ARGON2ID
	maxLanes      = 8
)

// At most so many derivations run at once in this process; the others wait. A
// memory-hard one holds up to maxMemory.
var (
	slots       = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	memorySlots = make(chan struct{}, 2)
)

// derivation is the work that a solution of the protocol v2 claims to have done:
// the key that a function derives from salt and from nonce with counter begins
// with prefix.
type derivation struct {
	algorithm   string
	nonce, salt []byte
	cost        int64
	keyLength   int64
	memoryCost  int64
	parallelism int64
	prefix      string // lower-case hex, of odd length too

	counter uint32
	key     string // lower-case hex, as the client says
}

// bounds says why the parameters are not accepted, or nothing.
func (d *derivation) bounds() string {
	if d.keyLength < 1 || d.keyLength > maxKeyLength {
		return "keyLength is not from 1 to 64"
	}
	if d.cost < 1 || d.cost > maxIterations {
		return "cost is not from 1 to 1000000"
	}
	if d.parallelism < 1 || d.parallelism > maxLanes {
		return "parallelism is not from 1 to 8"
	}
	switch d.algorithm {
	case "SCRYPT": // cost is N, memoryCost is r
		if d.memoryCost < 1 || d.memoryCost > maxMemory/128 || d.cost < 2 || d.cost&(d.cost-1) != 0 ||
			128*d.cost*d.memoryCost > maxMemory || 128*d.cost*d.memoryCost*d.parallelism > 4*maxMemory {
			return "cost of SCRYPT is not a power of two, or it needs more than 64 MiB or 256 MiB of work"
		}
	case "ARGON2ID": // cost is passes, memoryCost is KiB
		if d.cost > maxPasses || d.memoryCost < 8*d.parallelism || d.memoryCost > maxMemory>>10 ||
			d.cost*d.memoryCost > 4*maxMemory>>10 || d.keyLength < 4 {
			return "ARGON2ID needs more than 64 MiB, 256 MiB of work or 16 passes, or too little memory"
		}
	default:
		h, iterated := d.hash()
		if h == nil {
			return "the algorithm is none of SHA-*, PBKDF2/SHA-*, SCRYPT and ARGON2ID"
		}
		if iterated { // there is no more of it
			d.keyLength = min(d.keyLength, int64(h().Size()))
		}
	}
	return ""
}

// hash returns the hash of an algorithm that is built on one, and whether it is
// the hash alone, iterated.
func (d *derivation) hash() (h func() hash.Hash, iterated bool) {
	name, once := strings.CutPrefix(d.algorithm, "PBKDF2/")
	return hashes[name], !once
}

// answer reads a solution, or says what is wrong with it.
func (d *derivation) answer(solution value) string {
	counter, ok := solution.get("counter").integer()
	if !ok || counter > math.MaxUint32 {
		return "counter is not an integer of 32 bits"
	}
	d.counter = uint32(counter) //nolint:gosec // checked above
	if key := solution.get("derivedKey"); key.kind == '"' {
		d.key = key.text
	}
	switch {
	case !isHex(d.key, int(2*d.keyLength)):
		return "derivedKey is not lower-case hex of keyLength bytes"
	case !strings.HasPrefix(d.key, d.prefix):
		return "derivedKey does not begin with keyPrefix"
	}
	return ""
}

// check derives the key, waiting for a slot, and compares it with the client's
// and with the prefix.
func (d *derivation) check(ctx context.Context) (bool, error) {
	queue := slots
	if d.algorithm == "SCRYPT" || d.algorithm == "ARGON2ID" {
		queue = memorySlots
	}
	select {
	case queue <- struct{}{}:
		defer func() { <-queue }()
	case <-ctx.Done():
		fault := outbound.Unavailable("too many keys are being derived at once")
		fault.Again = true
		return false, fault
	}
	key, err := d.derive()
	if err != nil {
		return false, err
	}
	got := hex.EncodeToString(key)
	equal := subtle.ConstantTimeCompare([]byte(got), []byte(d.key)) == 1
	return equal && strings.HasPrefix(got, d.prefix), nil
}

// derive computes the key. The password is the nonce with the counter as a
// big-endian integer of 32 bits behind it.
func (d *derivation) derive() ([]byte, error) {
	password := binary.BigEndian.AppendUint32(append([]byte(nil), d.nonce...), d.counter)
	switch d.algorithm {
	case "SCRYPT":
		return scrypt.Key(password, d.salt, int(d.cost), int(d.memoryCost), int(d.parallelism), int(d.keyLength))
	case "ARGON2ID":
		return argon2.IDKey(password, d.salt, uint32(d.cost), uint32(d.memoryCost), uint8(d.parallelism), uint32(d.keyLength)), nil //nolint:gosec // newDerivation has checked them
	}
	h, iterated := d.hash()
	if !iterated {
		return pbkdf2.Key(h, string(password), d.salt, int(d.cost), int(d.keyLength))
	}
	sum := h()
	sum.Write(d.salt)
	sum.Write(password)
	key := sum.Sum(nil)
	for range d.cost - 1 {
		sum.Reset()
		sum.Write(key)
		key = sum.Sum(key[:0])
	}
	return key[:d.keyLength], nil
}
