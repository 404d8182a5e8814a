package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNothingOutsideAnAttachedDirectoryIsReachable(t *testing.T) {
	outside, sandbox := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": secret, "relative": "../" + filepath.Base(outside) + "/secret", "dir": outside} {
		if err := os.Symlink(target, filepath.Join(sandbox, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(sandbox, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := Tree(func() map[string]string { return map[string]string{"/box": sandbox} })
	for _, path := range []string{
		"/box/absolute", "/box/relative", "/box/dir/secret", "/box/../" + secret, secret, "", "/", "/boxes", "/box/pipe",
		"/box/../../etc/passwd", "box/..", "/box/none",
	} {
		if data, _, err := tree.Read(path, 0, -1); err == nil {
			t.Errorf("read %q: %q", path, data)
		}
	}
	if _, err := tree.Browse("/box/dir"); !errors.Is(err, ErrNotFound) {
		t.Errorf("browse through a link: %v", err)
	}
	list, err := tree.Browse("/box")
	if err != nil || len(list) != 4 {
		t.Errorf("browse: %d entries, %v", len(list), err)
	}
}

func TestReadIsBoundedAndTakesOffsets(t *testing.T) {
	sandbox := t.TempDir()
	if err := os.WriteFile(filepath.Join(sandbox, "log"), []byte(strings.Repeat("0123456789", 1<<19)), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := Tree(func() map[string]string { return map[string]string{"/box": sandbox} })
	data, size, err := tree.Read("/box/log", 5, 10)
	if err != nil || string(data) != "5678901234" || size != 10<<19 {
		t.Errorf("read %q of %d, %v", data, size, err)
	}
	data, _, _ = tree.Read("box/log/", 0, -1)
	if len(data) != maxRead {
		t.Errorf("%d bytes in one answer, want %d", len(data), maxRead)
	}
	if data, _, err := tree.Read("/box/log", size+1, 10); err != nil || len(data) != 0 {
		t.Errorf("past the end: %d bytes, %v", len(data), err)
	}
	if _, _, err := tree.Read("/box", 0, 1); !errors.Is(err, ErrDirectory) {
		t.Errorf("a directory: %v", err)
	}
}

func TestAnAttachedFileIsReadAndNothingBesideIt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"log", "beside"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree := Tree(func() map[string]string { return map[string]string{"/slave/log": filepath.Join(dir, "log")} })
	if data, size, err := tree.Read("/slave/log", 0, -1); string(data) != "log" || size != 3 || err != nil {
		t.Errorf("the log: %q, %d, %v", data, size, err)
	}
	for _, name := range []string{"/slave/log/beside", "/slave/log/../beside", "/slave", "/slave/beside"} {
		if _, _, err := tree.Read(name, 0, -1); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if at, ok := tree.Attached("slave/log/x"); at != "/slave/log" || !ok {
		t.Errorf("attached at %q, %v", at, ok)
	}
}
