package launchertest

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/template"
)

// contract is what every launcher keeps.
var contract = []struct {
	name string
	run  func(*Rig)
}{
	{"ExitCode", exitCode}, {"DeathBySignal", deathBySignal}, {"SignalIsForwarded", signalForwarded},
	{"ChildrenDieWithTheCommand", childrenDie}, {"OutputIsAppended", outputAppended},
	{"SignalsAreFresh", freshSignals}, {"RestartFindsContainers", restartFinds}, {"EndIsRecordedWithoutLauncher", endWithout},
	{"Walls", walls}, {"ProbeFindsNoWayOut", probing}, {"TerminalLosesNothing", terminal}, {"TerminalTakesInput", terminalInput}, {"EndWaitsForLastWords", lastWords}, {"MissingCommand", missingCommand}, {"MemoryLimitKillsAlone", memoryLimit}, {"LimitsAreWritten", limitsAreWritten},
	{"PidsLimit", pidsLimit}, {"HundredAtOnceLeaveNothing", manyAtOnce}, {"LinksDoNotLeadOut", targetLinks},
	{"EndsAtOnceAreOneEnd", endsAtOnce}, {"RootNeedNotBeAnOverlay", plainRoot}, {"FirstRuleOfAFilterWins", firstRule},
}

// Run checks a launcher against the contract.
func Run(t *testing.T, open Factory) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) { c.run(NewRig(t, open)) })
	}
}

func code(e launcher.Exit) int {
	w := syscall.WaitStatus(e.Status)
	if w.Signaled() {
		return -int(w.Signal())
	}
	return w.ExitStatus()
}

func exitCode(r *Rig) {
	for _, c := range []struct {
		id, script string
		want       int
	}{{"zero", "exit 0", 0}, {"seven", "exit 7", 7}, {"most", "exit 255", 255}} {
		exit, out := r.Run(r.Request(c.id, c.script))
		if !exit.Known || code(exit) != c.want {
			r.T.Errorf("%q ended with %+v (%d), want %d; output %q", c.script, exit, code(exit), c.want, out)
		}
	}
}

func deathBySignal(r *Rig) {
	exit, out := r.Run(r.Request("victim", "kill -9 $$"))
	if !exit.Known || code(exit) != -9 {
		r.T.Errorf("got %+v, want death by signal 9; output %q", exit, out)
	}
}

func signalForwarded(r *Rig) {
	request := r.Request("term", `trap 'echo got it; exit 3' TERM; echo ready; while true; do sleep 0.01; done`)
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	r.Await(request, "ready")
	if err := r.Signal(r.Context(), "term", syscall.SIGTERM); err != nil {
		r.T.Fatal(err)
	}
	exit, err := r.Wait(r.Context(), "term")
	if err != nil || code(exit) != 3 || !strings.Contains(r.Output(request), "got it") {
		r.T.Errorf("got %+v, %v, output %q; want the trap to run and code 3", exit, err, r.Output(request))
	}
}

// freshSignals: a launcher that was started by nohup, or in the background of a shell, ignores signals; its containers do not.
func freshSignals(r *Rig) {
	ignored := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}
	signal.Ignore(ignored...)
	defer signal.Reset(ignored...)
	r.Reopen()
	args := []string{"grep", "-E", "^Sig(Ign|Blk):", "/proc/self/status"} // a shell has signals that it ignores
	const fresh = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
	alone := r.Request("alone", "")
	alone.Spec.Process.Args = args
	if _, out := r.Run(alone); out != fresh {
		r.T.Errorf("a container has\n%s\nwant\n%s", out, fresh)
	}
	holder := r.Request("holder", "echo up; sleep 1000")
	if _, err := r.Start(r.Context(), holder); err != nil {
		r.T.Fatal(err)
	}
	r.Await(holder, "up")
	read, write, err := os.Pipe()
	if err != nil {
		r.T.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	process := template.Spec("/", args...).Process
	if _, err := r.Enter(r.Context(), launcher.Enter{ID: "entered", Parent: "holder", Process: process, Files: [3]*os.File{write, write, write}}); err != nil {
		r.T.Fatal(err)
	}
	write.Close()
	if out, err := io.ReadAll(read); err != nil || string(out) != fresh {
		r.T.Errorf("what enters a container has\n%s\nwant\n%s(%v)", out, fresh, err)
	}
}

func childrenDie(r *Rig) {
	request := r.Request("parent", `sleep 1000 & echo started; exit 0`)
	exit, out := r.Run(request)
	if code(exit) != 0 || !strings.Contains(out, "started") {
		r.T.Errorf("got %+v, %q", exit, out)
	}
	if err := r.Remove(r.Context(), "parent"); err != nil {
		r.T.Errorf("a process was left: %v", err)
	}
}

func outputAppended(r *Rig) {
	request, later := r.Request("first", "echo one; echo two >&2"), r.Request("later", "echo one; echo two >&2")
	r.Run(request)
	later.Stdout, later.Stderr = request.Stdout, request.Stderr
	if _, out := r.Run(later); out != "one\none\ntwo\ntwo\n" {
		r.T.Errorf("output %q, want both runs'", out)
	}
}

func restartFinds(r *Rig) {
	request := r.Request("survivor", `trap 'exit 6' TERM; echo up; while true; do sleep 0.01; done`)
	pid, err := r.Start(r.Context(), request)
	if err != nil {
		r.T.Fatal(err)
	}
	r.Await(request, "up")
	r.Reopen()
	list, err := r.List(r.Context())
	if err != nil || len(list) != 1 || list[0].PID != pid || list[0].Exit != nil {
		r.T.Fatalf("after the restart: %+v, %v; want pid %d", list, err, pid)
	}
	if err := r.Signal(r.Context(), "survivor", syscall.SIGTERM); err != nil {
		r.T.Fatal(err)
	}
	exit, err := r.Wait(r.Context(), "survivor")
	if err != nil || !exit.Known || code(exit) != 6 {
		r.T.Errorf("got %+v, %v, want code 6", exit, err)
	}
}

func endWithout(r *Rig) {
	request := r.Request("alone", `trap 'exit 8' TERM; echo up; while true; do sleep 0.01; done`)
	pid, err := r.Start(r.Context(), request)
	if err != nil {
		r.T.Fatal(err)
	}
	r.Await(request, "up")
	r.Close()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		r.T.Fatal(err)
	}
	r.awaitEnd(request)
	r.Launcher, r.close = r.open(r.T, r.Dir)
	exit, err := r.Wait(r.Context(), "alone")
	if err != nil || !exit.Known || code(exit) != 8 {
		r.T.Errorf("got %+v, %v, want code 8", exit, err)
	}
}

// endsAtOnce destroys a container from several sides: who is over a limit is ended while its
// task is killed.
func endsAtOnce(r *Rig) {
	request := r.Request("wanted", "sleep 1000")
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	ctx := r.Context()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := r.Destroy(ctx, "wanted"); err != nil {
				r.T.Errorf("destroy: %v", err)
			}
		})
	}
	all.Wait()
	if err := r.Remove(ctx, "wanted"); err != nil {
		r.T.Errorf("remove: %v", err)
	}
}
