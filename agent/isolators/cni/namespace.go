package cni

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const namespaceFile = "ns"

// hold makes the container's network namespace and keeps it at a path.
func (i *Isolator) hold(container string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	dir := i.dir(container)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	if err := share(i.containers()); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	file := filepath.Join(dir, namespaceFile)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	if err := makeNamespace(file); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return file, nil
}

// release lets go of the namespace and everything else that is kept of the container.
func (i *Isolator) release(container string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	dir := i.dir(container)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	file := filepath.Join(dir, namespaceFile)
	for isMount(file) {
		if err := unix.Unmount(file, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("network namespace of container %s: %w", container, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("network namespace of container %s: %w", container, err)
	}
	if left, err := os.ReadDir(i.containers()); err == nil && len(left) == 0 {
		return unshare(i.containers())
	}
	return nil
}

// share makes the directory a mount whose changes reach the copies that containers have
// of it: an unmounted namespace must not live on in them.
func share(dir string) error {
	if isMount(dir) {
		return nil
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "bind", Path: dir, Err: err}
	}
	// A peer group of its own, whatever the mount around it is shared with.
	for _, kind := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", dir, "", kind, ""); err != nil {
			return errors.Join(&os.PathError{Op: "share", Path: dir, Err: err}, unshare(dir))
		}
	}
	return nil
}

func unshare(dir string) error {
	if !isMount(dir) {
		return nil
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}

func isMount(path string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// makeNamespace makes a network namespace with loopback up and binds it to file. The
// thread that is in it is never used again.
func makeNamespace(file string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with this goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			if err := loopbackUp(); err != nil {
				return fmt.Errorf("loopback: %w", err)
			}
			relax()
			own := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
			if err := unix.Mount(own, file, "", unix.MS_BIND, ""); err != nil {
				return &os.PathError{Op: "bind", Path: file, Err: err}
			}
			return nil
		}()
	}()
	return <-done
}

// within runs do on a thread in the namespace, which is never used again.
func within(namespace string, do func() error) error {
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with this goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// relax allows in the namespace what needs NET_RAW and NET_BIND_SERVICE elsewhere. A
// kernel without one of the settings just goes on needing the capability.
func relax() {
	for name, value := range map[string]string{"ping_group_range": "0 2147483647", "ip_unprivileged_port_start": "0"} {
		_ = os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0)
	}
}
