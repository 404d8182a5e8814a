package oci

import (
	"fmt"
	"os"

	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// sealedShim makes the executable that sets the scene for the runtime and is the init
// of its containers: in memory, and unchangeable even by a root user who can open it.
func sealedShim() (*os.File, error) {
	image, err := shim.Image()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("agora-init", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, image); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if err := unix.Fchmod(fd, 0o555); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	// Opened again for reading, since an executable open for writing is busy; and at a
	// high number, since ForkExec puts the child's files on the low ones first.
	readable, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	defer unix.Close(readable)
	high, err := unix.FcntlInt(uintptr(readable), unix.F_DUPFD_CLOEXEC, 64)
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	return os.NewFile(uintptr(high), "agora-init"), nil
}

// programFile holds a program for the shim, which maps it.
func programFile(program *shim.Program) (*os.File, error) {
	list, data, err := program.Encode()
	if err != nil {
		return nil, err
	}
	f, err := memory("agora-start")
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(list); err == nil {
		_, err = f.WriteAt(data, shim.DataAt)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("program: %w", err)
	}
	return f, nil
}

func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
