package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: owners and devices need root")
	}
}

// layer makes a directory by a list of steps.
func layer(t *testing.T, steps ...func(dir string) error) string {
	t.Helper()
	dir := t.TempDir()
	for i, step := range steps {
		if err := step(dir); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return dir
}

func file(name, content string, mode os.FileMode, owner int) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600), os.Lchown(path, owner, owner+1))
		return errors.Join(err, os.Chmod(path, mode), os.Chtimes(path, time.Unix(1111, 5), time.Unix(1e9, 123456789)))
	}
}

func directory(name string, mode os.FileMode) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode))
	}
}

func symlink(name, target string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path), os.Lchown(path, 7, 8))
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 5}, {Sec: 6, Nsec: 7}}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func hardLink(name, target string) func(string) error {
	return func(dir string) error { return os.Link(filepath.Join(dir, target), filepath.Join(dir, name)) }
}

func node(name string, mode uint32, major, minor uint32) func(string) error {
	return func(dir string) error {
		return unix.Mknod(filepath.Join(dir, name), mode, int(unix.Mkdev(major, minor)))
	}
}

func whiteout(name string) func(string) error { return node(name, unix.S_IFCHR, 0, 0) }

func xattr(name, attribute, value string) func(string) error {
	return func(dir string) error { return unix.Lsetxattr(filepath.Join(dir, name), attribute, []byte(value), 0) }
}

func sparse(name string, at int64, content string, size int64) func(string) error {
	return func(dir string) error {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte(content), at)
		return errors.Join(err, f.Truncate(size))
	}
}

// fileCapability lets a program bind low ports (version 2, effective).
const fileCapability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func everything(t *testing.T) []string {
	t.Helper()
	low := layer(t, file("bin/su", "set user id", 0o755|os.ModeSetuid, 0), file("bin/wall", "group", 0o755|os.ModeSetgid, 5),
		file("etc/passwd", "low", 0o644, 1), file("etc/shadow", "low", 0, 2), file("gone/deep/file", "x", 0o644, 0), file("gone2", "x", 0o644, 0),
		file("opaque/hidden", "x", 0o644, 0), file("was-dir/inside", "x", 0o644, 0), file("was-file", "x", 0o600, 0),
		directory("tmp", 0o777|os.ModeSticky), directory("empty", 0o500), symlink("lib", "usr/lib"), symlink("dangling", "/no/such"),
		file("bin/ping", "cap", 0o755, 0), xattr("bin/ping", capabilities, fileCapability), xattr("etc/passwd", "user.note", "kept"), xattr("tmp", "user.dir", "kept too"),
		hardLink("bin/su2", "bin/su"), hardLink("etc/hard", "bin/su"), node("etc/pipe", unix.S_IFIFO|0o640, 0, 0), node("null", unix.S_IFCHR|0o666, 1, 3), node("disk", unix.S_IFBLK|0o600, 7, 99),
		sparse("holes", 3<<20, "middle", 9<<20), sparse("end-hole", 0, "start", 4<<20), sparse("all-hole", 0, "", 1<<20), file("big", strings.Repeat("0123456789abcdef", 1<<17), 0o600, 3),
		file(strings.Repeat("n", 255), "long name", 0o644, 0), file("odd \n\xff name", "odd", 0o644, 0))
	mid := layer(t, whiteout("gone2"), whiteout("gone"), file("etc/passwd", "mid", 0o640, 9), file("opaque/shown", "y", 0o644, 0), xattr("opaque", opaqueTrusted, "y"),
		file("was-dir", "now a file", 0o644, 0), file("was-file/now-dir", "y", 0o644, 0), directory("etc", 0o711), file("usr/lib/so", "lib", 0o755, 0))
	top := layer(t, file("gone/again", "z", 0o644, 0), file("etc/new", "z", 0o644, 0), directory("etc", 0o750), whiteout("etc/shadow"), symlink("usr/lib/link", "../../etc/passwd"))
	return []string{low, mid, top}
}

