package linux_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/containerlogger"
	mesos "agora.dev/agora/api/mesos/v1"
)

// onDiskBytes is what a file takes, holes excluded.
func onDiskBytes(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

func TestLogFloodIsBounded(t *testing.T) {
	const bound = 1 << 20
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.reopen(func(c *linux.Config) {
			c.Output.Stdout = containerlogger.Bound{MaxBytes: bound, Keep: 1}
			c.Output.Stderr = c.Output.Stdout
		})
		flood, quiet := w.spec("flood", "yes to the log & yes to errors >&2; wait"), w.spec("quiet", "echo hello; exec sleep 1000")
		own := w.spec("own", "yes to the log")
		name, value := "CONTAINER_LOGGER_MAX_STDOUT_SIZE", "64KB"
		own.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: &name, Value: &value}}}
		for _, s := range []containerizer.Spec{quiet, flood, own} {
			w.launch(s)
		}
		for _, c := range []struct {
			s    containerizer.Spec
			name string
			size int64
		}{{flood, "stdout", bound}, {flood, "stderr", bound}, {own, "stdout", 64 << 10}} {
			path := filepath.Join(c.s.Sandbox, c.name)
			w.await(c.name+" of "+string(c.s.ID)+" is rotated", func() bool {
				info, err := os.Stat(path)
				return err == nil && info.Size() > 4*c.size && onDiskBytes(path+".1") > 0
			})
		}
		if err := w.Destroy(w.ctx, flood.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Wait(w.ctx, flood.ID); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"stdout", "stderr"} {
			path := filepath.Join(flood.Sandbox, name)
			if have := onDiskBytes(path) + onDiskBytes(path+".1"); have > 2*bound+64<<10 {
				t.Errorf("%s takes %d bytes after the end, want two times %d", name, have, bound)
			}
			data, err := os.ReadFile(path + ".1")
			if err != nil || bytes.ContainsRune(data, 0) || !strings.HasSuffix(string(data), "\n") || len(data) > bound {
				t.Errorf("%s.1 has %d bytes, %v: it is not whole lines", name, len(data), err)
			}
		}
		if got := output(quiet); got != "hello\n" {
			t.Errorf("the quiet one's output is %q", got)
		}
	})
}
