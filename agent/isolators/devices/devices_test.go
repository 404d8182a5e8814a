package devices_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/devices"
)

func TestAllowedDevices(t *testing.T) {
	one := func(device, access string) string {
		return `{"allowed_devices":[{"device":` + device + `,"access":` + access + `}]}`
	}
	null := `{"path":"/dev/null"}`
	for _, c := range []struct{ text, want, refused string }{
		{"", "", ""},
		{`{"allowed_devices":[]}`, "", ""},
		{one(null, `{"read":true}`), "/dev/null c 1:3 rm", ""},
		{one(null, `{"read":true,"write":true,"mknod":true}`), "/dev/null c 1:3 rwm", ""},
		{one(`{"path":"/dev/null","number":{"major_number":1,"minor_number":3}}`, `{"write":true}`), "/dev/null c 1:3 wm", ""},
		{one(`{"path":"/dev/null","number":{"major_number":1,"minor_number":5}}`, `{"write":true}`), "", "is 1:3, and not 1:5"},
		{one(null, `{}`), "", "no access is given"},
		{one(null, `{"read":false}`), "", "no access is given"},
		{one(`{"number":{"major_number":1,"minor_number":3}}`, `{"read":true}`), "", "device 1 has no path"},
		{one(`{"path":"/dev/there-is-none"}`, `{"read":true}`), "", "/dev/there-is-none: no such file"},
		{one(`{"path":"/dev"}`, `{"read":true}`), "", "below /dev"},
		{one(`{"path":"/dev/../etc/passwd"}`, `{"read":true}`), "", "below /dev"},
		{one(`{"path":"dev/null"}`, `{"read":true}`), "", "below /dev"},
		{one(`{"path":"/dev/fd"}`, `{"read":true}`), "", "/dev/fd is no device"},
		{`{"allowed_devices":[{"device":` + null + `,"access":{"read":true}},{"device":` + null + `,"access":{"write":true}}]}`, "", "named twice"},
		{one(null, `{"reed":true}`), "", "not of the form"},
		{`[]`, "", "not of the form"},
		{one(null, `{"read":true}`) + `x`, "", "not of the form"},
		{`rwm`, "", "not of the form"},
	} {
		list, err := devices.Parse(c.text)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %v, want %q", c.text, err, c.refused)
			}
			continue
		}
		var got string
		for _, r := range list.Rules() {
			got += list[0].Path + " " + r.Type + " " + number(*r.Major) + ":" + number(*r.Minor) + " " + r.Access
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}

func TestNodesHaveTheModeOfTheAccess(t *testing.T) {
	list := devices.List{{Path: "/dev/a", Access: "r"}, {Path: "/dev/b", Access: "rwm"}, {Path: "/dev/c", Access: "m"}, {Path: "/dev/d", Access: "w"}}
	var got []string
	for _, n := range list.Nodes() {
		got = append(got, n.Path+" "+n.FileMode.String())
	}
	if want := "/dev/a -r--r--r--,/dev/b -rw-rw-rw-,/dev/d --w--w--w-"; strings.Join(got, ",") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ","), want)
	}
}

func number(n int64) string { return string(rune('0' + n)) }
