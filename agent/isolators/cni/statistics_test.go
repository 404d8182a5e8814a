package cni

import (
	"encoding/binary"
	"net/netip"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

func TestTrafficIsSummedWithoutLoopback(t *testing.T) {
	out := &mesos.ResourceStatistics{}
	traffic(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     900       9    0    0    0     0          0         0      900       9    0    0    0     0       0          0
  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
  eth1:       5       1    0    0    0     0          0         0        7       1    0    0    0     0       0          0
 short: 1 2
`, out)
	want := &mesos.ResourceStatistics{NetRxBytes: proto.Uint64(1005), NetRxPackets: proto.Uint64(11), NetRxErrors: proto.Uint64(1), NetRxDropped: proto.Uint64(2),
		NetTxBytes: proto.Uint64(2007), NetTxPackets: proto.Uint64(21), NetTxErrors: proto.Uint64(3), NetTxDropped: proto.Uint64(4)}
	if !proto.Equal(out, want) {
		t.Errorf("got %v, want %v", out, want)
	}
}

func TestCountersOfTheKernelHaveMesossNames(t *testing.T) {
	got := snmp(`Ip: Forwarding DefaultTTL InReceives OutTransmits
Ip: 1 64 123 9
Icmp: InMsgs InErrors
Icmp: 4 5
IcmpMsg: InType3
IcmpMsg: 7
Tcp: RtoAlgorithm MaxConn CurrEstab RetransSegs
Tcp: 1 -1 3 8 99
Udp: InDatagrams NoPorts MemErrors
Udp: 10 junk 1
UdpLite: InDatagrams
UdpLite: 77
`)
	want := &mesos.SNMPStatistics{}
	if err := prototext.Unmarshal([]byte(`ip_stats { Forwarding: 1 DefaultTTL: 64 InReceives: 123 } icmp_stats { InMsgs: 4 InErrors: 5 }
		tcp_stats { RtoAlgorithm: 1 MaxConn: -1 CurrEstab: 3 RetransSegs: 8 } udp_stats { InDatagrams: 10 }`), want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	active, waiting := sockets("sockets: used 9\nTCP: inuse 3 orphan 0 tw 2 alloc 5 mem 0\nUDP: inuse 7 mem 0\n")
	active6, waiting6 := sockets("TCP6: inuse 4\nUDP6: inuse 1\n")
	if active != 3 || waiting != 2 || active6 != 4 || waiting6 != 0 {
		t.Errorf("got %v %v, %v %v", active, waiting, active6, waiting6)
	}
}

func TestRoundTripsOfLoopbackAreLeftOut(t *testing.T) {
	for _, c := range []struct {
		peer string
		info int
		want bool
	}{{"192.0.2.1", 72, true}, {"2001:db8::1", 104, true}, {"127.0.0.1", 72, false}, {"::1", 72, false}, {"::ffff:127.0.0.1", 72, false}, {"192.0.2.1", 8, false}} {
		answer := make([]byte, diagAnswerLength)
		peer := netip.MustParseAddr(c.peer)
		answer[0] = unix.AF_INET6
		if peer.Is4() {
			answer[0] = unix.AF_INET
		}
		copy(answer[diagDestination:], peer.AsSlice())
		info := make([]byte, c.info)
		if c.info > roundTripOffset {
			binary.NativeEndian.PutUint32(info[roundTripOffset:], 250)
		}
		answer = append(answer, nl.NewRtAttr(diagInfo, info).Serialize()...)
		got, ok := roundTrip(answer)
		if ok != c.want || ok && got != 250 {
			t.Errorf("%+v: got %d, %t", c, got, ok)
		}
	}
	if _, ok := roundTrip(nil); ok {
		t.Error("no answer has a time")
	}
}

func TestPercentilesOfRoundTrips(t *testing.T) {
	out := &mesos.ResourceStatistics{}
	if percentiles(nil, out); out.NetTcpRttMicrosecsP50 != nil {
		t.Error("no connection has a time")
	}
	var times []uint32
	for n := range uint32(100) {
		times = append(times, 100-n)
	}
	percentiles(times, out)
	if out.GetNetTcpRttMicrosecsP50() != 51 || out.GetNetTcpRttMicrosecsP90() != 91 || out.GetNetTcpRttMicrosecsP95() != 96 || out.GetNetTcpRttMicrosecsP99() != 100 {
		t.Errorf("got %v", out)
	}
}
