package devcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// rootlessMark is in the environment of a process that runs in a user namespace made
// by Reenter.
const rootlessMark = "AGORA_ROOTLESS"

// Rootless reports whether this process runs in a namespace made by Reenter.
func Rootless() bool { return os.Getenv(rootlessMark) != "" }

// Reenter runs this program again as root of a new user namespace, with the same
// arguments, and returns its exit code. It first tells, in one line, what is not there
// in such a namespace.
func Reenter(tell func(missing string)) (code int, err error) {
	uids, gids, ranges := idRanges()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	missing := "no cgroup limits, no kernel-enforced ports below 1024"
	if !ranges {
		missing += "; one user only: install uidmap (newuidmap) and give yourself a range in /etc/subuid"
	}
	tell(missing)
	wait, release, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer release.Close()
	cmd.ExtraFiles = []*os.File{wait}
	cmd.Env = append(os.Environ(), rootlessMark+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if !ranges {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start in a user namespace: %w; run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)", err)
	}
	wait.Close()
	if ranges {
		err = errors.Join(mapIDs("newuidmap", cmd.Process.Pid, os.Getuid(), uids), mapIDs("newgidmap", cmd.Process.Pid, os.Getgid(), gids))
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return 0, err
		}
	}
	release.Close()
	return forward(cmd), nil
}

// AwaitMapping blocks until Reenter has set up the identities of this process.
func AwaitMapping() error {
	fd, err := strconv.Atoi(os.Getenv(rootlessMark))
	if err != nil {
		return nil
	}
	pipe := os.NewFile(uintptr(fd), "mapping")
	defer pipe.Close()
	if _, err := pipe.Read(make([]byte, 1)); err != nil && err.Error() != "EOF" {
		return fmt.Errorf("wait for the identities of the user namespace: %w", err)
	}
	return syscall.Setresuid(0, 0, 0)
}

// forward passes signals on until the child ends.
func forward(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				// An interrupt of the terminal reached the child already.
				if s != syscall.SIGINT {
					_ = cmd.Process.Signal(s)
				}
			case <-done:
				return
			}
		}
	}()
	_ = cmd.Wait()
	close(done)
	return cmd.ProcessState.ExitCode()
}

// idRange is a line of /etc/subuid.
type idRange struct{ start, count int }

// idRanges finds the ranges of this user, and whether they can be used.
func idRanges() (uids, gids idRange, ok bool) {
	who, err := user.Current()
	if err != nil {
		return uids, gids, false
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		return uids, gids, false
	}
	uids, found := subIDs("/etc/subuid", who.Username, who.Uid)
	gids, also := subIDs("/etc/subgid", who.Username, who.Uid)
	return uids, gids, found && also
}

func subIDs(path string, names ...string) (idRange, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return idRange{}, false
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || fields[0] != names[0] && fields[0] != names[1] {
			continue
		}
		start, err := strconv.Atoi(fields[1])
		count, also := strconv.Atoi(fields[2])
		if err == nil && also == nil && count > 0 {
			return idRange{start, count}, true
		}
	}
	return idRange{}, false
}

func mapIDs(helper string, pid, own int, r idRange) error {
	cmd := exec.Command(helper, strconv.Itoa(pid), "0", strconv.Itoa(own), "1", "1", strconv.Itoa(r.start), strconv.Itoa(r.count))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", helper, err, strings.TrimSpace(string(out)))
	}
	return nil
}
