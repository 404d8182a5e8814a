package launchertest

import "golang.org/x/sys/unix"

// calls tries system calls that the default profile does not have, or that need a
// privilege. Where one gets through its arguments are wrong, so nothing happens.
func (p *probe) calls() {
	const none, bad = ^uintptr(0), uintptr(1) // no descriptor; no address
	for _, c := range []struct {
		name string
		call uintptr
		args [6]uintptr
	}{
		{"mount", unix.SYS_MOUNT, [6]uintptr{bad, bad, bad, 0, 0}}, {"umount2", unix.SYS_UMOUNT2, [6]uintptr{bad, 0}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, [6]uintptr{bad, bad}}, {"fsopen", unix.SYS_FSOPEN, [6]uintptr{bad, 0}},
		{"fsconfig", unix.SYS_FSCONFIG, [6]uintptr{none, 0, 0, 0, 0}}, {"fsmount", unix.SYS_FSMOUNT, [6]uintptr{none, 0, 0}},
		{"fspick", unix.SYS_FSPICK, [6]uintptr{none, bad, 0}}, {"move_mount", unix.SYS_MOVE_MOUNT, [6]uintptr{none, bad, none, bad, 0}},
		{"open_tree", unix.SYS_OPEN_TREE, [6]uintptr{none, bad, unix.OPEN_TREE_CLONE}}, {"mount_setattr", unix.SYS_MOUNT_SETATTR, [6]uintptr{none, bad, 0, bad, 0}},
		{"swapon", unix.SYS_SWAPON, [6]uintptr{bad, 0}}, {"swapoff", unix.SYS_SWAPOFF, [6]uintptr{bad}},
		{"reboot", unix.SYS_REBOOT, [6]uintptr{0, 0, 0, 0}}, {"sethostname", unix.SYS_SETHOSTNAME, [6]uintptr{bad, none}},
		{"setdomainname", unix.SYS_SETDOMAINNAME, [6]uintptr{bad, none}}, {"init_module", unix.SYS_INIT_MODULE, [6]uintptr{bad, 0, bad}},
		{"finit_module", unix.SYS_FINIT_MODULE, [6]uintptr{none, bad, 0}}, {"delete_module", unix.SYS_DELETE_MODULE, [6]uintptr{bad, 0}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, [6]uintptr{0, none, bad, none}}, {"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, [6]uintptr{none, none, 0, bad, none}},
		{"bpf", unix.SYS_BPF, [6]uintptr{none, bad, 0}}, {"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [6]uintptr{bad, 0, 0, none, none}},
		{"keyctl", unix.SYS_KEYCTL, [6]uintptr{none}}, {"add_key", unix.SYS_ADD_KEY, [6]uintptr{bad, bad, 0, 0, 0}},
		{"request_key", unix.SYS_REQUEST_KEY, [6]uintptr{bad, bad, 0, 0}}, {"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [6]uintptr{none, bad, 0}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [6]uintptr{none}}, {"io_uring_setup", unix.SYS_IO_URING_SETUP, [6]uintptr{0, bad}},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, [6]uintptr{none}}, {"io_uring_register", unix.SYS_IO_URING_REGISTER, [6]uintptr{none}},
		{"setns", unix.SYS_SETNS, [6]uintptr{none, 0}}, {"unshare of users", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWUSER}},
		{"unshare of mounts", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWNS}}, {"unshare of networks", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWNET}},
		{"clone3", unix.SYS_CLONE3, [6]uintptr{bad, 0}}, {"acct", unix.SYS_ACCT, [6]uintptr{bad}},
		{"settimeofday", unix.SYS_SETTIMEOFDAY, [6]uintptr{bad, 0}}, {"clock_settime", unix.SYS_CLOCK_SETTIME, [6]uintptr{0, bad}},
		{"iopl", unix.SYS_IOPL, [6]uintptr{3}}, {"ioperm", unix.SYS_IOPERM, [6]uintptr{0, 1, 1}}, {"quotactl", unix.SYS_QUOTACTL, [6]uintptr{none, bad, 0, 0}},
		{"syslog", unix.SYS_SYSLOG, [6]uintptr{3, bad, 0}}, {"vhangup", unix.SYS_VHANGUP, [6]uintptr{}}, {"fanotify_init", unix.SYS_FANOTIFY_INIT, [6]uintptr{0, 0}},
		{"move_pages", unix.SYS_MOVE_PAGES, [6]uintptr{1, 0, 0, 0, 0, none}}, {"kcmp", unix.SYS_KCMP, [6]uintptr{1, 1, 0, 0, 0}},
		{"pidfd_getfd", unix.SYS_PIDFD_GETFD, [6]uintptr{none, 0, 0}},
		{"personality", unix.SYS_PERSONALITY, [6]uintptr{0x0040000}}, {"vsock", unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}},
		{"raw socket", unix.SYS_SOCKET, [6]uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}}, {"packet socket", unix.SYS_SOCKET, [6]uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
	} {
		_, _, errno := unix.RawSyscall6(c.call, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		if errno == 0 {
			p.check(false, "%s is let through", c.name)
			continue
		}
		p.refused(c.name, errno)
	}
}
