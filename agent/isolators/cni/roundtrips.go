package cni

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// maxRoundTrips bounds the connections of a container that are looked at.
const maxRoundTrips = 10_000

// Parts of the kernel's inet_diag.h and tcp.h.
const (
	diagRequestLength = 56 // struct inet_diag_req_v2
	diagAnswerLength  = 72 // struct inet_diag_msg
	diagInfo          = 2  // INET_DIAG_INFO
	diagDestination   = 24 // of the peer's address in an answer
	stateEstablished  = 1
	roundTripOffset   = 68 // tcpi_rtt in struct tcp_info, µs
)

// errNoDiag is what a kernel without a part of itself makes of the question.
var errNoDiag = errors.New("the kernel does not tell of connections; modprobe tcp_diag")

// roundTrips are the smoothed round-trip times, in microseconds, of the TCP connections in a
// namespace, those over loopback apart, as in Mesos.
func roundTrips(namespace string) (out []uint32, err error) {
	err = within(namespace, func() error {
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			question := make([]byte, diagRequestLength)
			question[0], question[1], question[2] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
			binary.NativeEndian.PutUint32(question[4:], 1<<stateEstablished)
			request.AddRawData(question)
			err := request.ExecuteIter(unix.NETLINK_INET_DIAG, 0, func(answer []byte) bool {
				if time, ok := roundTrip(answer); ok {
					out = append(out, time)
				}
				return len(out) < maxRoundTrips
			})
			if errors.Is(err, unix.ENOENT) {
				return errNoDiag
			}
			if err != nil {
				return fmt.Errorf("ask for connections: %w", err)
			}
		}
		return nil
	})
	return out, err
}

// roundTrip reads one answer; ok is false for a connection over loopback.
func roundTrip(answer []byte) (microseconds uint32, ok bool) {
	if len(answer) < diagAnswerLength {
		return 0, false
	}
	peer := netip.AddrFrom16([16]byte(answer[diagDestination:]))
	if answer[0] == unix.AF_INET {
		peer = netip.AddrFrom4([4]byte(answer[diagDestination:]))
	}
	if peer.Unmap().IsLoopback() {
		return 0, false
	}
	attributes, err := nl.ParseRouteAttr(answer[diagAnswerLength:])
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Attr.Type == diagInfo && len(a.Value) >= roundTripOffset+4 {
			return binary.NativeEndian.Uint32(a.Value[roundTripOffset:]), true
		}
	}
	return 0, false
}

// percentiles are not told where there is no connection.
func percentiles(times []uint32, out *mesos.ResourceStatistics) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	at := func(part float64) *float64 {
		value := float64(times[min(int(float64(len(times))*part), len(times)-1)])
		return &value
	}
	out.NetTcpRttMicrosecsP50, out.NetTcpRttMicrosecsP90, out.NetTcpRttMicrosecsP95, out.NetTcpRttMicrosecsP99 = at(.5), at(.9), at(.95), at(.99)
}
