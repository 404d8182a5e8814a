package cni

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// Told is what the statistics of a container with a network of its own tell.
type Told struct {
	// NoTraffic leaves out what passed through its interfaces (Mesos
	// --no-network_cni_metrics).
	NoTraffic bool
	// Sockets counts its TCP connections (Mesos --network_enable_socket_statistics_summary).
	Sockets bool
	// RoundTrips tells their round-trip times (Mesos
	// --network_enable_socket_statistics_details).
	RoundTrips bool
	// SNMP tells the kernel's counters of IP, ICMP, TCP and UDP (Mesos
	// --network_enable_snmp_statistics).
	SNMP bool
}

// Usage adds what the network namespace of an attached container tells; pid is one of its
// processes. A container without a network of its own has nothing to add, nor has one that
// has just ended.
func (i *Isolator) Usage(container string, pid int, out *mesos.ResourceStatistics) {
	at := i.Find(container)
	if at == nil {
		return
	}
	told := i.config.Told
	if !told.NoTraffic {
		if text, err := readNet(pid, "dev"); err == nil {
			traffic(text, out)
		}
	}
	if told.Sockets {
		countSockets(pid, out)
	}
	if told.SNMP {
		if text, err := readNet(pid, "snmp"); err == nil {
			out.NetSnmpStatistics = snmp(text)
		}
	}
	if told.RoundTrips {
		times, err := roundTrips(at.Namespace)
		if errors.Is(err, errNoDiag) { // another one has just ended
			i.noDiag.Do(func() { i.log.Warn("round-trip times of containers not read", "error", err) })
		}
		percentiles(times, out)
	}
}

// readNet reads a file about the network namespace that a process is in.
func readNet(pid int, name string) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(b), err
}

// traffic sums the lines of /proc/net/dev, loopback apart: bytes, packets, errors and drops are
// the first four of eight columns received, and of eight sent.
func traffic(text string, out *mesos.ResourceStatistics) {
	var sum [16]uint64
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || strings.TrimSpace(name) == "lo" || len(fields) < len(sum) {
			continue
		}
		for i := range sum {
			n, _ := strconv.ParseUint(fields[i], 10, 64)
			sum[i] += n
		}
	}
	out.NetRxBytes, out.NetRxPackets, out.NetRxErrors, out.NetRxDropped = &sum[0], &sum[1], &sum[2], &sum[3]
	out.NetTxBytes, out.NetTxPackets, out.NetTxErrors, out.NetTxDropped = &sum[8], &sum[9], &sum[10], &sum[11]
}

// countSockets adds up both kinds of addresses; those that wait are in the first file.
func countSockets(pid int, out *mesos.ResourceStatistics) {
	for _, file := range []string{"sockstat", "sockstat6"} {
		text, err := readNet(pid, file)
		if err != nil {
			continue // no IPv6, or it has just ended
		}
		active, waiting := sockets(text)
		out.NetTcpActiveConnections = proto.Float64(out.GetNetTcpActiveConnections() + active)
		out.NetTcpTimeWaitConnections = proto.Float64(out.GetNetTcpTimeWaitConnections() + waiting)
	}
}

// sockets reads a line as "TCP: inuse 3 orphan 0 tw 1 alloc 5 mem 0".
func sockets(text string) (active, waiting float64) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "TCP" && name != "TCP6" {
			continue
		}
		fields := strings.Fields(rest)
		for i := 0; i+1 < len(fields); i += 2 {
			n, _ := strconv.ParseFloat(fields[i+1], 64)
			switch fields[i] {
			case "inuse":
				active += n
			case "tw":
				waiting += n
			}
		}
	}
	return active, waiting
}
