package launcher_test

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"agora.dev/agora/agent/launcher"
)

func TestARequestSaysWhatItNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*specs.Linux, *specs.Spec)
		unified bool
		want    []string
	}{
		"nothing":       {func(*specs.Linux, *specs.Spec) {}, false, nil},
		"devices on v1": {func(l *specs.Linux, _ *specs.Spec) { l.Resources.Devices = make([]specs.LinuxDeviceCgroup, 1) }, false, nil},
		"devices on v2": {func(l *specs.Linux, _ *specs.Spec) { l.Resources.Devices = make([]specs.LinuxDeviceCgroup, 1) }, true, []string{launcher.DeviceRulesV2}},
		"a user namespace": {func(l *specs.Linux, _ *specs.Spec) {
			l.Namespaces = []specs.LinuxNamespace{{Type: specs.UserNamespace}}
		}, false, []string{launcher.UserNamespaces}},
		"mapped mounts": {func(_ *specs.Linux, s *specs.Spec) {
			s.Mounts = []specs.Mount{{UIDMappings: make([]specs.LinuxIDMapping, 1)}}
		}, false, []string{launcher.UserNamespaces}},
		"a class": {func(l *specs.Linux, _ *specs.Spec) { l.Resources.Network = &specs.LinuxNetwork{} }, false, []string{launcher.Controllers}},
		"cpus":    {func(l *specs.Linux, _ *specs.Spec) { l.Resources.CPU = &specs.LinuxCPU{Cpus: "0"} }, false, []string{launcher.Controllers}},
	} {
		spec := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
		c.change(spec.Linux, spec)
		if got := launcher.Needs(launcher.Request{Spec: spec}, c.unified); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := launcher.Needs(launcher.Request{}, true); got != nil {
		t.Errorf("without a specification: %q", got)
	}
}
