package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestBothFileSystemsReplaceAlike: also where there is nothing to replace, and nothing to replace it with.
func TestBothFileSystemsReplaceAlike(t *testing.T) {
	mem := NewMem()
	for name, f := range map[string]FS{"os": OS{}, "mem": mem} {
		dir := t.TempDir()
		if err := mem.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "file")
		for _, content := range []string{"first", "second, which is longer", "third"} {
			if err := errors.Join(f.WriteFile(file+".new", []byte(content)), Replace(f, file+".new", file)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := f.ReadFile(file); err != nil || string(got) != content {
				t.Errorf("%s: read %q, %v, want %q", name, got, err, content)
			}
			if list, err := f.ReadDir(dir); err != nil || len(list) != 1 {
				t.Errorf("%s: %v, %v, want the file alone", name, list, err)
			}
		}
		if err := Replace(f, filepath.Join(dir, "none"), file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: replaced by nothing: %v", name, err)
		}
		if got, err := f.ReadFile(file); err != nil || string(got) != "third" {
			t.Errorf("%s: then it is %q, %v", name, got, err)
		}
	}
}

// TestReplaceKeepsNothingOfTheOldFile: the old one is unlinked, and who has it open keeps it as it was.
func TestReplaceKeepsNothingOfTheOldFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := errors.Join(os.WriteFile(file+".new", []byte("new"), 0o600), Replace(OS{}, file+".new", file)); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 3)
	if _, err := open.Read(old); err != nil || string(old) != "old" {
		t.Errorf("the open file says %q, %v", old, err)
	}
	if _, err := os.Stat(file + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file was left beside the new: %v", err)
	}
}
