package capabilities_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/capabilities"
	mesos "agora.dev/agora/api/mesos/v1"
)

func set(t *testing.T, names string) []string {
	t.Helper()
	if names == "" {
		return nil
	}
	out, err := capabilities.Parse(`{"capabilities":["` + strings.ReplaceAll(strings.Trim(names, "-"), " ", `","`) + `"]}`)
	if names == "-" {
		out, err = capabilities.Parse(`{"capabilities":[]}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func info(t *testing.T, names string) *mesos.CapabilityInfo {
	t.Helper()
	if names == "" {
		return nil
	}
	out := &mesos.CapabilityInfo{}
	for _, name := range set(t, names) {
		out.Capabilities = append(out.Capabilities, mesos.CapabilityInfo_Capability(mesos.CapabilityInfo_Capability_value[strings.TrimPrefix(name, "CAP_")]))
	}
	return out
}

// "" is unset, "-" an empty set.
func TestSetsComeFromOperatorAndTask(t *testing.T) {
	for _, c := range []struct {
		what                  string
		effective, bounding   string // the operator's
		wants, wantsBounding  string // the task's
		root                  bool
		gotEffective, gotBnds string
		ambient               bool
		refused               string
	}{
		{what: "nothing said", root: true, gotEffective: "CHOWN KILL", gotBnds: "CHOWN KILL"},
		{what: "nothing said, another user", gotBnds: "CHOWN KILL"},
		{what: "the operator's bound narrows the default", bounding: "KILL SYS_ADMIN", root: true, gotEffective: "KILL", gotBnds: "KILL"},
		{what: "the operator's effective", effective: "NET_RAW", gotEffective: "NET_RAW", gotBnds: "NET_RAW", ambient: true},
		{what: "an empty set is none", effective: "-", root: true},
		{what: "the task asks", wants: "SYS_ADMIN KILL KILL", gotEffective: "KILL SYS_ADMIN", gotBnds: "KILL SYS_ADMIN", ambient: true},
		{what: "the task asks for less than the operator gives", effective: "NET_RAW", wants: "KILL", gotEffective: "KILL", gotBnds: "KILL", ambient: true},
		{what: "both sets", bounding: "KILL NET_RAW CHOWN", wants: "KILL", wantsBounding: "KILL NET_RAW", gotEffective: "KILL", gotBnds: "KILL NET_RAW", ambient: true},
		{what: "bounding alone is what root has", wantsBounding: "SYS_PTRACE", root: true, gotEffective: "SYS_PTRACE", gotBnds: "SYS_PTRACE"},
		{what: "beyond the operator", bounding: "CHOWN KILL", wants: "SYS_ADMIN CHOWN",
			refused: "Requested capabilities '{ CHOWN, SYS_ADMIN }', but only '{ CHOWN, KILL }' are allowed"},
		{what: "beyond its own", wants: "SYS_ADMIN", wantsBounding: "CHOWN", refused: "Requested capabilities '{ SYS_ADMIN }', but only '{ CHOWN }' are allowed"},
		{what: "a wider bound", bounding: "CHOWN", wantsBounding: "CHOWN KILL",
			refused: "Requested bounding capabilities '{ CHOWN, KILL }', but only '{ CHOWN }' are allowed"},
		{what: "nothing is allowed", bounding: "-", wants: "CHOWN", refused: "but only '{  }' are allowed"},
	} {
		policy := capabilities.Policy{Effective: set(t, c.effective), Bounding: set(t, c.bounding), Default: []string{"CAP_CHOWN", "CAP_KILL"}}
		got, err := policy.Sets(&mesos.LinuxInfo{EffectiveCapabilities: info(t, c.wants), BoundingCapabilities: info(t, c.wantsBounding)}, c.root)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %v, want %q", c.what, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		short := func(names []string) string { return strings.ReplaceAll(strings.Join(names, " "), "CAP_", "") }
		if short(got.Effective) != c.gotEffective || short(got.Permitted) != c.gotEffective || short(got.Bounding) != c.gotBnds {
			t.Errorf("%s: effective %v, permitted %v, bounding %v", c.what, got.Effective, got.Permitted, got.Bounding)
		}
		want := ""
		if c.ambient {
			want = c.gotEffective
		}
		if short(got.Ambient) != want || short(got.Inheritable) != want {
			t.Errorf("%s: ambient %v, inheritable %v", c.what, got.Ambient, got.Inheritable)
		}
	}
}

func TestDeprecatedFieldIsTheEffectiveSet(t *testing.T) {
	got, err := capabilities.Policy{}.Sets(&mesos.LinuxInfo{CapabilityInfo: info(t, "KILL")}, false)
	if err != nil || len(got.Ambient) != 1 || got.Ambient[0] != "CAP_KILL" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBadSetsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"capabilities":["SYS_ADMIN"`:   `not of the form {"capabilities":[`,
		`{"capabilites":["SYS_ADMIN"]}`:  `not of the form`,
		`{"capabilities":["CAP_CHOWN"]}`: `"CAP_CHOWN" is not a capability`,
		`{"capabilities":["UNKNOWN"]}`:   `UNKNOWN is not a capability`,
	} {
		if got, err := capabilities.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %q", text, got, err, want)
		}
	}
	err := capabilities.Policy{Effective: set(t, "KILL CHOWN"), Bounding: set(t, "CHOWN")}.Check()
	if err == nil || !strings.Contains(err.Error(), "CAP_KILL is not in it") {
		t.Errorf("got %v", err)
	}
}
