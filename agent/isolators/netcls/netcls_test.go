package netcls_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/netcls"
)

func TestHandlesAreGivenOnceUntilFreed(t *testing.T) {
	h, err := netcls.Parse("0x0012", "0x00fe,0x0100")
	if err != nil || !h.Given() {
		t.Fatal(err)
	}
	h.Reserve(0x001200ff) // of a container that was there before
	h.Reserve(0x00990001) // of an agent with other handles
	for _, want := range []uint32{0x001200fe, 0x00120100} {
		if got, err := h.Allocate(); err != nil || got != want {
			t.Errorf("got %#x, %v; want %#x", got, err, want)
		}
	}
	const full = "no network class is left: all 3 secondary handles of 0x0012 are in use; widen --cgroups_net_cls_secondary_handles"
	if got, err := h.Allocate(); err == nil || err.Error() != full {
		t.Errorf("got %#x, %v; want %q", got, err, full)
	}
	h.Free(0x001200ff)
	if got, err := h.Allocate(); err != nil || got != 0x001200ff {
		t.Errorf("got %#x, %v after it was freed", got, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct{ primary, secondaries, problem string }{
		{"", "", ""},
		{"0x10", "", ""},
		{"18", "1, 2", ""},
		{"0xffff", "0xffff,0xffff", ""},
		{"", "0x1,0x2", "needs --cgroups_net_cls_primary_handle"},
		{"0", "", `--cgroups_net_cls_primary_handle: "0" is no handle`},
		{"0x10000", "", "is no handle"},
		{"web", "", `"web" is no handle`},
		{"0x10", "0x1", "is no range"},
		{"0x10", "0x0,0x2", `--cgroups_net_cls_secondary_handles: "0x0" is no handle`},
		{"0x10", "0x1,0x2,0x3", "is no handle"},
		{"0x10", "0x3,0x2", "is empty"},
	} {
		h, err := netcls.Parse(c.primary, c.secondaries)
		if c.problem == "" && (err != nil || h.Given() != (c.primary != "")) {
			t.Errorf("%q %q: %v, given %v", c.primary, c.secondaries, err, h.Given())
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q %q: got %v, want %q", c.primary, c.secondaries, err, c.problem)
		}
	}
	all, err := netcls.Parse("0x10", "")
	if err != nil {
		t.Fatal(err)
	}
	for want := uint32(0x00100001); want <= 0x00100003; want++ {
		if got, err := all.Allocate(); err != nil || got != want {
			t.Errorf("got %#x, %v; want %#x", got, err, want)
		}
	}
}
