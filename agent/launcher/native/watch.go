package native

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// watcher learns from the kernel which inits have ended: one goroutine, one epoll
// set of pidfds, for children and for adopted processes alike.
type watcher struct {
	epoll, stop int
	done        chan struct{}

	turn sync.Mutex // held while an end is handled

	mu     sync.Mutex
	onExit map[int32]func()
}

func newWatcher() (*watcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epoll)
		return nil, err
	}
	w := &watcher{epoll: epoll, stop: stop, done: make(chan struct{}), onExit: map[int32]func(){}}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(stop)}); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func (w *watcher) add(pidfd int, exited func()) error {
	w.mu.Lock()
	w.onExit[int32(pidfd)] = exited
	w.mu.Unlock()
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, pidfd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(pidfd)})
}

func (w *watcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == w.stop {
				return
			}
			w.mu.Lock()
			exited := w.onExit[e.Fd]
			delete(w.onExit, e.Fd)
			w.mu.Unlock()
			if exited != nil {
				w.turn.Lock()
				exited()
				w.turn.Unlock()
			}
		}
	}
}

func (w *watcher) close() {
	_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	unix.Close(w.epoll)
	unix.Close(w.stop)
}

// observe has the container finished when its init ends.
func (l *Launcher) observe(c *container) error {
	return l.watch.add(c.pidfd, func() {
		// WNOWAIT keeps the zombie, and with it the status, until the record is
		// written: a launcher that dies in between loses nothing.
		var info unix.Siginfo
		if unix.Waitid(unix.P_PIDFD, c.pidfd, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) != nil {
			l.finish(c, nil) // adopted: not our child
			return
		}
		l.finish(c, func() (status int32, known bool) {
			var raw unix.WaitStatus
			pid, err := unix.Wait4(c.PID, &raw, unix.WALL|unix.WNOHANG, nil)
			return int32(raw), err == nil && pid == c.PID
		})
	})
}

// finish writes the exit record and tells those who wait. reap is nil for a process
// that is not our child.
func (l *Launcher) finish(c *container, reap func() (int32, bool)) {
	exit := launcher.Exit{}
	exit.Status, exit.Known = records.Status(c.dir)
	usage := c.place.limits.Exhaustion()
	exit.OOM, exit.Limit, exit.Peak = usage.LimitHit, usage.Limit, usage.Peak
	if reap == nil && !exit.Known {
		// Its init can only have been killed: otherwise it writes the status.
		exit.Status = int32(unix.SIGKILL)
	}
	if exit.Known {
		l.save(c, exit)
	}
	if reap != nil {
		if status, ok := reap(); ok && !exit.Known {
			exit.Status, exit.Known = status, true
			l.save(c, exit)
		}
	}
	if !exit.Known {
		l.save(c, exit)
	}
	if !c.OwnPID {
		c.place.own.Kill()
	}
	c.exit = exit
	l.mu.Lock()
	if c.pidfd > 0 {
		unix.Close(c.pidfd)
		c.pidfd = 0
	}
	output := c.tty
	l.mu.Unlock()
	if output == nil {
		close(c.done)
		return
	}
	go func() { // other ends do not wait for this one's last words
		output.Settle()
		close(c.done)
	}()
}

func (l *Launcher) save(c *container, exit launcher.Exit) {
	if err := records.Write(filepath.Join(c.dir, "exit.json"), exit); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.log.Error("exit record not written", "container", c.ID, "error", err)
	}
}

// ReapOrphans reaps the ended children that are no container's init: processes of
// containers without a pid namespace of their own come to us when their parent ends.
// Only a process that has no other children than ours may call it.
func (l *Launcher) ReapOrphans() {
	l.forks.Lock()
	defer l.forks.Unlock()
	for {
		var info unix.Siginfo
		if unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WALL, nil) != nil {
			return
		}
		// The pid is the first field of the part of siginfo that depends on the signal.
		pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
		if info.Signo == 0 || l.isInit(pid) {
			return
		}
		_, _ = unix.Wait4(pid, nil, unix.WALL|unix.WNOHANG, nil)
	}
}

func (l *Launcher) isInit(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.containers {
		if c.PID == pid && !c.ended() {
			return true
		}
	}
	return false
}