// describe is all that a program could see of a tree, a line for each file.
func describe(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	names := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%q %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		if rel != "." {
			line += fmt.Sprintf(" %d.%d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" size %d links %d content %x", st.Size, st.Nlink, sum(b))
			if first, again := names[st.Ino]; again {
				line += " same as " + first
			} else {
				names[st.Ino] = rel
			}
			if st.Blocks*512 < st.Size/2 {
				line += " sparse"
			}
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" device %d", st.Rdev)
		}
		attributes, err := list(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
		if err != nil {
			return err
		}
		slices.Sort(attributes)
		for _, name := range attributes {
			value, err := get(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %s=%q", name, value)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sum(b []byte) (h uint64) {
	for _, c := range b {
		h = h*1099511628211 + uint64(c) + 1
	}
	return h
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("has    %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("misses %s", line)
		}
	}
}

func copyAll(t *testing.T, c Copying) (string, Copied) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	copied, err := c.To(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, copied
}

func TestACopyIsWhatOverlayShows(t *testing.T) {
	needRoot(t)
	layers := everything(t)
	upper := t.TempDir()
	for _, dir := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(upper, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	down := slices.Clone(layers)
	slices.Reverse(down)
	root, err := mount(down, filepath.Join(upper, "upper"), filepath.Join(upper, "work"))
	if err != nil {
		t.Skipf("SKIP: no overlay here to compare with: %v", err)
	}
	defer unix.Close(root)
	want := describe(t, through(root, "")+".")
	dir, copied := copyAll(t, Copying{Layers: layers})
	got := describe(t, dir)
	compare(t, got, want)
	if copied.Files != len(got)-1 || len(got) < 30 || copied.Left != 0 {
		t.Errorf("%+v for %d files", copied, len(got))
	}
	// The layers are as they were, but for the time of the last read.
	again, _ := copyAll(t, Copying{Layers: layers})
	compare(t, describe(t, again), want)
}

func TestACopyTakesWhatItSays(t *testing.T) {
	needRoot(t)
	dir, copied := copyAll(t, Copying{Layers: everything(t)})
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Skipf("SKIP: du: %v", err)
	}
	var bytes uint64
	if _, err := fmt.Sscan(string(out), &bytes); err != nil {
		t.Fatal(err)
	}
	if copied.Bytes != bytes || bytes > 4<<20 {
		t.Errorf("the copy says %d bytes, du %d; its files have 16 MiB of holes", copied.Bytes, bytes)
	}
}

func TestOwnersOfAUserNamespaceAreShifted(t *testing.T) {
	needRoot(t)
	low := layer(t, file("root", "x", 0o755|os.ModeSetuid, 0), file("user", "x", 0o644, 1000), file("far", "x", 0o755|os.ModeSetuid, 70000),
		symlink("link", "root"), file("ping", "x", 0o755, 0), xattr("ping", capabilities, fileCapability), directory("dir", 0o700))
	dir, _ := copyAll(t, Copying{Layers: []string{low}, First: 1 << 24, Size: 65536})
	for name, want := range map[string]uint32{".": 0, "root": 0, "user": 1000, "far": 65534, "link": 7, "dir": 0} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Uid != 1<<24+want {
			t.Errorf("%s belongs to %d, %v; want %d", name, st.Uid, err, 1<<24+want)
		}
		if name == "root" && st.Mode&0o7777 != 0o4755 {
			t.Errorf("%s has mode %o", name, st.Mode)
		}
	}
	value := make([]byte, 64)
	n, err := unix.Lgetxattr(filepath.Join(dir, "ping"), capabilities, value)
	want := "\x01\x00\x00\x03" + fileCapability[4:] + "\x00\x00\x00\x01"
	if err != nil || string(value[:n]) != want {
		t.Errorf("capabilities %q, %v; want %q", value[:max(n, 0)], err, want)
	}
}

// TestLinksLeadNoCopyOut: a link in one layer where another has a directory, and links as
// the layer's own directories.
func TestLinksLeadNoCopyOut(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	plant := func(dir string) error {
		return errors.Join(os.MkdirAll(filepath.Join(dir, "d"), 0o755), os.WriteFile(filepath.Join(dir, "d/planted"), nil, 0o600))
	}
	link := func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "d")) }
	for name, layers := range map[string][]func(string) error{"link below": {link, plant}, "link above": {plant, link}, "link alone": {link}} {
		var dirs []string
		for _, step := range layers {
			dirs = append(dirs, layer(t, step))
		}
		dir, _ := copyAll(t, Copying{Layers: dirs})
		info, err := os.Lstat(filepath.Join(dir, "d"))
		if err != nil {
			t.Fatal(err)
		}
		if isLink := info.Mode()&os.ModeSymlink != 0; isLink != (name != "link below") {
			t.Errorf("%s: got %s", name, info.Mode())
		}
		if left, _ := os.ReadDir(outside); len(left) != 1 {
			t.Errorf("%s: files outside: %v (as user %d)", name, left, owner)
		}
	}
}

