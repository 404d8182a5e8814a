package launchertest

import (
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
