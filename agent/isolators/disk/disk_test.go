package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/disk"
	mesos "agora.dev/agora/api/mesos/v1"
)

func give(megabytes float64, info *mesos.Resource_DiskInfo) *mesos.Resource {
	name, kind := "disk", mesos.Value_SCALAR
	return &mesos.Resource{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &megabytes}, Disk: info}
}

func persistent(id string) *mesos.Resource_DiskInfo {
	return &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id}}
}

func source(kind mesos.Resource_DiskInfo_Source_Type) *mesos.Resource_DiskInfo {
	return &mesos.Resource_DiskInfo{Source: &mesos.Resource_DiskInfo_Source{Type: &kind}}
}

func TestBoundedDirectories(t *testing.T) {
	volumes := []containerizer.PersistentVolume{{ID: "v", Source: "/volumes/v/"}, {ID: "m", Source: "/mnt/m", Mount: true}, {ID: "none"}}
	mount, path := source(mesos.Resource_DiskInfo_Source_MOUNT), source(mesos.Resource_DiskInfo_Source_PATH)
	cpus := give(8, nil)
	*cpus.Name = "cpus"
	for _, c := range []struct {
		what      string
		resources []*mesos.Resource
		want      string
	}{
		{"nothing", nil, ""},
		{"another resource", []*mesos.Resource{cpus}, ""},
		{"the sandbox, from several", []*mesos.Resource{give(10, nil), give(5.5, nil)}, "/box sandbox 16252928;"},
		{"a path disk without a volume", []*mesos.Resource{give(1, path)}, "/box sandbox 1048576;"},
		{"a mount disk without a volume", []*mesos.Resource{give(1, mount)}, ""},
		{"volumes after the sandbox", []*mesos.Resource{give(2, persistent("v")), give(1, nil), give(3, persistent("m")), give(1, persistent("v"))},
			"/box sandbox 1048576;/volumes/v 3145728;/mnt/m mount 3145728;"},
		{"volumes that are not there", []*mesos.Resource{give(2, persistent("none")), give(2, persistent("other"))}, ""},
	} {
		got := ""
		for _, q := range disk.Plan("/box", c.resources, volumes) {
			got += q.Path
			if q.Sandbox {
				got += " sandbox"
			}
			if q.Mount {
				got += " mount"
			}
			got += fmt.Sprintf(" %d;", q.Bytes)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestStatisticsTellSandboxAndVolumesApart(t *testing.T) {
	volumes := []containerizer.PersistentVolume{{ID: "v", Source: "/v"}}
	quotas := disk.Plan("/box", []*mesos.Resource{give(1, nil), give(2, persistent("v"))}, volumes)
	out := &mesos.ResourceStatistics{}
	disk.Describe(out, quotas, map[string]uint64{"/box": 7})
	if out.GetDiskLimitBytes() != 1<<20 || out.GetDiskUsedBytes() != 7 || len(out.DiskStatistics) != 2 {
		t.Fatalf("got %v", out)
	}
	first, second := out.DiskStatistics[0], out.DiskStatistics[1]
	if first.GetUsedBytes() != 7 || first.Persistence != nil || second.GetPersistence().GetId() != "v" || second.GetLimitBytes() != 2<<20 || second.UsedBytes != nil {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestMoreThanGivenIsALimitation(t *testing.T) {
	volumes := []containerizer.PersistentVolume{{ID: "m", Source: "/m", Mount: true}}
	quotas := disk.Plan("/box", []*mesos.Resource{give(1, nil), give(1, persistent("m"))}, volumes)
	if _, over := quotas[0].Exceeded(1 << 20); over {
		t.Error("what was given is too much")
	}
	end, over := quotas[0].Exceeded(1<<20 + 4096)
	if !over || end.State != mesos.TaskState_TASK_FAILED || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK ||
		end.Message != "Disk usage (1028KB) exceeds quota (1MB)" || len(end.Limited) != 1 || end.Limited[0].GetScalar().GetValue() != 1 {
		t.Errorf("got %+v", end)
	}
	if _, over := quotas[1].Exceeded(5 << 20); over {
		t.Error("a disk of its own is its own bound")
	}
}

// blocks is what a file takes.
func blocks(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Blocks) * 512
}

func write(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUsageIsThatOfDu(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "big")
	write(t, outside, 1<<20)
	write(t, filepath.Join(dir, "a/b/c"), 100_000)
	write(t, filepath.Join(dir, "a/d"), 1)
	if err := errors.Join(os.Link(filepath.Join(dir, "a/d"), filepath.Join(dir, "linked")), os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink(filepath.Dir(outside), filepath.Join(dir, "dir")), os.Symlink(".", filepath.Join(dir, "loop")),
		os.Truncate(filepath.Join(dir, "a/b/c"), 1<<30), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	want := blocks(t, dir) // the links to outside are in their inodes
	for _, name := range []string{"a", "a/b", "a/b/c", "a/d", "out", "dir", "loop", "pipe"} {
		want += blocks(t, filepath.Join(dir, name))
	}
	if got, err := disk.Usage(t.Context(), dir); err != nil || got != want {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
	if _, err := disk.Usage(t.Context(), filepath.Join(dir, "dir")); err == nil {
		t.Error("a link is measured")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := disk.Usage(ended, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestUsageStaysOnItsFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: needs root to mount")
	}
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	want, err := disk.Usage(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", other, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("SKIP: no mounts here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(other, 0); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(other, "file"), 1<<20)
	if got, err := disk.Usage(t.Context(), dir); err != nil || got > want {
		t.Errorf("got %d, %v, want at most %d", got, err, want)
	}
}

// A tree that is made and removed all the time is measured without an error.
func TestUsageBearsRemovals(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stays"), 8192)
	stop := make(chan struct{})
	var changes sync.WaitGroup
	for i := range 3 {
		changes.Go(func() {
			for at := filepath.Join(dir, fmt.Sprint(i)); ; {
				select {
				case <-stop:
					return
				default:
				}
				_ = os.MkdirAll(filepath.Join(at, "deep/deeper"), 0o755)
				_ = os.WriteFile(filepath.Join(at, "deep/file"), nil, 0o644)
				_ = os.RemoveAll(at)
				_ = os.Symlink(dir, at)
				_ = os.Remove(at)
			}
		})
	}
	for range 500 {
		if got, err := disk.Usage(t.Context(), dir); err != nil || got < 8192 {
			t.Errorf("got %d, %v", got, err)
			break
		}
	}
	close(stop)
	changes.Wait()
}

func TestTreeTooDeepIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", 511)), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "file"), 8192)
	if _, err := disk.Usage(t.Context(), dir); err != nil {
		t.Errorf("512 levels: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, strings.Repeat("d/", 512)), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := disk.Usage(t.Context(), dir); !errors.Is(err, disk.ErrTooDeep) || got < 8192 {
		t.Errorf("one more: %d, %v", got, err)
	}
}

func BenchmarkUsage(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		at := filepath.Join(dir, fmt.Sprint(i%100))
		_ = os.Mkdir(at, 0o755)
		if err := os.WriteFile(filepath.Join(at, fmt.Sprint(i)), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := disk.Usage(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
}
