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

const (
	stateListen   = 10 // TCP_LISTEN of the kernel's tcp_states.h
	requestLength = 56 // struct inet_diag_req_v2
	answerLength  = 72 // struct inet_diag_msg
)

// Listening asks the kernel for the TCP sockets that listen in this network namespace. It
// leaves out all others there, which may be many.
func Listening() (Sockets, error) {
	out := Sockets{}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		request.AddRawData(question(family))
		answers, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil, errors.New("list listening sockets: the kernel does not tell of them; modprobe tcp_diag")
		}
		if err != nil {
			return nil, fmt.Errorf("list listening sockets: %w", err)
		}
		for _, a := range answers {
			if len(a) < answerLength {
				return nil, fmt.Errorf("list listening sockets: an answer of %d bytes", len(a))
			}
			out[binary.NativeEndian.Uint32(a[68:])] = binary.BigEndian.Uint16(a[4:])
		}
	}
	return out, nil
}

func question(family byte) []byte {
	out := make([]byte, requestLength)
	out[0], out[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(out[4:], 1<<stateListen)
	return out
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
				out = out.Add(resources.NewRanges(resources.Range{Begin: uint64(port), End: uint64(port)}))
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