func TestAnEndedCopyStops(t *testing.T) {
	low := layer(t, func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600) })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("destroyed"))
	target := filepath.Join(t.TempDir(), "copy")
	if _, err := (Copying{Layers: []string{low}}).To(ctx, target); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), target) {
		t.Errorf("got %v", err)
	}
	if _, err := (Copying{Layers: []string{low + "/none"}}).To(t.Context(), target+"2"); err == nil || !strings.Contains(err.Error(), "open layer "+low+"/none") {
		t.Errorf("got %v", err)
	}
	if _, err := (Copying{Layers: []string{low}}).To(t.Context(), target); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over what is there: got %v", err)
	}
}

// TestAFullDiskEndsACopy: the error says what was copied and where to, by every way of copying.
func TestAFullDiskEndsACopy(t *testing.T) {
	needRoot(t)
	full, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	if err := errors.Join(unix.FsconfigSetString(full, "size", "1m"), unix.FsconfigCreate(full)); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Fsmount(full, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	low := layer(t, file("dir/large", strings.Repeat("x", 3<<20), 0o644, 0))
	target := filepath.Join(through(root, ""), "copy")
	_, err = Copying{Layers: []string{low}}.To(t.Context(), target)
	if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "copy image to "+target+": /dir/large: ") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(os.RemoveAll(target), os.Mkdir(target, 0o755)); err != nil {
		t.Errorf("what was copied stays: %v", err)
	}
}

// TestDeepAndManyDirectories: a path of more bytes than the kernel takes at once.
func TestDeepAndManyDirectories(t *testing.T) {
	const depth = 40
	name := strings.Repeat("d", 200)
	low := t.TempDir()
	at, err := unix.Open(low, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, "first", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if err := unix.Linkat(at, "first", at, "second", 0); err != nil {
		t.Fatal(err)
	}
	dir, copied := copyAll(t, Copying{Layers: []string{low}})
	if copied.Files != depth+2 {
		t.Errorf("%+v, want %d files", copied, depth+2)
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	last, err := openBeneath(root, strings.TrimSuffix(strings.Repeat(name+"/", depth), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(last)
	var st unix.Stat_t
	if err := unix.Fstatat(last, "second", &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Nlink != 2 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestProbeTellsWhetherOverlayWorks(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := Probe(dir, dir); err != nil {
		t.Errorf("on %s: %v", dir, err)
	}
	if err := Probe(dir, filepath.Join(dir, "a,b")); err == nil || !strings.Contains(err.Error(), "comma") {
		t.Errorf("got %v", err)
	}
	// An overlay is no upper directory of another.
	for _, sub := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mount([]string{filepath.Join(dir, "lower")}, filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if err := Probe(dir, strings.TrimSuffix(through(root, ""), "/")); err == nil || !strings.Contains(err.Error(), "as upper directory: ") {
		t.Errorf("got %v", err)
	} else {
		t.Log(err)
	}
	long := filepath.Join(dir, strings.Repeat("l", 200), strings.Repeat("m", 200))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Probe(long, long); err != nil {
		t.Errorf("a long path: %v", err)
	}
	other, err := os.MkdirTemp("/dev/shm", "probe")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(other)
	if err := Probe(other, dir); err != nil {
		t.Errorf("layers on another file system: %v", err)
	}
	if left, _ := filepath.Glob(other + "/.probe-*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if left, _ := filepath.Glob(dir + "/.probe-*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func BenchmarkCopy(b *testing.B) {
	low := b.TempDir()
	for i := range 5000 {
		dir := filepath.Join(low, fmt.Sprint(i%100))
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 20000), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		n++
		if _, err := (Copying{Layers: []string{low}}).To(b.Context(), filepath.Join(b.TempDir(), fmt.Sprint(n))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(5000, "files/op")
}
