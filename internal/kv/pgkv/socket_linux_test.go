package pgkv

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDeafTime: the kernel is told when to give up a connection that nobody answers.
func TestDeafTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, err := parse("postgres://u@" + l.Addr().String() + "/db")
	if err != nil {
		t.Fatal(err)
	}
	c, err := cfg.servers[0].ConnConfig.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	err1 := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
	if err1 != nil || err != nil || int64(got) != deafTime.Milliseconds() {
		t.Errorf("%d ms (%v, %v)", got, err1, err)
	}
}
