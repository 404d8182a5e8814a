package xfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/isolators/disk/xfs"
	"agora.dev/agora/agent/isolators/disk/xfs/xfstest"
	"agora.dev/agora/resources"
)

func TestRangesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"": "not of the form", "5000": "not of the form", "[5-": "not of the form", "[9-5]": "not of the form", "[]": "not of the form", "{5}": "not of the form",
		"[0-10]": "project 0", "[5000-4294967295]": "end at 4294967294", "[5000-99999999999]": "end at",
	} {
		if got, err := xfs.ParseRange(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, got, err, want)
		}
	}
	if got, err := xfs.ParseRange("[5000-10000, 20-29]"); err != nil || got.Size() != 5011 {
		t.Errorf("got %v, %v", got, err)
	}
}

func ids(first, last uint64) resources.Ranges {
	return resources.NewRanges(resources.Range{Begin: first, End: last})
}

func TestFileSystemsWithoutProjectsAreRefused(t *testing.T) {
	tmpfs := t.TempDir()
	if err := unix.Mount("tmpfs", tmpfs, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("SKIP: no mounts here: %v", err)
	}
	defer unix.Unmount(tmpfs, 0)
	for dir, want := range map[string]string{
		tmpfs:                           "is on tmpfs (tmpfs at " + tmpfs + "), not on XFS",
		filepath.Join(tmpfs, "not/yet"): "is on tmpfs",
		xfstest.Mount(t, "noquota"):     "has no project quotas; mount it with the option prjquota",
	} {
		x, err := xfs.Open(xfs.Options{Dirs: []string{dir}, Projects: ids(5000, 5001)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, want %q", x, err, want)
		}
	}
}

// open starts an isolator on a real XFS.
func open(t *testing.T, o xfs.Options) *xfs.Isolator {
	t.Helper()
	x, err := xfs.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func give(t *testing.T, x *xfs.Isolator, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := x.Give(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
}

// fill writes and tells how much went in, up to a bound.
func fill(t *testing.T, path string, bound int) int {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done, chunk := 0, make([]byte, 64<<10)
	for done < bound {
		n, err := f.Write(chunk)
		if done += n; errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return done
}

func used(t *testing.T, x *xfs.Isolator, dir string) uint64 {
	t.Helper()
	bytes, ok, err := x.Used(dir)
	if err != nil || !ok {
		t.Fatalf("used of %s: %v, %v", dir, ok, err)
	}
	return bytes
}

func TestPoliciesBoundWrites(t *testing.T) {
	const mib = 1 << 20
	for policy, most := range map[xfs.Policy]int{xfs.Account: 40 * mib, xfs.Refuse: 2 * mib, xfs.Kill: 12 * mib} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			at := xfstest.Mount(t, "prjquota")
			x := open(t, xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5009), Policy: policy})
			box, other := filepath.Join(at, "box"), filepath.Join(at, "other")
			give(t, x, box, other)
			if err := x.Bound(box, 2*mib); err != nil {
				t.Fatal(err)
			}
			done := fill(t, filepath.Join(box, "f"), 40*mib)
			if done > most || done < most-mib {
				t.Errorf("%d bytes went in, want almost %d", done, most)
			}
			if got := used(t, x, box); got < uint64(done) || got > uint64(done)+mib && policy != xfs.Account {
				t.Errorf("%d bytes are counted, want %d and a little", got, done)
			}
			if got := used(t, x, other); got > mib || fill(t, filepath.Join(other, "f"), mib) != mib {
				t.Errorf("the other one has %d bytes, or is bounded too", got)
			}
			if err := x.Bound(box, 0); err != nil || fill(t, filepath.Join(box, "f"), 20*mib) != 20*mib {
				t.Errorf("lifted: %v, or it still holds", err)
			}
		})
	}
}

func free(x *xfs.Isolator) (n float64) {
	x.Figures(func(name string, value float64) {
		if name == "containerizer/mesos/disk/project_ids_free" {
			n = value
		}
	})
	return n
}

// await refreshes until a number of ids is free: the kernel counts removed files with a delay.
func await(t *testing.T, x *xfs.Isolator, want float64) {
	t.Helper()
	tick, end := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		if err := x.Refresh(); err != nil {
			t.Fatal(err)
		}
		if free(x) == want {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%v ids are free, want %v", free(x), want)
		}
	}
}

func TestProjectsAreFreeWhenTheirFilesAreGone(t *testing.T) {
	at := xfstest.Mount(t, "prjquota")
	o := xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5002), Policy: xfs.Refuse}
	x := open(t, o)
	a, b, c := filepath.Join(at, "a"), filepath.Join(at, "b"), filepath.Join(at, "c")
	give(t, x, a, b, c)
	give(t, x, a) // it keeps the one that it has
	more := filepath.Join(at, "more")
	if err := os.Mkdir(more, 0o755); err != nil {
		t.Fatal(err)
	}
	err := x.Give(t.Context(), more)
	if want := "all 3 of --xfs_project_range [5000-5002] are in use"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := x.Bound(b, 1<<20); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(b, "f"), 1<<20)
	held, err := os.Open(filepath.Join(b, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(b), x.Refresh()); err != nil {
		t.Fatal(err)
	}
	if free(x) != 0 {
		t.Error("the project of a file that is open still is free")
	}
	held.Close()
	await(t, x, 1)

	// The next agent knows them by their attributes, and what is free is so as a whole: the old bound is gone.
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, o)
	if free(x) != 1 {
		t.Errorf("after a restart %v are free, want 1", free(x))
	}
	give(t, x, more)
	if got := fill(t, filepath.Join(more, "f"), 3<<20); got != 3<<20 {
		t.Errorf("%d bytes went in: the bound of an earlier owner holds", got)
	}
	if free(x) != 0 {
		t.Errorf("%v are free, want none", free(x))
	}
}

