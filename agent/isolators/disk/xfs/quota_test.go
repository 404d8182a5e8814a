package xfs

import (
	"testing"
	"unsafe"

	"agora.dev/agora/agent/isolators/disk/xfs/xfstest"
)

// Kernels without quotactl_fd are asked by the device.
func TestDeviceAnswersLikeTheDirectory(t *testing.T) {
	f, err := openFileSystem(xfstest.Mount(t, "prjquota"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.dir.Close()
	if err := f.limit(77, 1<<20, 2<<20); err != nil {
		t.Fatal(err)
	}
	want, err := f.quota(77)
	if err != nil || want.soft != 2048 || want.hard != 4096 || want.id != 77 {
		t.Errorf("got %+v, %v", want, err)
	}
	got := dquot{version: dquotVersion}
	if err := f.byDevice(getQuota<<8|projectQuota, 77, unsafe.Pointer(&got)); err != nil || got != want {
		t.Errorf("%s: got %+v, %v, want %+v", f.mount, got, err, want)
	}
}

func TestBytesAreRoundedUpToBlocks(t *testing.T) {
	for bytes, want := range map[uint64]uint64{0: 0, 1: 1, 512: 1, 513: 2, 1 << 20: 2048} {
		if got := blocks(bytes); got != want {
			t.Errorf("%d bytes: got %d blocks, want %d", bytes, got, want)
		}
	}
}
