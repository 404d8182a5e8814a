package devices

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"agora.dev/agora/agent/launcher/template"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// wish has this program open or make a node, and say whether it was refused.
const wish = "AGORA_TEST_DEVICE"

func TestMain(m *testing.M) {
	if os.Getenv(wish) == "" {
		os.Exit(m.Run())
	}
	for w := range strings.FieldsSeq(os.Getenv(wish)) {
		how, path, _ := strings.Cut(w, "=")
		fmt.Println(attempt(how, path))
	}
}

// attempt answers EPERM for what a filter refuses. A device without a driver is ENXIO.
func attempt(how, path string) string {
	var err error
	if node, ok := strings.CutPrefix(how, "m"); ok {
		err = makeNode(path, node)
	} else {
		flags := map[string]int{"r": unix.O_RDONLY, "w": unix.O_WRONLY, "rw": unix.O_RDWR}[how]
		var fd int
		if fd, err = unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
			unix.Close(fd)
		}
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return "refused"
	case err == nil, errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return "allowed"
	}
	return err.Error()
}

// makeNode makes one as c1:3 says.
func makeNode(path, node string) error {
	kind := uint32(unix.S_IFCHR)
	if node[0] == 'b' {
		kind = unix.S_IFBLK
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(node[1:], "%d:%d", &major, &minor); err != nil {
		return err
	}
	return unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor)))
}

// TestFilterDecides has a process in a group of its own use devices. Majors 240 to 254 are
// for local use: nothing is behind them.
func TestFilterDecides(t *testing.T) {
	group, f := unifiedGroup(t), &Filters{}
	n := func(v int64) *int64 { return &v }
	nothing := specs.LinuxDeviceCgroup{Access: "rwm"}
	local := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(240), Minor: n(7), Access: "r"}
	disks := specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: n(241), Access: "rw"}
	all := specs.LinuxDeviceCgroup{Allow: true}
	for _, c := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		asks  string // access and node: r:c1:3
		want  string
	}{
		{"no rule", nil, "r:c1:3 m:c1:3", "refused refused"},
		{"the template", template.Devices(), "rw:c1:3 r:c1:9 rw:c10:200 m:c1:3", "allowed allowed allowed allowed"},
		{"the template, beyond", template.Devices(), "r:c1:1 r:b1:3 r:b7:0 w:c10:229 m:c1:1 m:b8:0 rw:c240:7", "refused refused refused refused refused refused refused"},
		{"an allowed one", []specs.LinuxDeviceCgroup{nothing, local}, "r:c240:7 rw:c240:7 w:c240:7 m:c240:7 r:c240:8 r:b240:7", "allowed refused refused refused refused refused"},
		{"every minor", []specs.LinuxDeviceCgroup{nothing, disks}, "rw:b241:1 w:b241:200 r:b242:1 r:c241:1 m:b241:1", "allowed allowed refused refused refused"},
		{"a later rule", []specs.LinuxDeviceCgroup{disks, nothing}, "r:b241:1", "refused"},
		{"everything", []specs.LinuxDeviceCgroup{all}, "m:b241:1 rw:b241:1 r:c1:3", "allowed allowed allowed"},
		{"all but writing", []specs.LinuxDeviceCgroup{all, {Type: "b", Access: "w"}}, "r:b241:1 w:b241:1 rw:b241:1 rw:c240:1", "allowed refused refused allowed"},
	} {
		if err := f.Attach(group, c.rules); err != nil {
			t.Fatal(err)
		}
		if got := asked(t, group, c.asks); got != c.want {
			t.Errorf("%s: %s got %s, want %s", c.name, c.asks, got, c.want)
		}
	}
}

