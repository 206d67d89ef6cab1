//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

// door is an address that can refuse. A second socket keeps the port while it
// does: it is bound, and does not listen.
type door struct {
	addr     string
	holder   int
	listener net.Listener
}

const soReusePort = 0xf // SO_REUSEPORT, which the package syscall lacks

func newDoor() (*door, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := &door{holder: fd}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return nil, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	d.addr = (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	return d, nil
}

// open begins to listen.
func (d *door) open(server *http.Server) error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "tcp", d.addr)
	if err != nil {
		return err
	}
	d.listener = l
	go func() { _ = server.Serve(l) }()
	return nil
}

// shut refuses connections from now on.
func (d *door) shut() error {
	if d.listener == nil {
		return nil
	}
	err := d.listener.Close()
	d.listener = nil
	return err
}

// free gives the port back.
func (d *door) free() { _ = syscall.Close(d.holder) }
