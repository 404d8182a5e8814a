package xfs

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From the kernel's uapi/linux/quota.h and dqblk_xfs.h.
const (
	projectQuota = 2 // PRJQUOTA
	getQuota     = 'X'<<8 + 3
	setLimits    = 'X'<<8 + 4
	getState     = 'X'<<8 + 8
	getNext      = 'X'<<8 + 9

	dquotVersion = 1
	dquotProject = 2 // FS_PROJ_QUOTA
	softBlocks   = 1 << 2
	hardBlocks   = 1 << 3

	stateVersion = 1
	accounted    = 1 << 4 // FS_QUOTA_PDQ_ACCT
	enforced     = 1 << 5 // FS_QUOTA_PDQ_ENFD
)

// basicBlock is the unit of XFS's quotas, in bytes.
const basicBlock = 512

// dquot is struct fs_disk_quota.
type dquot struct {
	version, flags                             int8
	fields                                     uint16
	id                                         uint32
	hard, soft, hardInodes, softInodes         uint64
	blocks, inodes                             uint64
	inodeTimer, blockTimer                     int32
	inodeWarnings, blockWarnings               uint16
	_                                          [4]int8
	realtimeHard, realtimeSoft, realtimeBlocks uint64
	realtimeTimer                              int32
	realtimeWarnings                           uint16
	_                                          int16
	_                                          [8]byte
}

// quotaState is struct fs_quota_statv.
type quotaState struct {
	version int8
	_       uint8
	flags   uint16
	_       [156]byte
}

// quotactl asks about project quotas of the file system. quotactl_fd needs no device file; kernels before 5.14 do not
// have it.
func (f *fileSystem) quotactl(command, id uint32, into unsafe.Pointer) error {
	command = command<<8 | projectQuota
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.dir.Fd(), uintptr(command), uintptr(id), uintptr(into), 0, 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS:
		return f.byDevice(command, id, into)
	}
	return errno
}

// byDevice is quotactl(2) of all kernels.
func (f *fileSystem) byDevice(command, id uint32, into unsafe.Pointer) error {
	device, err := unix.BytePtrFromString(f.mount.source)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL, uintptr(command), uintptr(unsafe.Pointer(device)), uintptr(id), uintptr(into), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// quotasOn reports whether the file system accounts for projects, and whether it enforces limits.
func (f *fileSystem) quotasOn() (account, enforce bool, err error) {
	state := quotaState{version: stateVersion}
	err = f.quotactl(getState, 0, unsafe.Pointer(&state))
	if errors.Is(err, unix.ENOSYS) { // none is on, or the kernel's XFS has none
		return false, false, nil
	}
	return state.flags&accounted != 0, state.flags&enforced != 0, err
}

// quota is what a project has; one that has never had a file has nothing.
func (f *fileSystem) quota(id uint32) (dquot, error) {
	out := dquot{version: dquotVersion}
	err := f.quotactl(getQuota, id, unsafe.Pointer(&out))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return dquot{id: id}, nil
	}
	if err != nil {
		return out, fmt.Errorf("quota of project %d: %w", id, err)
	}
	return out, nil
}

// next is the first project from id on that the file system has a record of; ok is false when there is none.
func (f *fileSystem) next(id uint32) (out dquot, ok bool, err error) {
	out = dquot{version: dquotVersion}
	err = f.quotactl(getNext, id, unsafe.Pointer(&out))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return out, false, nil
	}
	if err != nil {
		return out, false, fmt.Errorf("quotas from project %d on: %w", id, err)
	}
	return out, true, nil
}

// limit bounds a project, in bytes; 0 lifts the bound.
func (f *fileSystem) limit(id uint32, soft, hard uint64) error {
	set := dquot{version: dquotVersion, flags: dquotProject, fields: softBlocks | hardBlocks, id: id, soft: blocks(soft), hard: blocks(hard)}
	if err := f.quotactl(setLimits, id, unsafe.Pointer(&set)); err != nil {
		return fmt.Errorf("limit project %d: %w", id, err)
	}
	return nil
}

// blocks rounds up, since no block is no limit.
func blocks(bytes uint64) uint64 { return bytes/basicBlock + min(bytes%basicBlock, 1) }
