package sandboxes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTheAgentsOwnPartOfAPath(t *testing.T) {
	for path, want := range map[string][2]string{
		"/w/slaves/s/frameworks/f/executors/e/runs/c":                            {"/w/slaves/s/frameworks/f/executors/e/runs/c", "."},
		"/w/slaves/s/frameworks/f/executors/e/runs/c/containers/a":               {"/w/slaves/s/frameworks/f/executors/e/runs/c", "containers/a"},
		"/w/slaves/s/frameworks/f/executors/e/runs/c/containers/a/containers/b/": {"/w/slaves/s/frameworks/f/executors/e/runs/c", "containers/a/containers/b"},
		"/w/slaves/s/frameworks/f/executors/containers/runs/c":                   {"/w/slaves/s/frameworks/f/executors/containers/runs/c", "."},
		"/w/containers/standalone":                                               {"/w", "containers/standalone"},
		"/w/containers/standalone/containers/x":                                  {"/w", "containers/standalone/containers/x"},
		"/":                                                                      {"/", "."},
	} {
		if base, below := Split(path); base != want[0] || below != want[1] {
			t.Errorf("%s: %s and %s, want %s", path, base, below, want)
		}
	}
}

// pod makes the sandbox of a pod with that of a task in it, and a directory that is nobody's business.
func pod(t *testing.T) (run, task, outside string) {
	t.Helper()
	run, outside = t.TempDir(), t.TempDir()
	task = filepath.Join(run, "containers", "c1")
	if err := Make(task, -1, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(outside, "c1"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shadow", "c1/stdout"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return run, task, outside
}

func untouched(t *testing.T, outside string) {
	t.Helper()
	var found []string
	err := filepath.WalkDir(outside, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
				t.Errorf("%s holds %q, %v", path, text, err)
			}
		}
		found = append(found, path)
		return err
	})
	if err != nil || len(found) != 4 {
		t.Errorf("found %q, %v", found, err)
	}
}

func TestSandboxIsReadAndWritten(t *testing.T) {
	run, task, outside := pod(t)
	f, err := Append(task, "stdout", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("hello"); err != nil {
		t.Error(err)
	}
	f.Close()
	root, err := Open(task)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if text, err := root.ReadFile("stdout"); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	for _, id := range []string{"c0", "c1"} { // the later one stays
		if err := Link(run, "tasks", "t1", filepath.Join("..", "containers", id)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(run, "tasks", "t1", "stdout")); err != nil || string(text) != "hello" {
		t.Errorf("by the task's name: %q, %v", text, err)
	}
	untouched(t, outside)
}

// TestWhatAPodPutsInThePlaceOfDirectoriesLeadsNowhere: the agent is root, and the sandbox of a pod is its user's.
func TestWhatAPodPutsInThePlaceOfDirectoriesLeadsNowhere(t *testing.T) {
	exchange := func(t *testing.T, path, target string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("containers", func(t *testing.T) {
		run, task, outside := pod(t)
		exchange(t, filepath.Join(run, "containers"), outside)
		if err := Make(filepath.Join(run, "containers", "c2"), os.Getuid(), os.Getgid()); err == nil {
			t.Error("a sandbox was made behind a link")
		}
		if f, err := Append(task, "stdout", os.O_WRONLY); err == nil {
			f.Close()
			t.Error("a file was opened behind a link")
		}
		if root, err := Open(task); err == nil {
			root.Close()
			t.Error("a sandbox was opened behind a link")
		}
		untouched(t, outside)
	})
	t.Run("tasks", func(t *testing.T) {
		run, _, outside := pod(t)
		exchange(t, filepath.Join(run, "tasks"), outside)
		if err := Link(run, "tasks", "shadow", "../containers/c1"); err == nil {
			t.Error("a link was made behind a link")
		}
		untouched(t, outside)
	})
	t.Run("the file", func(t *testing.T) {
		_, task, outside := pod(t)
		exchange(t, filepath.Join(task, "stdout"), filepath.Join(outside, "shadow"))
		if f, err := Append(task, "stdout", os.O_WRONLY); err == nil {
			f.Close()
			t.Error("a link was opened")
		}
		untouched(t, outside)
	})
	t.Run("nothing", func(t *testing.T) {
		run, _, _ := pod(t)
		if _, err := Open(filepath.Join(run, "containers", "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}
