package cni

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
)

// Counters are those of a container's interfaces, loopback apart.
type Counters struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// Statistics reads the counters of the network namespace that a process is in.
func Statistics(pid int) (Counters, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return Counters{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Counters{}, err
	}
	return parseCounters(string(b)), nil
}

// parseCounters sums the lines of /proc/net/dev: bytes, packets, errors and drops are the
// first four of eight columns received, and of eight sent.
func parseCounters(text string) (sum Counters) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || strings.TrimSpace(name) == "lo" || len(fields) < 16 {
			continue
		}
		at := func(i int) uint64 {
			n, _ := strconv.ParseUint(fields[i], 10, 64)
			return n
		}
		sum.RxBytes += at(0)
		sum.RxPackets += at(1)
		sum.RxErrors += at(2)
		sum.RxDropped += at(3)
		sum.TxBytes += at(8)
		sum.TxPackets += at(9)
		sum.TxErrors += at(10)
		sum.TxDropped += at(11)
	}
	return sum
}

// Fill puts the counters where Mesos has them.
func (c Counters) Fill(out *mesos.ResourceStatistics) {
	out.NetRxBytes, out.NetRxPackets, out.NetRxErrors, out.NetRxDropped = &c.RxBytes, &c.RxPackets, &c.RxErrors, &c.RxDropped
	out.NetTxBytes, out.NetTxPackets, out.NetTxErrors, out.NetTxDropped = &c.TxBytes, &c.TxPackets, &c.TxErrors, &c.TxDropped
}
