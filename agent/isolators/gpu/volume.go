package gpu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An image that needs the driver's files says so in a label, and finds them here. Mesos
// docs/gpu-support.md.
const (
	VolumeLabel = "com.nvidia.volumes.needed"
	VolumeName  = "nvidia_driver"
	volumeAt    = "/usr/local/nvidia"
)

// File is one of the driver's, and where a container has it.
type File struct{ Source, Destination string }

// libraries begin with these, up to ".so": what computes, encodes and manages.
var libraries = []string{
	"libcuda", "libcudadebugger", "libnvcuvid", "libnvidia-allocator", "libnvidia-cfg", "libnvidia-compiler", "libnvidia-encode",
	"libnvidia-fatbinaryloader", "libnvidia-gpucomp", "libnvidia-ml", "libnvidia-nvvm", "libnvidia-opencl", "libnvidia-opticalflow",
	"libnvidia-pkcs11", "libnvidia-pkcs11-openssl3", "libnvidia-ptxjitcompiler",
}

var programs = []string{"nvidia-cuda-mps-control", "nvidia-cuda-mps-server", "nvidia-debugdump", "nvidia-persistenced", "nvidia-smi"}

// Files are those that belong to this driver: its libraries by the dynamic linker's cache,
// its programs by where distributions put them.
func (d *Driver) Files() (out []File, err error) {
	cache, err := os.ReadFile(filepath.Join(d.root, "etc/ld.so.cache"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("files of the NVIDIA driver: %w", err)
	}
	known, err := parseCache(cache)
	if err != nil {
		return nil, fmt.Errorf("files of the NVIDIA driver: /etc/ld.so.cache: %w", err)
	}
	seen := map[string]bool{}
	add := func(source, destination string) {
		real, err := filepath.EvalSymlinks(filepath.Join(d.root, source))
		if err == nil && !seen[destination] {
			seen[destination] = true
			out = append(out, File{real, destination})
		}
	}
	for _, k := range known {
		stem, _, _ := strings.Cut(k.name, ".so")
		if dir := map[bool]string{true: "lib64", false: "lib"}[k.wide]; slices.Contains(libraries, stem) {
			add(k.path, path.Join(volumeAt, dir, k.name))
		}
	}
	for _, name := range programs {
		for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin"} {
			add(path.Join(dir, name), path.Join(volumeAt, "bin", name))
		}
	}
	if len(out) == 0 {
		return nil, errors.New("files of the NVIDIA driver: neither its libraries are in /etc/ld.so.cache nor its programs in /usr/bin; install them, or run ldconfig")
	}
	return out, nil
}

// library is an entry of the linker's cache; wide is one of 64 bits.
type library struct {
	name, path string
	wide       bool
}

// The cache as glibc has written it since 2.2; an older table may come first. See
// sysdeps/generic/dl-cache.h.
const (
	cacheMagic  = "glibc-ld.so.cache1.1"
	cacheHeader = 48
	cacheEntry  = 24
	archMask    = 0xff00
)

// wideArch are the flags of the 64-bit libraries that NVIDIA has drivers for.
var wideArch = []uint32{0x0300, 0x0500, 0x0a00} // x86-64, ppc64, aarch64

func parseCache(b []byte) (out []library, err error) {
	at := bytes.Index(b, []byte(cacheMagic))
	if at < 0 {
		if len(b) == 0 {
			return nil, nil
		}
		return nil, errors.New("it is of a form that is not known")
	}
	if b = b[at:]; len(b) < cacheHeader {
		return nil, errors.New("it is cut short")
	}
	count := binary.NativeEndian.Uint32(b[20:])
	if uint64(count)*cacheEntry > uint64(len(b)-cacheHeader) {
		return nil, errors.New("it is cut short")
	}
	for i := range int(count) {
		e := b[cacheHeader+i*cacheEntry:]
		name, ok1 := text(b, binary.NativeEndian.Uint32(e[4:]))
		file, ok2 := text(b, binary.NativeEndian.Uint32(e[8:]))
		if !ok1 || !ok2 || strings.Contains(name, "/") {
			return nil, fmt.Errorf("entry %d is damaged", i)
		}
		out = append(out, library{name, file, slices.Contains(wideArch, binary.NativeEndian.Uint32(e)&archMask)})
	}
	return out, nil
}

func text(b []byte, offset uint32) (string, bool) {
	if uint64(offset) >= uint64(len(b)) {
		return "", false
	}
	end := bytes.IndexByte(b[offset:], 0)
	if end < 0 {
		return "", false
	}
	return string(b[offset : int(offset)+end]), true
}