// TestFilterHoldsBelow: a group below cannot have what the one above has not, and one program
// takes the other's place.
func TestFilterHoldsBelow(t *testing.T) {
	group, f := unifiedGroup(t), &Filters{}
	below := filepath.Join(group, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(below) })
	if err := f.Attach(group, template.Devices()); err != nil {
		t.Fatal(err)
	}
	if got := asked(t, below, "r:c1:3 r:c240:1"); got != "allowed refused" {
		t.Errorf("without rules of its own: %s", got)
	}
	if err := f.Attach(below, []specs.LinuxDeviceCgroup{{Allow: true}}); err != nil {
		t.Fatal(err)
	}
	if got := asked(t, below, "r:c1:3 r:c240:1"); got != "allowed refused" {
		t.Errorf("with wider rules: %s", got)
	}
	for _, other := range []*Filters{f, f, nil, {}} { // also by another process
		if err := other.Attach(below, nil); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(below)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	found, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: ebpf.AttachCGroupDevice})
	if err != nil || len(found.Programs) != 1 {
		t.Errorf("attached are %+v, %v; want the last program alone", found, err)
	}
	if got := asked(t, below, "r:c1:3"); got != "refused" {
		t.Errorf("with no rule: %s", got)
	}
}

func TestFiltersKeepAFewPrograms(t *testing.T) {
	group, f := unifiedGroup(t), &Filters{}
	for i := range int64(2*kinds + 3) {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &i}
		if err := f.Attach(group, []specs.LinuxDeviceCgroup{rule}); err != nil {
			t.Fatal(err)
		}
		if len(f.loaded) > kinds {
			t.Fatalf("%d programs are kept", len(f.loaded))
		}
	}
	if got := asked(t, group, "r:c66:1 r:c65:1 r:c1:3"); got != "allowed refused refused" {
		t.Errorf("the last list: %s", got)
	}
}

func TestFilterRefusesRulesThatMeanNothing(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for _, c := range []struct {
		rule specs.LinuxDeviceCgroup
		want string
	}{
		{specs.LinuxDeviceCgroup{Type: "p"}, `type "p"`}, {specs.LinuxDeviceCgroup{Access: "rx"}, `access "rx"`},
		{specs.LinuxDeviceCgroup{Major: n(1 << 33)}, "too large"},
	} {
		if _, err := compile([]specs.LinuxDeviceCgroup{c.rule}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.rule, err, c.want)
		}
	}
}

// unifiedGroup is a group of its own on version 2, which hybrid hosts have beside the other.
func unifiedGroup(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: filters need root")
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			dir, err := os.MkdirTemp(fields[4], "agora-test-devices-")
			if err != nil {
				t.Skipf("SKIP: no group can be made: %v", err)
			}
			t.Cleanup(func() { os.Remove(dir) })
			if err := Supported(); err != nil {
				t.Skipf("SKIP: %v", err)
			}
			return dir
		}
	}
	t.Skip("SKIP: no cgroup2 file system is mounted")
	return ""
}

// asked runs this program in the group.
func asked(t *testing.T, group, asks string) string {
	t.Helper()
	dir, wishes := t.TempDir(), []string{}
	for i, ask := range strings.Fields(asks) {
		how, node, _ := strings.Cut(ask, ":")
		path := filepath.Join(dir, strconv.Itoa(i))
		if how == "m" {
			wishes = append(wishes, "m"+node+"="+path)
			continue
		}
		if got := attempt("m"+node, path); got != "allowed" {
			t.Skipf("SKIP: this test cannot make a node: %s", got)
		}
		wishes = append(wishes, how+"="+path)
	}
	held, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{wish + "=" + strings.Join(wishes, " ")}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(held.Fd())}
	// Without /dev/null, which a filter may refuse; Go opens it for what is not set.
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	err = cmd.Start()
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answers = append(answers, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process in the group: %v, %q", err, answers)
	}
	return strings.Join(answers, " ")
}

// BenchmarkAttach is what a start on version 2 pays for its list.
func BenchmarkAttach(b *testing.B) {
	group, f := unifiedGroup(b), &Filters{}
	for b.Loop() {
		b.StopTimer()
		below := filepath.Join(group, "below")
		if err := os.Mkdir(below, 0o755); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := f.Attach(below, template.Devices()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.Remove(below); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
