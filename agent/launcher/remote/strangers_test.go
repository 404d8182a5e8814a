package remote_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/agent/launcher/remote"
)

const nobody = 65534

// stranger asks a launcher for its containers, and says what came of it.
func stranger(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client, err := remote.Dial(ctx, dir)
	if err == nil {
		_, err = client.List(ctx)
	}
	if err != nil {
		fmt.Println("refused:", err)
		return 0
	}
	fmt.Println("answered")
	return 1
}

// TestStrangersDoNotReachTheLauncher: its socket is for its user, and it has no abstract one, which every process of the
// network namespace would reach.
func TestStrangersDoNotReachTheLauncher(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: run as root to become another user")
	}
	dir := filepath.Join(t.TempDir(), "launcher")
	p := start(t, dir, "0s")
	defer p.kill()
	sockets := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSocket {
			return err
		}
		sockets++
		info, err := os.Stat(filepath.Dir(path))
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("the directory of %s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil || sockets == 0 {
		t.Fatalf("%d sockets, %v", sockets, err)
	}
	if found := abstract(t, p.cmd.Process.Pid); found != "" {
		t.Errorf("an abstract socket: %s", found)
	}

	openToAll(t, dir)
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"test", "stranger", dir}, ExtraFiles: []*os.File{exe}, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "refused:") {
		t.Errorf("another user was answered though the directory stood open: %s %v", out, err)
	}
	if _, err := p.List(t.Context()); err != nil {
		t.Errorf("afterwards the launcher does not answer its own user: %v", err)
	}
}

// openToAll undoes the permissions of a directory, its parents below the test's, and what is in it.
func openToAll(t *testing.T, dir string) {
	t.Helper()
	for up := dir; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() != fs.ModeSymlink {
			err = os.Chmod(path, 0o777)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// abstract names an abstract socket of a process, if it has one.
func abstract(t *testing.T, pid int) string {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", pid))
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("no descriptors: %v", err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		inode, is := strings.CutPrefix(target, "socket:[")
		if !is {
			continue
		}
		for line := range strings.Lines(string(table)) {
			if fields := strings.Fields(line); len(fields) > 7 && fields[6]+"]" == inode && strings.HasPrefix(fields[7], "@") {
				return fields[7]
			}
		}
	}
	return ""
}
