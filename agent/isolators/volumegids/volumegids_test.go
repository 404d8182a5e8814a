package volumegids_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"agora.dev/agora/agent/isolators/volumegids"
	"agora.dev/agora/resources"
)

func ids(first, last uint64) resources.Ranges {
	return resources.NewRanges(resources.Range{Begin: first, End: last})
}

func TestRangesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{"": "not of the form", "10000": "not of the form", "[5-1]": "not of the form", "[0-9]": "group 0 is root's", "[1-2147483648]": "end at 2147483647"} {
		if got, err := volumegids.ParseRange(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, got, err, want)
		}
	}
	if got, err := volumegids.ParseRange("[10000-20000]"); err != nil || got.Size() != 10001 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestGroupsOfTheMachineAreRefused(t *testing.T) {
	if groups, err := os.ReadFile("/etc/group"); err != nil || strings.Count(string(groups), "\n") < 2 {
		t.Skip("SKIP: this machine has no group but root's")
	}
	_, err := volumegids.Open(filepath.Join(t.TempDir(), "gids"), ids(1, 70000))
	if want := "of this machine has the id"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: needs root to give files away")
	}
}

func open(t *testing.T, file string, ids resources.Ranges) *volumegids.Groups {
	t.Helper()
	g, err := volumegids.Open(file, ids)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func share(t *testing.T, g *volumegids.Groups, path, sandbox string) (uint32, error) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	return g.Share(t.Context(), dir, path, sandbox)
}

func must(t *testing.T, g *volumegids.Groups, path, sandbox string) uint32 {
	t.Helper()
	gid, err := share(t, g, path, sandbox)
	if err != nil {
		t.Fatal(err)
	}
	return gid
}

// owner is a file's group and mode.
func owner(t *testing.T, path string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %o", st.Gid, st.Mode&0o7777)
}

func TestVolumeIsGivenAsAWholeAndNothingElse(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	v, outside := filepath.Join(dir, "v"), filepath.Join(dir, "outside")
	write := func(path string, mode os.FileMode) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode))
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(v, "deep"), 0o755), write(outside, 0o600), write(filepath.Join(v, "deep/data"), 0o600),
		write(filepath.Join(v, "program"), 0o755), write(filepath.Join(v, "suid"), 0o755|os.ModeSetuid),
		os.Link(outside, filepath.Join(v, "linked")), os.Symlink(outside, filepath.Join(v, "link"))); err != nil {
		t.Fatal(err)
	}
	must(t, open(t, filepath.Join(dir, "gids"), ids(70000, 70009)), v, "")
	for name, want := range map[string]string{"": "70000 2775", "deep": "70000 2775", "deep/data": "70000 660", "program": "70000 775", "suid": "70000 775", "linked": "0 600", "link": "0 777", "../outside": "0 600"} {
		if got := owner(t, filepath.Join(v, name)); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

func TestEachVolumeHasAGroupUntilItIsGone(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	file, box := filepath.Join(dir, "meta/gids"), filepath.Join(dir, "box")
	a, b, c, d := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(box, "c"), filepath.Join(dir, "d")
	g := open(t, file, ids(70000, 70002))
	if got := []uint32{must(t, g, a, ""), must(t, g, b, ""), must(t, g, c, box), must(t, g, a, ""), must(t, g, filepath.Join(a, "inner"), "")}; fmt.Sprint(got) != "[70000 70001 70002 70000 70000]" {
		t.Errorf("got %v", got)
	}
	if _, err := share(t, g, d, ""); err == nil || !strings.Contains(err.Error(), "all 3 of --volume_gid_range [70000-70002] are in use") {
		t.Errorf("got %v", err)
	}
	g = open(t, file, ids(70000, 70002)) // the next agent
	if _, err := share(t, g, d, ""); err == nil {
		t.Error("a restarted agent gives a group twice")
	}
	live := true
	refresh := func() {
		t.Helper()
		if err := g.Refresh(func(sandbox string) bool { return sandbox == box && live }); err != nil {
			t.Fatal(err)
		}
	}
	free := func() (n float64) {
		g.Figures(func(name string, value float64) {
			if name == "volume_gid_manager/volume_gids_free" {
				n = value
			}
		})
		return n
	}
	if refresh(); free() != 0 {
		t.Errorf("%v are free, want none", free())
	}
	if err := os.RemoveAll(b); err != nil {
		t.Fatal(err)
	}
	if refresh(); free() != 1 || must(t, g, d, "") != 70001 {
		t.Error("the group of a volume that is gone is not free")
	}
	if live = false; true {
		refresh()
	}
	if free() != 1 {
		t.Errorf("%v are free, want that of the sandbox whose container is gone", free())
	}
	// A lost record: the volume says which group it has.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if g = open(t, file, ids(70000, 70002)); must(t, g, d, "") != 70001 {
		t.Error("the volume has another group after its record was lost")
	}
	if err := os.WriteFile(file, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := volumegids.Open(file, ids(70000, 70002)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a torn record: %v", err)
	}
}