func TestGivenDirectoriesTakeTheirContent(t *testing.T) {
	at := xfstest.Mount(t, "prjquota")
	x := open(t, xfs.Options{Dirs: []string{at}, Projects: ids(7, 9)})
	old, upper, outside := filepath.Join(at, "old"), filepath.Join(at, "upper"), filepath.Join(at, "outside")
	if err := errors.Join(os.MkdirAll(filepath.Join(old, "deep"), 0o755), os.Mkdir(upper, 0o755), os.WriteFile(outside, make([]byte, 4<<20), 0o644),
		os.WriteFile(filepath.Join(old, "deep/f"), make([]byte, 1<<20), 0o644), unix.Mkfifo(filepath.Join(old, "pipe"), 0o644),
		os.Symlink(outside, filepath.Join(old, "link"))); err != nil {
		t.Fatal(err)
	}
	give(t, x, old)
	if got := used(t, x, old); got < 1<<20 || got > 2<<20 {
		t.Errorf("%d bytes are counted, want 1 MiB and a little", got)
	}
	if err := x.Join(t.Context(), upper, old); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(upper, "f"), 2<<20)
	if got := used(t, x, old); got < 3<<20 {
		t.Errorf("%d bytes are counted, want what is beside it too", got)
	}
	// It can be moved out, as a destroyed volume is, and keeps its project until it is removed.
	if err := os.Rename(old, filepath.Join(at, "trash")); err != nil {
		t.Fatal(err)
	}
	if err := x.Refresh(); err != nil || free(x) != 2 {
		t.Errorf("%v are free, %v; want 2", free(x), err)
	}
}

func TestProjectsOfOthersAreRefused(t *testing.T) {
	at := xfstest.Mount(t, "prjquota")
	x := open(t, xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5009)})
	_, err := xfs.Open(xfs.Options{Dirs: []string{at}, Projects: ids(4000, 5000)})
	if want := "another agent of this machine has projects 5000-5009"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	open(t, xfs.Options{Dirs: []string{at}, Projects: ids(5010, 5019)})
	box := filepath.Join(at, "box")
	give(t, x, box)
	_, err = xfs.Open(xfs.Options{Dirs: []string{box}, Projects: ids(6000, 6009)})
	if want := "is in project 5000 itself"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	// What somebody else's files have is not given out, whoever that is.
	if err := errors.Join(x.Close(), os.Mkdir(filepath.Join(at, "second"), 0o755)); err != nil {
		t.Fatal(err)
	}
	x = open(t, xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5000)})
	if err := x.Give(t.Context(), filepath.Join(at, "second")); err == nil {
		t.Error("a project that has files was given to another directory")
	}
	elsewhere := xfstest.Mount(t, "prjquota")
	_, err = xfs.Open(xfs.Options{Dirs: []string{at, elsewhere}, Projects: ids(6000, 6009)})
	if err == nil || !strings.Contains(err.Error(), "put both on one file system") {
		t.Errorf("got %v", err)
	}
}

// A disk of its own has ids of its own: the same number on two file systems is two projects.
func TestVolumesOfOtherDisksAreBoundedThere(t *testing.T) {
	at, disk := xfstest.Mount(t, "prjquota"), xfstest.Mount(t, "prjquota")
	x := open(t, xfs.Options{Dirs: []string{at}, Roots: []string{filepath.Join(disk, "not/yet")}, Projects: ids(5000, 5000), Policy: xfs.Refuse})
	box, volume := filepath.Join(at, "box"), filepath.Join(disk, "not/yet/volumes/v")
	give(t, x, box, volume)
	if err := errors.Join(x.Bound(box, 1<<20), x.Bound(volume, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if a, b := fill(t, filepath.Join(box, "f"), 8<<20), fill(t, filepath.Join(volume, "f"), 8<<20); a > 1<<20 || b > 3<<20 || b < 2<<20 {
		t.Errorf("%d and %d bytes went in, want up to 1 MiB and 3 MiB", a, b)
	}
	if used(t, x, box) > 1<<20 || used(t, x, volume) < 2<<20 {
		t.Errorf("%d and %d bytes are counted", used(t, x, box), used(t, x, volume))
	}
	if free(x) != 0 {
		t.Errorf("%v are free, want none: those of the work directory's file system are told", free(x))
	}
	if err := x.Give(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "not on XFS") {
		t.Errorf("a volume on a disk without projects: %v", err)
	}
}

func TestQuotasThatAreNotEnforcedAreNoBound(t *testing.T) {
	at := xfstest.Mount(t, "pqnoenforce")
	_, err := xfs.Open(xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5009), Policy: xfs.Refuse})
	if err == nil || !strings.Contains(err.Error(), "enforces no limits (pqnoenforce)") {
		t.Errorf("got %v", err)
	}
	x := open(t, xfs.Options{Dirs: []string{at}, Projects: ids(5000, 5009)})
	give(t, x, filepath.Join(at, "box"))
	fill(t, filepath.Join(at, "box/f"), 1<<20)
	if got := used(t, x, filepath.Join(at, "box")); got < 1<<20 {
		t.Errorf("%d bytes are counted", got)
	}
}
