package linux

import (
	"maps"
	"slices"

	"agora.dev/agora/agent/isolators/cgroups"
	mesos "agora.dev/agora/api/mesos/v1"
)

var blockOperations = map[string]mesos.CgroupInfo_Blkio_Operation{
	"Total": mesos.CgroupInfo_Blkio_TOTAL, "Read": mesos.CgroupInfo_Blkio_READ, "Write": mesos.CgroupInfo_Blkio_WRITE,
	"Sync": mesos.CgroupInfo_Blkio_SYNC, "Async": mesos.CgroupInfo_Blkio_ASYNC, "Discard": mesos.CgroupInfo_Blkio_DISCARD,
}

// blockUsage tells of the devices that a container has used; nil when there is none. BFQ has
// taken CFQ's place in kernels, and takes it here.
func blockUsage(group cgroups.Group) *mesos.CgroupInfo_Blkio_Statistics {
	out := &mesos.CgroupInfo_Blkio_Statistics{}
	for _, d := range group.Block() {
		out.Throttling = append(out.Throttling, &mesos.CgroupInfo_Blkio_Throttling_Statistics{
			Device: deviceNumber(d.Major, d.Minor), IoServiced: blockValues(d.Requests), IoServiceBytes: blockValues(d.Bytes),
		})
	}
	own, recursive := group.Scheduled()
	out.Cfq, out.CfqRecursive = scheduled(own), scheduled(recursive)
	if len(out.Throttling)+len(out.Cfq)+len(out.CfqRecursive) == 0 {
		return nil
	}
	return out
}

func scheduled(devices []cgroups.Scheduled) (out []*mesos.CgroupInfo_Blkio_CFQ_Statistics) {
	for _, d := range devices {
		out = append(out, &mesos.CgroupInfo_Blkio_CFQ_Statistics{
			Device: deviceNumber(d.Major, d.Minor), Sectors: d.Sectors, Time: d.Time,
			IoServiced: blockValues(d.Serviced), IoServiceBytes: blockValues(d.ServiceBytes), IoServiceTime: blockValues(d.ServiceTime),
			IoWaitTime: blockValues(d.WaitTime), IoMerged: blockValues(d.Merged), IoQueued: blockValues(d.Queued),
		})
	}
	return out
}

func deviceNumber(major, minor uint64) *mesos.Device_Number {
	return &mesos.Device_Number{MajorNumber: &major, MinorNumber: &minor}
}

func blockValues(by map[string]uint64) (out []*mesos.CgroupInfo_Blkio_Value) {
	for _, name := range slices.Sorted(maps.Keys(by)) {
		operation, value := blockOperations[name], by[name]
		out = append(out, &mesos.CgroupInfo_Blkio_Value{Op: &operation, Value: &value})
	}
	return out
}
