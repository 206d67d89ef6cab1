package captcha

import (
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// budget bounds what all requests together may hold, be it bytes or places, and what
// those of one network may beside the first: as much as it leaves to the others. So one
// that takes all it can get has half of the room, a second one a third, and there is
// always some left.
type budget struct {
	limit  atomic.Int64
	used   atomic.Int64
	shares [1 << 8]atomic.Int64 // of used
}

// share is a network among those that hold something. Two may have the same one:
// then they share.
type share uint8

// nobodys is the share of addresses that are no visitor's: a proxy that
// trusted_proxies does not name sends everybody's requests.
const nobodys share = 0

var shareSeed = maphash.MakeSeed()

// shareOf is the share of what one owner of addresses may have: a /24, or the /48
// that a site gets of IPv6 (RFC 6177, section 2), within which it can change its /64
// with every request.
func shareOf(ip netip.Addr) share {
	if !ip.IsValid() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return nobodys
	}
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	owned, _ := ip.Prefix(bits) // the address is valid and long enough
	return 1 + share(maphash.Comparable(shareSeed, owned)%0xff)
}

// take reserves n for a request of a network that holds own already, and reports
// whether there was room.
func (b *budget) take(n, own int64, by share) bool {
	used, mine := b.used.Add(n), b.shares[by].Add(n)
	room, greedy := b.limit.Load()-used, by != nobodys && mine > own+n
	if room < 0 || greedy && mine > room {
		b.give(n, by)
		return false
	}
	return true
}

func (b *budget) give(n int64, by share) {
	b.used.Add(-n)
	b.shares[by].Add(-n)
}

// budgets are the two kinds of room that held bodies take.
type budgets struct {
	memory, disk budget
}

// heldBody is a request body whose beginning was read in search of a token:
// held in memory, from there on in an unlinked temporary file, and the rest
// still with the client. It gives the bytes on as they were received.
//
// A transport may go on reading after the handler has returned, so memory and
// file are let go of under the lock, and only once; later reads fail.
type heldBody struct {
	budgets *budgets
	share   share
	rest    io.ReadCloser

	mu      sync.Mutex
	mem     []byte
	first   *[]byte // mem, where that is from firstRooms
	file    *os.File
	inMem   int64 // bytes in mem
	onDisk  int64 // bytes in file
	off     int64 // how much of both was given on
	ended   error // what reading rest ended with, io.EOF included
	closed  bool
	freed   bool
	memCost int64 // taken from budgets.memory
}

// held is how many bytes were read from the client in search of the token.
func (b *heldBody) held() int64 { return b.inMem + b.onDisk }

func (b *heldBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	if b.off < b.held() {
		defer b.mu.Unlock()
		return b.readHeld(p)
	}
	b.free() // an upload that goes on for minutes holds nothing
	err := b.ended
	b.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return b.rest.Read(p)
}

// readHeld gives on what is held. The lock is held.
func (b *heldBody) readHeld(p []byte) (int, error) {
	if b.off < b.inMem {
		n := copy(p, b.mem[b.off:])
		b.off += int64(n)
		return n, nil
	}
	if left := b.held() - b.off; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.file.ReadAt(p, b.off-b.inMem)
	b.off += int64(n)
	if err == io.EOF {
		err = nil
		if n == 0 {
			err = io.ErrUnexpectedEOF // the file was shortened behind our back
		}
	}
	return n, err
}

// Close implements io.Closer. It leaves the client's side open: a proxy closes
// the body as soon as the app has answered, and a server that finds it closed
// with bytes unread would take those for the next request. The server itself
// closes it, after it has looked.
func (b *heldBody) Close() error {
	b.release()
	return nil
}

// release lets go of memory and file, and makes later reads fail. It is safe
// to call again.
func (b *heldBody) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.free()
}

// free gives back what is held. The lock is held.
func (b *heldBody) free() {
	if b.freed {
		return
	}
	b.freed = true
	b.mem = nil
	b.giveFirst()
	if b.file != nil {
		discard(b.file)
		b.budgets.disk.give(b.onDisk, b.share)
	}
	if b.memCost > 0 {
		b.budgets.memory.give(b.memCost, b.share)
	}
}

// firstRoom is how much memory a body gets at first; most forms need no more, so that
// it is used again.
const firstRoom = 4 << 10

var firstRooms = bufferPool(firstRoom)

// grow makes room in memory for more bytes, up to limit bytes in all, and
// reports whether the budget allows it.
func (b *heldBody) grow(limit int64) bool {
	size := max(firstRoom, 4*int64(cap(b.mem)))
	if size > limit-firstRoom { // what is nearly enough would be copied once more
		size = limit
	}
	more := size - int64(cap(b.mem))
	if !b.budgets.memory.take(more, b.memCost, b.share) {
		return false
	}
	b.memCost += more
	if size == firstRoom {
		b.first = firstRooms.Get().(*[]byte)
		b.mem = (*b.first)[:0]
		return true
	}
	b.mem = append(make([]byte, 0, size), b.mem...)
	b.giveFirst()
	return true
}

// giveFirst gives the first room back.
func (b *heldBody) giveFirst() {
	if b.first != nil {
		firstRooms.Put(b.first)
		b.first = nil
	}
}

// spill appends p to the temporary file.
func (b *heldBody) spill(p []byte) error {
	if b.file == nil {
		file, err := tempFile()
		if err != nil {
			return err
		}
		b.file = file
	}
	if !b.budgets.disk.take(int64(len(p)), b.onDisk, b.share) {
		return errNoRoom
	}
	n, err := b.file.Write(p)
	b.onDisk += int64(n)
	if n < len(p) {
		b.budgets.disk.give(int64(len(p)-n), b.share)
	}
	return err
}

// errNoRoom is returned where all requests together hold as much as they may.
var errNoRoom = errors.New("no room to hold another request body")

// tempFile returns a file that nobody else can open and that is gone when it
// is closed, also after a crash, where the system allows it.
func tempFile() (*os.File, error) {
	file, err := os.CreateTemp("", "caddy-captcha-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // Windows refuses; discard tries again
	return file, nil
}

func discard(file *os.File) {
	_ = file.Close()
	if runtime.GOOS == "windows" {
		_ = os.Remove(file.Name()) //nolint:gosec // our own temporary file
	}
}
