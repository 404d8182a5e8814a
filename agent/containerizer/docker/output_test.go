package docker

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerlogger"
	mesos "agora.dev/agora/api/mesos/v1"
)

// streamsInterleave: the pieces of a long line have the time of its first one, and are logged after
// what the other stream said meanwhile.
func streamsInterleave(r *rig) {
	r.launch(r.spec("both", "head -c 20000 </dev/zero | tr '\\0' x; sleep .3; echo err >&2; sleep .3; echo done; while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.1; done; echo more >&2"))
	want := strings.Repeat("x", 20000) + "done\n"
	r.await("output", func() bool { return len(r.output("both", "stdout")) >= len(want) })
	r.c.Close()
	if err := os.WriteFile(filepath.Join(r.sandbox("both"), "go"), nil, 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.open("both")
	r.wait("both")
	if got := r.output("both", "stdout"); got != want {
		r.t.Errorf("stdout has %d bytes, want %d", len(got), len(want))
	}
	if got := r.output("both", "stderr"); got != "err\nmore\n" {
		r.t.Errorf("stderr %q", got)
	}
}

// longLines: a line that the Engine cuts is one again.
func longLines(r *rig) {
	spec := r.spec("wide", "head -c 40000 </dev/zero | tr '\\0' x; echo; head -c 16384 </dev/zero | tr '\\0' y; echo; echo; echo last")
	spec.Container.TtyInfo = &mesos.TTYInfo{}
	r.launch(spec)
	r.wait("wide")
	want := strings.Repeat("x", 40000) + "\r\n" + strings.Repeat("y", 16384) + "\r\n\r\nlast\r\n"
	if got := r.output("wide", "stdout"); got != want {
		r.t.Errorf("the terminal's output has %d bytes, want %d; ends %q", len(got), len(want), got[max(0, len(got)-40):])
	}
}

// fullDisk: output waits for room, and is complete once there is some.
func fullDisk(r *rig) {
	spec := r.spec("much", "seq 30000; exit 4")
	if err := unix.Mount("tmpfs", spec.Sandbox, "tmpfs", 0, "size=64k"); err != nil {
		r.t.Skip("SKIP: needs the right to mount: ", err)
	}
	r.t.Cleanup(func() { _ = unix.Unmount(spec.Sandbox, unix.MNT_DETACH) })
	r.launch(spec)
	r.await("a full disk", func() bool { return len(r.output("much", "stdout")) > 64<<10-8 }) // the next line does not fit
	if err := unix.Mount("", spec.Sandbox, "", unix.MS_REMOUNT, "size=1m"); err != nil {
		r.t.Fatal(err)
	}
	r.wait("much")
	out := r.output("much", "stdout")
	if lines := strings.Split(out, "\n"); len(lines) != 30001 || lines[29999] != "30000" || !strings.Contains(out, "\n11234\n11235\n11236\n") {
		r.t.Errorf("stdout has %d lines, ends %q", len(lines), out[max(0, len(out)-20):])
	}
}

// outputIsBounded: what is kept are the last lines, each whole and once, also when another agent goes
// on with the copying; a task asks for its own bounds.
func outputIsBounded(r *rig) {
	const bound = 64 << 10
	r.c.Close()
	r.config.Output.Stdout = containerlogger.Bound{MaxBytes: bound, Keep: 1}
	r.open()
	spec := r.spec("flood", "yes quiet | head -c 200000 >&2; seq 100000 200000; touch $MESOS_SANDBOX/half; while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.1; done; seq 200001 300000")
	spec.Env = map[string]string{"CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS": "rotate 3"}
	r.launch(spec)
	r.await("half of the output", func() bool { return strings.HasSuffix(r.output("flood", "stdout"), "200000\n") })
	r.c.Close()
	r.config.Output.Stdout = containerlogger.Bound{} // the task's own still holds
	if err := os.WriteFile(filepath.Join(r.sandbox("flood"), "go"), nil, 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.open("flood")
	r.wait("flood")
	var all string
	for _, name := range []string{"stdout.3", "stdout.2", "stdout.1", "stdout"} {
		text := strings.TrimLeft(r.output("flood", name), "\x00")
		if len(text) > bound {
			r.t.Errorf("%s has %d bytes, more than %d", name, len(text), bound)
		}
		all += text
	}
	lines, want := strings.Fields(all), 300000
	if len(lines) < 3*bound/7 {
		r.t.Fatalf("%d lines are kept", len(lines))
	}
	for _, got := range slices.Backward(lines) {
		if got != strconv.Itoa(want) {
			r.t.Fatalf("got %q, want %d", got, want)
		}
		want--
	}
	if _, err := os.Stat(filepath.Join(r.sandbox("flood"), "stdout.4")); err == nil {
		r.t.Error("one more is kept than asked for")
	}
	if got := len(r.output("flood", "stderr")); got != 200000 {
		r.t.Errorf("stderr, which has no bound, has %d bytes", got)
	}
	bad := r.spec("bad", "true")
	bad.Env = map[string]string{"CONTAINER_LOGGER_MAX_STDOUT_SIZE": "huge"}
	if _, err := r.c.Launch(r.ctx, bad); err == nil || !strings.Contains(err.Error(), "CONTAINER_LOGGER_MAX_STDOUT_SIZE") {
		r.t.Errorf("got %v", err)
	}
}

// TestWriteTakesBackWhatIsNotComplete: an entry that does not fit, or is not noted, leaves nothing.
func TestWriteTakesBackWhatIsNotComplete(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "stdout"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, note := range []error{nil, syscall.EDQUOT, nil} {
		if err := (&sink{File: f}).write([]byte("line\n"), func() error { return note }); full(err) != (note != nil) {
			t.Errorf("got %v, want %v", err, note)
		}
	}
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "line\nline\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestPositionOfEachStream: the log is read from the stream that is behind, and from its start while
// one has said nothing; a terminal has only one.
func TestPositionOfEachStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "position")
	open := func(tty bool) *position {
		p, err := openPosition(path, tty)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.file.Close() })
		return p
	}
	early, late := time.Unix(100, 5).UTC(), time.Unix(200, 0).UTC()
	p := open(false)
	for range 2 {
		if err := p.pass(0, late); err != nil {
			t.Fatal(err)
		}
	}
	if got := open(false).since(); got != "" {
		t.Errorf("while stderr has said nothing: %q", got)
	}
	if got := open(true).since(); got != late.Format(time.RFC3339Nano) {
		t.Errorf("of a terminal: %q", got)
	}
	if err := p.pass(1, early); err != nil {
		t.Fatal(err)
	}
	p = open(false)
	if got := p.since(); got != early.Format(time.RFC3339Nano) {
		t.Errorf("since %q, want the earlier of the two", got)
	}
	fresh := p.filter()
	for i, want := range []bool{false, false, true} {
		if got := fresh(0, late); got != want {
			t.Errorf("entry %d of stdout: new is %v", i+1, got)
		}
	}
	if fresh(1, early) || !fresh(1, late) {
		t.Error("stderr is not told from stdout")
	}
}
