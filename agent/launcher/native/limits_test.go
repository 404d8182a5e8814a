package native_test

import specs "github.com/opencontainers/runtime-spec/specs-go"

func memory(limit int64) *specs.LinuxMemory { return &specs.LinuxMemory{Limit: &limit} }

func cpu(quota int64, period uint64) *specs.LinuxCPU {
	return &specs.LinuxCPU{Quota: &quota, Period: &period}
}
