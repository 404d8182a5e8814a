package ports

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"agora.dev/agora/resources"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Sockets are those that listen, by inode.
type Sockets map[uint32]uint16

// Of the kernel's tcp_states.h and inet_diag.h.
const (
	stateListen   = 10 // TCP_LISTEN
	stateClose    = 7  // TCP_CLOSE: a datagram socket that is bound and has no peer
	requestLength = 56 // struct inet_diag_req_v2
	answerLength  = 72 // struct inet_diag_msg
)

// question is what is asked for sockets of one protocol.
type question struct {
	protocol, state byte
	module          string // of the kernel, which answers
}

// Listening asks the kernel for the TCP sockets that listen in this network namespace. It
// leaves out all others there, which may be many. With datagrams, UDP sockets that are bound
// and wait for anybody count, too: but not those on ports that the kernel gives to clients,
// which look the same.
func Listening(datagrams bool) (Sockets, error) {
	out := Sockets{}
	if err := out.ask(question{unix.IPPROTO_TCP, stateListen, "tcp_diag"}, nil); err != nil || !datagrams {
		return out, err
	}
	clients, err := clientPorts()
	if err != nil {
		return nil, err
	}
	return out, out.ask(question{unix.IPPROTO_UDP, stateClose, "udp_diag"}, clients)
}

// ask adds the sockets of both kinds of addresses, those on the ports but apart.
func (s Sockets) ask(q question, but resources.Ranges) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		request.AddRawData(q.of(family))
		answers, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("list listening sockets: the kernel does not tell of them; modprobe %s", q.module)
		}
		if err != nil {
			return fmt.Errorf("list listening sockets: %w", err)
		}
		for _, a := range answers {
			if len(a) < answerLength {
				return fmt.Errorf("list listening sockets: an answer of %d bytes", len(a))
			}
			port := binary.BigEndian.Uint16(a[4:])
			if !but.Contains(single(uint64(port))) {
				s[binary.NativeEndian.Uint32(a[68:])] = port
			}
		}
	}
	return nil
}

func (q question) of(family byte) []byte {
	out := make([]byte, requestLength)
	out[0], out[1] = family, q.protocol
	binary.NativeEndian.PutUint32(out[4:], 1<<q.state)
	return out
}

// clientPorts are those that the kernel picks from for who binds none.
func clientPorts() (resources.Ranges, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil, fmt.Errorf("ports of clients: %w", err)
	}
	var r resources.Range
	if _, err := fmt.Sscan(string(text), &r.Begin, &r.End); err != nil {
		return nil, fmt.Errorf("ports of clients: %q: %w", text, err)
	}
	return resources.NewRanges(r), nil
}

func single(port uint64) resources.Ranges {
	return resources.NewRanges(resources.Range{Begin: port, End: port})
}

// Held are the ports of the sockets that a process has open. One that has ended has none.
func (s Sockets) Held(pid int) (out resources.Ranges, err error) {
	dir, err := os.Open("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return nil, ended(err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			port, ok := s.at(dir, name)
			if ok {
				out = out.Add(single(uint64(port)))
			}
		}
		if err != nil || len(names) == 0 {
			return out, nil
		}
	}
}

// at is the port that a descriptor listens on.
func (s Sockets) at(dir *os.File, name string) (port uint16, ok bool) {
	var buffer [64]byte
	n, err := unix.Readlinkat(int(dir.Fd()), name, buffer[:])
	if err != nil {
		return 0, false
	}
	text, ok := strings.CutPrefix(string(buffer[:n]), "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
	if err != nil {
		return 0, false
	}
	port, ok = s[uint32(inode)]
	return port, ok
}

func ended(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return fmt.Errorf("list open files: %w", err)
}
