package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leftovers lists what clusters on dirs have not given back: processes that name one of the
// directories, cgroups of agents that work there, mounts below them, and network interfaces
// beyond the given number.
func leftovers(t *testing.T, interfaces int, dirs ...string) (left []string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]bool{}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		for _, path := range processes {
			if line, _ := os.ReadFile(path); strings.Contains(string(line), dir) {
				left = append(left, "process "+strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, dir+"/") {
				left = append(left, "mount "+line)
			}
		}
		for _, work := range []string{dir, dir + "/agents/1", dir + "/agents/2", dir + "/agents/3"} {
			sum := sha256.Sum256([]byte(work))
			groups[hex.EncodeToString(sum[:4])] = true
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && groups[entry.Name()] {
			left = append(left, "cgroup "+path)
			return fs.SkipDir
		}
		return nil
	})
	if now := countInterfaces(t); now > interfaces {
		left = append(left, fmt.Sprintf("%d interfaces, not %d", now, interfaces))
	}
	return left
}

func countInterfaces(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// givenBack waits until clusters on dirs have left nothing.
func givenBack(t *testing.T, interfaces int, dirs ...string) {
	t.Helper()
	eventually(t, "everything is given back", 20*time.Second, func() error {
		if left := leftovers(t, interfaces, dirs...); len(left) > 0 {
			return fmt.Errorf("%d things are left: %s", len(left), strings.Join(left, "; "))
		}
		return nil
	})
}
