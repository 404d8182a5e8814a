// Package gputest makes machines with GPUs that are none: the files of a driver, and device
// nodes with numbers that are for local use and have nothing behind them.
//
// It promises that they are found in the same way as real ones. It refuses to work without
// root, which making nodes needs, and skips visibly.
package gputest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Majors of the nodes. Who may open one is told that there is no such device; who may not,
// that it is not permitted.
const (
	MajorGPU = 240
	MajorUVM = 241
)

// Version is that of the driver.
const Version = "550.54.14"

// Libraries are the names that the linker knows, one of them of 32 bits, and one that is
// not the driver's.
var Libraries = map[string]string{
	"libcuda.so.1": "usr/lib/x86_64-linux-gnu/libcuda.so.1", "libnvidia-ml.so.1": "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
	"libnvidia-ptxjitcompiler.so.1": "usr/lib/i386-linux-gnu/libnvidia-ptxjitcompiler.so.1", "libc.so.6": "usr/lib/x86_64-linux-gnu/libc.so.6",
}

// Machine returns the root of one with as many GPUs, whose minors run against the order of
// the bus.
func Machine(t testing.TB, count int) (root string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: device nodes need root")
	}
	root = t.TempDir()
	Write(t, root, "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  "+Version+"  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.2.0\n")
	for i := range count {
		minor := count - 1 - i
		Write(t, root, fmt.Sprintf("proc/driver/nvidia/gpus/0000:%02x:00.0/information", 16+i),
			fmt.Sprintf("Model: \t\t NVIDIA Model %d\nIRQ:   \t\t 40\nGPU UUID: \t GPU-0000000%d\nBus Type: \t PCIe\nDevice Minor: \t %d\nGPU Excluded:\t No\n", i, i, minor))
		Node(t, root, fmt.Sprintf("nvidia%d", minor), MajorGPU, uint32(minor))
	}
	if count == 0 {
		if err := os.MkdirAll(filepath.Join(root, "proc/driver/nvidia/gpus"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	Node(t, root, "nvidiactl", MajorGPU, 255)
	Node(t, root, "nvidia-uvm", MajorUVM, 0)
	writeLibraries(t, root)
	return root
}

func writeLibraries(t testing.TB, root string) {
	t.Helper()
	for name, file := range Libraries {
		Write(t, root, file+".real", "content of "+name)
		if err := os.Symlink(filepath.Base(file)+".real", filepath.Join(root, file)); err != nil {
			t.Fatal(err)
		}
	}
	Write(t, root, "usr/bin/nvidia-smi", "#!/bin/sh\necho smi\n")
	Write(t, root, "etc/ld.so.cache", string(Cache(Libraries)))
}

// Cache is the dynamic linker's, as ldconfig writes it.
func Cache(libraries map[string]string) []byte {
	header, entries, texts := make([]byte, 48), []byte{}, []byte{}
	copy(header, "glibc-ld.so.cache1.1")
	base := len(header) + 24*len(libraries)
	for name, file := range libraries {
		flags := uint32(0x0303)
		if filepath.Base(filepath.Dir(file)) == "i386-linux-gnu" {
			flags = 0x0803
		}
		entries = binary.NativeEndian.AppendUint32(entries, flags)
		entries = binary.NativeEndian.AppendUint32(entries, uint32(base+len(texts)))
		texts = append(texts, name+"\x00"...)
		entries = binary.NativeEndian.AppendUint32(entries, uint32(base+len(texts)))
		texts = append(texts, "/"+file+"\x00"...)
		entries = append(entries, make([]byte, 12)...)
	}
	binary.NativeEndian.PutUint32(header[20:], uint32(len(libraries)))
	binary.NativeEndian.PutUint32(header[24:], uint32(len(texts)))
	return append(append(header, entries...), texts...)
}

// Node makes a character device below the machine's /dev.
func Node(t testing.TB, root, name string, major, minor uint32) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(root, "dev", name), unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		t.Skipf("SKIP: no device node can be made: %v", err)
	}
}

// Write makes a file of the machine.
func Write(t testing.TB, root, name, content string) {
	t.Helper()
	at := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
