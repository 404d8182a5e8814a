package volumegids

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/isolators/disk"
)

// groupOf is the group that a directory hands on; ok is false when it does not.
func groupOf(dir *os.File) (gid uint32, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, false
	}
	return st.Gid, st.Mode&unix.S_ISGID != 0
}

// given reports whether a volume was given to a group as a whole.
func given(dir *os.File, gid uint32) bool {
	have, ok := groupOf(dir)
	return ok && have == gid
}

// give makes a group the owner of a volume and of what is in it, the volume itself last: one that has the group was given
// as a whole. The group may do what the owner may, and directories hand it on. Mesos volume_gid_manager.cpp.
func give(ctx context.Context, dir *os.File, gid uint32) error {
	_, err := disk.WalkFrom(ctx, dir, func(e *disk.Entry) error {
		if kind := e.Stat.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG {
			return nil
		}
		fd, err := unix.Openat(int(e.Dir.Fd()), e.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return change(fd, gid)
	})
	if err != nil {
		return err
	}
	return change(int(dir.Fd()), gid)
}

// change gives one open file to the group. A file with several names is left alone: one of them may be anywhere.
func change(fd int, gid uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	mode := st.Mode & 0o7777
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= unix.S_ISGID | 0o070
	case unix.S_IFREG:
		if st.Nlink > 1 {
			return nil
		}
		mode |= 0o060
		if mode&unix.S_IXUSR != 0 {
			mode |= unix.S_IXGRP
		}
		mode &^= unix.S_ISUID | unix.S_ISGID // programs of a user are not the group's
	default:
		return nil
	}
	if err := unix.Fchown(fd, -1, int(gid)); err != nil {
		return err
	}
	return unix.Fchmod(fd, mode)
}
