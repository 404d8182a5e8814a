package launchertest

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/launcher"
)

// terminalInput writes to a container's terminal and changes its size. One without a terminal
// has none to hand out.
func terminalInput(r *Rig) {
	keeper, ok := r.Launcher.(launcher.Terminals)
	if !ok {
		r.T.Fatal("the launcher hands out no terminals")
	}
	request := r.Request("typist", `stty -echo; echo ready; read line; stty size; echo "got $line"; exit 4`)
	request.Spec.Process.Terminal = true
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	r.Await(request, "ready")
	terminal, err := keeper.Terminal(r.Context(), "typist")
	if err != nil {
		r.T.Fatal(err)
	}
	defer terminal.Close()
	raw, err := terminal.SyscallConn()
	if err != nil {
		r.T.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 34})
	})
	if err != nil {
		r.T.Fatal(err)
	}
	if _, err := terminal.WriteString("hello\n"); err != nil {
		r.T.Fatal(err)
	}
	exit, err := r.Wait(r.Context(), "typist")
	if err != nil || code(exit) != 4 {
		r.T.Errorf("got %+v, %v; want code 4", exit, err)
	}
	r.Await(request, "12 34")
	r.Await(request, "got hello")
	mute := r.Request("mute", "sleep 1000")
	if _, err := r.Start(r.Context(), mute); err != nil {
		r.T.Fatal(err)
	}
	if f, err := keeper.Terminal(r.Context(), "mute"); err == nil {
		f.Close()
		r.T.Error("a container without a terminal hands one out")
	}
	if err := r.Destroy(r.Context(), "mute"); err != nil {
		r.T.Error(err)
	}
}

// lastWords has nobody take what a terminal says until its container's processes are gone: who
// waits for the end can count on the whole output.
func lastWords(r *Rig) {
	request := r.Request("words", "echo last words")
	request.Spec.Process.Terminal = true
	if err := unix.Mkfifo(request.Stdout, 0o644); err != nil {
		r.T.Fatal(err)
	}
	file, err := os.OpenFile(request.Stdout, os.O_RDWR, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	defer file.Close()
	full, err := fill(file)
	if err != nil {
		r.T.Fatal(err)
	}
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	ended := make(chan launcher.Exit, 1)
	go func() {
		exit, err := r.Wait(r.Context(), request.ID)
		if err != nil {
			r.T.Error(err)
		}
		ended <- exit
	}()
	r.awaitEnd(request)
	select {
	case exit := <-ended:
		r.T.Fatalf("it ended (%+v) before its output was in the file", exit)
	case <-time.After(100 * time.Millisecond): // one that does not wait has ended by then
	}
	said := "last words\r\n"
	got := make([]byte, full+len(said))
	if _, err := io.ReadFull(file, got); err != nil {
		r.T.Fatal(err)
	}
	if string(got[full:]) != said {
		r.T.Errorf("it said %q", got[full:])
	}
	if exit := <-ended; code(exit) != 0 {
		r.T.Errorf("got %+v", exit)
	}
}

// fill writes into a pipe all that it holds.
func fill(pipe *os.File) (n int, err error) {
	if n, err = unix.FcntlInt(pipe.Fd(), unix.F_GETPIPE_SZ, 0); err != nil {
		return 0, err
	}
	return pipe.Write(make([]byte, n))
}
