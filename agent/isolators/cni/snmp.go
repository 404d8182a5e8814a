package cni

import (
	"strconv"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
)

// counters are where the values of one protocol go, by the kernel's names, which are Mesos's.
type counters map[string]**int64

// snmp reads /proc/net/snmp: for each protocol a line of names and one of values. What Mesos
// has no field for is left out.
func snmp(text string) *mesos.SNMPStatistics {
	out := &mesos.SNMPStatistics{IpStats: &mesos.IpStatistics{}, IcmpStats: &mesos.IcmpStatistics{}, TcpStats: &mesos.TcpStatistics{}, UdpStats: &mesos.UdpStatistics{}}
	into := map[string]counters{"Ip": ipCounters(out.IpStats), "Icmp": icmpCounters(out.IcmpStats), "Tcp": tcpCounters(out.TcpStats), "Udp": udpCounters(out.UdpStats)}
	names := map[string][]string{}
	for line := range strings.Lines(text) {
		protocol, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if names[protocol] == nil {
			names[protocol] = fields
			continue
		}
		for i, name := range names[protocol][:min(len(fields), len(names[protocol]))] {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if to := into[protocol][name]; to != nil && err == nil {
				*to = &n
			}
		}
	}
	return out
}

func ipCounters(s *mesos.IpStatistics) counters {
	return counters{
		"Forwarding": &s.Forwarding, "DefaultTTL": &s.DefaultTTL, "InReceives": &s.InReceives, "InHdrErrors": &s.InHdrErrors,
		"InAddrErrors": &s.InAddrErrors, "ForwDatagrams": &s.ForwDatagrams, "InUnknownProtos": &s.InUnknownProtos, "InDiscards": &s.InDiscards,
		"InDelivers": &s.InDelivers, "OutRequests": &s.OutRequests, "OutDiscards": &s.OutDiscards, "OutNoRoutes": &s.OutNoRoutes,
		"ReasmTimeout": &s.ReasmTimeout, "ReasmReqds": &s.ReasmReqds, "ReasmOKs": &s.ReasmOKs, "ReasmFails": &s.ReasmFails,
		"FragOKs": &s.FragOKs, "FragFails": &s.FragFails, "FragCreates": &s.FragCreates,
	}
}

func icmpCounters(s *mesos.IcmpStatistics) counters {
	return counters{
		"InMsgs": &s.InMsgs, "InErrors": &s.InErrors, "InCsumErrors": &s.InCsumErrors, "InDestUnreachs": &s.InDestUnreachs,
		"InTimeExcds": &s.InTimeExcds, "InParmProbs": &s.InParmProbs, "InSrcQuenchs": &s.InSrcQuenchs, "InRedirects": &s.InRedirects,
		"InEchos": &s.InEchos, "InEchoReps": &s.InEchoReps, "InTimestamps": &s.InTimestamps, "InTimestampReps": &s.InTimestampReps,
		"InAddrMasks": &s.InAddrMasks, "InAddrMaskReps": &s.InAddrMaskReps, "OutMsgs": &s.OutMsgs, "OutErrors": &s.OutErrors,
		"OutDestUnreachs": &s.OutDestUnreachs, "OutTimeExcds": &s.OutTimeExcds, "OutParmProbs": &s.OutParmProbs, "OutSrcQuenchs": &s.OutSrcQuenchs,
		"OutRedirects": &s.OutRedirects, "OutEchos": &s.OutEchos, "OutEchoReps": &s.OutEchoReps, "OutTimestamps": &s.OutTimestamps,
		"OutTimestampReps": &s.OutTimestampReps, "OutAddrMasks": &s.OutAddrMasks, "OutAddrMaskReps": &s.OutAddrMaskReps,
	}
}

func tcpCounters(s *mesos.TcpStatistics) counters {
	return counters{
		"RtoAlgorithm": &s.RtoAlgorithm, "RtoMin": &s.RtoMin, "RtoMax": &s.RtoMax, "MaxConn": &s.MaxConn,
		"ActiveOpens": &s.ActiveOpens, "PassiveOpens": &s.PassiveOpens, "AttemptFails": &s.AttemptFails, "EstabResets": &s.EstabResets,
		"CurrEstab": &s.CurrEstab, "InSegs": &s.InSegs, "OutSegs": &s.OutSegs, "RetransSegs": &s.RetransSegs,
		"InErrs": &s.InErrs, "OutRsts": &s.OutRsts, "InCsumErrors": &s.InCsumErrors,
	}
}

func udpCounters(s *mesos.UdpStatistics) counters {
	return counters{
		"InDatagrams": &s.InDatagrams, "NoPorts": &s.NoPorts, "InErrors": &s.InErrors, "OutDatagrams": &s.OutDatagrams,
		"RcvbufErrors": &s.RcvbufErrors, "SndbufErrors": &s.SndbufErrors, "InCsumErrors": &s.InCsumErrors, "IgnoredMulti": &s.IgnoredMulti,
	}
}
