package blackbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"agora.dev/agora/api/agora/postmortem"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) *Box {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func record(i int, failed bool) postmortem.Record {
	return postmortem.Record{Framework: "f", Executor: "e", Task: fmt.Sprint("t", i), Container: fmt.Sprint("c", i), Failed: failed,
		Ended: time.Unix(1_800_000_000+int64(i), 0).UTC(), Cause: "Command exited with status 1"}
}

func TestRecordsOutliveTheirSandboxAndTheAgent(t *testing.T) {
	dir, sandbox := t.TempDir(), t.TempDir()
	long := bytes.Repeat([]byte("0123456789abcdef"), MaxOutput/8)
	if err := os.WriteFile(filepath.Join(sandbox, "stdout"), append(long, "end"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sandbox, "stderr"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := record(1, true)
	if err := open(t, dir).Add(want, sandbox); err != nil {
		t.Fatal(err)
	}
	again := want
	again.Ended = again.Ended.Add(time.Hour)
	if err := open(t, dir).Add(again, sandbox); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(sandbox); err != nil {
		t.Fatal(err)
	}
	// A process that died while it wrote left this.
	if err := os.MkdirAll(filepath.Join(dir, "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := open(t, dir).Entries()
	if len(got) != 1 || got[0].Record != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	out, err := os.ReadFile(filepath.Join(got[0].Dir, FileStdout))
	if err != nil || len(out) != MaxOutput || !bytes.HasSuffix(out, []byte("defend")) {
		t.Errorf("stdout: %d bytes, %v; want the last %d", len(out), err, MaxOutput)
	}
	if out, err := os.ReadFile(filepath.Join(got[0].Dir, FileStderr)); err != nil || string(out) != "short" {
		t.Errorf("stderr: %q, %v", out, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
		t.Error("half a record stays")
	}
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for i := range MaxFailed + MaxFinished + 60 {
		if err := b.Add(record(i, i%2 == 0), "/nowhere"); err != nil {
			t.Fatal(err)
		}
	}
	count := map[bool]int{}
	for _, e := range open(t, dir).Entries() {
		count[e.Failed]++
		if e.Task == "t1" || e.Task == "t3" {
			t.Errorf("%s, which ended well long ago, is kept", e.Task)
		}
	}
	if count[true] != (MaxFailed+MaxFinished+60)/2 || count[false] != MaxFinished {
		t.Errorf("%d failed and %d finished are kept", count[true], count[false])
	}
	for i := range MaxFailed {
		if err := b.Add(record(1000+i, true), "/nowhere"); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != MaxFailed+MaxFinished {
		t.Errorf("%d directories, %v; want %d", len(list), err, MaxFailed+MaxFinished)
	}
}

func TestASandboxLeadsNowhereElse(t *testing.T) {
	sandbox, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(sandbox, "stdout")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(sandbox, "stderr"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stdout", "stderr"} {
		if got := tail(sandbox, name); len(got) > 0 {
			t.Errorf("%s: read %q", name, got)
		}
	}
}
