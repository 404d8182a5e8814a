package cgroups

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Watcher learns from the kernel when groups run out of memory: one goroutine and one
// epoll set for all of them. On version 1 a group has four event descriptors, on
// version 2 one watch of a shared inotify descriptor.
type Watcher struct {
	epoll, stop, inotify int
	done                 chan struct{}

	mu      sync.Mutex
	byFD    map[int32]func()
	byWatch map[int32]func()
}

// Watch is the observation of one group. Close ends it.
type Watch struct {
	watcher  *Watcher
	fds      []int
	watch    int // of inotify; -1 for none
	pressure [3]atomic.Uint64
}

// NewWatcher starts the goroutine; Close ends it.
func NewWatcher() (*Watcher, error) {
	w := &Watcher{done: make(chan struct{}), byFD: map[int32]func(){}, byWatch: map[int32]func(){}}
	var err error
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("watch cgroups: %w", err)
	}
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		unix.Close(w.epoll)
		return nil, fmt.Errorf("watch cgroups: %w", err)
	}
	if w.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		unix.Close(w.epoll)
		unix.Close(w.stop)
		return nil, fmt.Errorf("watch cgroups: %w", err)
	}
	for _, fd := range []int{w.stop, w.inotify} {
		if err := w.poll(fd); err != nil {
			unix.Close(w.epoll)
			unix.Close(w.stop)
			unix.Close(w.inotify)
			return nil, fmt.Errorf("watch cgroups: %w", err)
		}
	}
	go w.run()
	return w, nil
}

func (w *Watcher) poll(fd int) error {
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// Close waits for the goroutine. Watches need not be closed before.
func (w *Watcher) Close() {
	_, _ = unix.Write(w.stop, binary.NativeEndian.AppendUint64(nil, 1))
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range []int{w.epoll, w.stop, w.inotify} {
		unix.Close(fd)
	}
	w.inotify = -1
}

// Watch calls exhausted, on the watcher's goroutine, each time the group may have hit its
// memory limit: what happened is in the group's files. A group without a memory
// controller is never exhausted.
func (w *Watcher) Watch(g Group, exhausted func()) (*Watch, error) {
	watch := &Watch{watcher: w, watch: -1}
	dir := g.memoryDir()
	if dir == "" {
		return watch, nil
	}
	if g.V2 {
		return watch, w.watchUnified(watch, dir, exhausted)
	}
	events := []struct {
		file, argument string
		do             func()
	}{
		{"memory.oom_control", "", exhausted},
		{"memory.pressure_level", "low", func() { watch.pressure[0].Add(1) }},
		{"memory.pressure_level", "medium", func() { watch.pressure[1].Add(1) }},
		{"memory.pressure_level", "critical", func() { watch.pressure[2].Add(1) }},
	}
	for _, e := range events {
		if err := w.register(watch, dir, e.file, e.argument, e.do); err != nil {
			watch.Close()
			return nil, fmt.Errorf("watch %s of %s: %w", e.file, dir, err)
		}
	}
	return watch, nil
}

func (w *Watcher) watchUnified(watch *Watch, dir string, exhausted func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, err := unix.InotifyAddWatch(w.inotify, filepath.Join(dir, "memory.events"), unix.IN_MODIFY)
	if err != nil {
		return fmt.Errorf("watch memory.events of %s: %w", dir, err)
	}
	watch.watch = wd
	w.byWatch[int32(wd)] = exhausted
	return nil
}

// register asks for an event descriptor to be signalled (kernel's
// admin-guide/cgroup-v1/memory.rst).
func (w *Watcher) register(watch *Watch, dir, file, argument string, do func()) error {
	source, err := unix.Open(filepath.Join(dir, file), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	line := strconv.Itoa(event) + " " + strconv.Itoa(source)
	if argument != "" {
		line += " " + argument
	}
	if err := Write(dir, "cgroup.event_control", line); err != nil {
		unix.Close(event)
		return err
	}
	watch.fds = append(watch.fds, event)
	w.mu.Lock()
	w.byFD[int32(event)] = do
	w.mu.Unlock()
	return w.poll(event)
}

func (w *Watcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			switch int(e.Fd) {
			case w.stop:
				return
			case w.inotify:
				w.modified()
			default:
				w.signalled(e.Fd)
			}
		}
	}
}

func (w *Watcher) signalled(fd int32) {
	w.mu.Lock()
	do := w.byFD[fd]
	if do != nil {
		var count [8]byte
		_, _ = unix.Read(int(fd), count[:])
	}
	w.mu.Unlock()
	if do != nil {
		do()
	}
}

func (w *Watcher) modified() {
	buffer := make([]byte, 4096)
	n, err := unix.Read(w.inotify, buffer)
	for err == nil && n >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buffer))
		length := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buffer[12:]))
		w.mu.Lock()
		do := w.byWatch[wd]
		w.mu.Unlock()
		if do != nil {
			do()
		}
		if length > n {
			return
		}
		n, buffer = n-length, buffer[length:]
	}
}

// Pressure returns how often each level was signalled on version 1 since the watch began.
func (w *Watch) Pressure() (low, medium, critical uint64) {
	return w.pressure[0].Load(), w.pressure[1].Load(), w.pressure[2].Load()
}

// Close ends the observation. The callback may be running still.
func (w *Watch) Close() {
	w.watcher.mu.Lock()
	defer w.watcher.mu.Unlock()
	for _, fd := range w.fds {
		delete(w.watcher.byFD, int32(fd))
		unix.Close(fd) // which also leaves the epoll set
	}
	w.fds = nil
	if w.watch >= 0 {
		delete(w.watcher.byWatch, int32(w.watch))
		// Fails where the file went away with its group.
		_, _ = unix.InotifyRmWatch(w.watcher.inotify, uint32(w.watch))
		w.watch = -1
	}
}
