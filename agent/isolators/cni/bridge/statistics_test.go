package bridge_test

import (
	"context"
	"io"
	"net"
	"testing"

	"agora.dev/agora/agent/isolators/cni"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"golang.org/x/sys/unix"
)

// resident is a thread in a namespace, which stands for a process of a container.
func resident(t *testing.T, namespace string) (tid int) {
	t.Helper()
	there, leave := make(chan int), make(chan struct{})
	go netkit.Inside(t, namespace, func() error {
		there <- unix.Gettid()
		<-leave
		return nil
	})
	t.Cleanup(func() { close(leave) })
	return <-there
}

func TestStatisticsOfAContainersNetwork(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	outside := neighbour(t)
	a, b := m.attach("a", mapping(18080, 80, "tcp")), m.attach("b")
	defer func() {
		for _, id := range []string{"a", "b"} {
			if err := m.Detach(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	}()
	var l net.Listener
	netkit.Inside(t, a.Namespace, func() (err error) { l, err = net.Listen("tcp", ":80"); return err })
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	netkit.Inside(t, outside, func() (err error) { c, err = net.Dial("tcp", "192.0.2.1:18080"); return err })
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	busy, idle, none := &mesos.ResourceStatistics{}, &mesos.ResourceStatistics{}, &mesos.ResourceStatistics{}
	m.Usage("a", resident(t, a.Namespace), busy)
	m.Usage("b", resident(t, b.Namespace), idle)
	m.Usage("on the host's network", unix.Getpid(), none)
	tcp := busy.GetNetSnmpStatistics().GetTcpStats()
	if tcp.GetPassiveOpens() != 1 || tcp.GetCurrEstab() != 1 || tcp.GetActiveOpens() != 0 || tcp.GetInSegs() < 3 || busy.GetNetSnmpStatistics().GetIpStats().GetDefaultTTL() == 0 {
		t.Errorf("counters of the kernel: %v", busy.GetNetSnmpStatistics())
	}
	if busy.GetNetTcpRttMicrosecsP50() <= 0 || busy.GetNetTcpRttMicrosecsP99() < busy.GetNetTcpRttMicrosecsP50() || busy.GetNetTcpActiveConnections() < 1 || busy.NetTcpTimeWaitConnections == nil {
		t.Errorf("connections: %v", busy)
	}
	if busy.GetNetRxBytes() < 4 || busy.GetNetTxPackets() < 3 {
		t.Errorf("traffic: %v", busy)
	}
	if idle.NetTcpRttMicrosecsP50 != nil || idle.GetNetTcpActiveConnections() != 0 || idle.GetNetSnmpStatistics().GetTcpStats().GetInSegs() != 0 || idle.NetRxBytes == nil {
		t.Errorf("another container: %v", idle)
	}
	if none.NetRxBytes != nil || none.NetSnmpStatistics != nil || none.NetTcpActiveConnections != nil {
		t.Errorf("a container without a network of its own: %v", none)
	}
}

// BenchmarkStatistics is what a look at one container's network costs: by default, and with all
// that can be told.
func BenchmarkStatistics(b *testing.B) {
	netkit.Need(b)
	for name, told := range map[string]cni.Told{"traffic": {}, "snmp": {Sockets: true, SNMP: true}, "all": {Sockets: true, SNMP: true, RoundTrips: true}} {
		b.Run(name, func(b *testing.B) {
			m, err := cni.New(cni.Config{Dir: b.TempDir(), Told: told})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			a, err := m.Attach(b.Context(), cni.Request{Container: "a", Hostname: "a"})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = m.Detach(context.Background(), "a") }()
			there, leave := make(chan int), make(chan struct{})
			defer close(leave)
			go netkit.Inside(b, a.Namespace, func() error { there <- unix.Gettid(); <-leave; return nil })
			tid := <-there
			for b.Loop() {
				m.Usage("a", tid, &mesos.ResourceStatistics{})
			}
		})
	}
}
