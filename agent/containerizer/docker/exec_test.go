package docker

import (
	"context"
	"io"
	"runtime"
	"strings"
	"syscall"
	"time"
	"weak"

	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// noProgram: a command that cannot be started ends with the Engine's code, and says why.
func noProgram(r *rig) {
	r.launch(r.spec("home", "sleep 1000"))
	for id, program := range map[containerizer.ID]string{"home.missing": "/no/such/program", "home.directory": "/bin"} {
		ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
		s, err := r.c.Exec(ctx, containerizer.Exec{ID: id, Command: &mesos.CommandInfo{Shell: ptr(false), Value: &program}})
		cancel()
		if err != nil {
			r.t.Errorf("%s: %v", program, err)
			continue
		}
		said := make(chan string, 1)
		go func() { said <- readAll(s.Stdout()) }()
		end, err := s.Wait(r.ctx)
		if err != nil || end.Status == nil {
			r.t.Fatalf("%s: ended with %+v, %v", program, end, err)
		}
		// 20.10 says 126 whatever the reason, later ones 127 for what is not there.
		if code := syscall.WaitStatus(*end.Status).ExitStatus(); code != 126 && code != 127 {
			r.t.Errorf("%s: exit status %d, want the Engine's 126 or 127", program, code)
		}
		if text := <-said; !strings.Contains(text, program) {
			r.t.Errorf("%s: it says %q", program, text)
		}
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

// sessionsAreForgotten: nothing holds a session that was closed.
func sessionsAreForgotten(r *rig) {
	r.launch(r.spec("home", "sleep 1000"))
	kept := func() weak.Pointer[session] {
		s, err := r.c.Exec(r.ctx, containerizer.Exec{ID: "home.one", Command: &mesos.CommandInfo{Value: ptr("exit 0")}})
		if err != nil {
			r.t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
		return weak.Make(s.(*session))
	}()
	for end := time.Now().Add(5 * time.Second); kept.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			r.t.Fatal("a closed session is still held")
		}
	}
}

// destroyAtTheEndOf marks a container as destroyed when its launch has nothing more to ask for.
func (r *rig) destroyAtTheEndOf(id containerizer.ID) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		r.c.mu.Lock()
		state, ok := r.c.lives.State(id)
		if ok && state == containerizer.Launching {
			r.c.lives.Destroy(id)
			r.c.mu.Unlock()
			return
		}
		r.c.mu.Unlock()
	}
	r.t.Errorf("%s was not seen while it was launched", id)
}

// stuck fetches nothing until the launch is given up.
type stuck struct{ entered chan struct{} }

func (s stuck) Fetch(ctx context.Context, _ []*mesos.CommandInfo_URI, _, _ string, _ io.Writer) error {
	close(s.entered)
	<-ctx.Done()
	return ctx.Err()
}

// destroyedDuringLaunch: what is destroyed just before it runs is gone, and ends once.
func destroyedDuringLaunch(r *rig) {
	r.c.Close()
	fetcher := stuck{make(chan struct{})}
	r.config.Fetcher = fetcher
	r.open()
	done := make(chan struct{})
	go func() { defer close(done); r.destroyAtTheEndOf("late") }()
	if _, err := r.c.Launch(r.ctx, r.spec("late", "sleep 1000")); err == nil || !strings.Contains(err.Error(), "is being destroyed") {
		r.t.Errorf("got %v", err)
	}
	<-done
	if left, err := r.c.ours(r.ctx); err != nil || len(left) != 0 {
		r.t.Errorf("left in the Engine: %v, %v", left, err)
	}
	r.launch(r.spec("home", "sleep 1000"))
	done = make(chan struct{})
	go func() { defer close(done); r.destroyAtTheEndOf("home.late") }()
	if _, err := r.c.Exec(r.ctx, containerizer.Exec{ID: "home.late", Command: &mesos.CommandInfo{Value: ptr("sleep 4321")}}); err == nil || !strings.Contains(err.Error(), "is being destroyed") {
		r.t.Errorf("got %v", err)
	}
	<-done
	r.await("end of the command", func() bool {
		top, err := r.engine.Client.ContainerTop(r.ctx, name("home"), client.ContainerTopOptions{})
		return err == nil && len(top.Processes) == 1
	})
	fetching := r.spec("fetching", "true")
	fetching.Command.Uris = []*mesos.CommandInfo_URI{{Value: ptr("http://nowhere.test/")}}
	done = make(chan struct{})
	go func() {
		defer close(done)
		<-fetcher.entered
		if err := r.c.Destroy(r.ctx, "fetching"); err != nil {
			r.t.Errorf("destroy during the launch: %v", err)
		}
	}()
	if _, err := r.c.Launch(r.ctx, fetching); err == nil || !strings.Contains(err.Error(), errDestroyed.Error()) {
		r.t.Errorf("got %v", err)
	}
	<-done
}

// askedDuringLaunch: questions do not race with a launch (see it with -race), nor wait for it.
func askedDuringLaunch(r *rig) {
	ask := func(id containerizer.ID, launched <-chan struct{}) {
		for tick := time.Tick(time.Millisecond); ; {
			_, _ = r.c.Status(r.ctx, id)
			_, _ = r.c.Usage(r.ctx, id)
			_ = r.c.Update(r.ctx, id, nil, nil)
			_ = r.c.Signal(r.ctx, id, syscall.SIGCONT)
			select {
			case <-launched:
				return
			case <-tick:
			}
		}
	}
	for _, id := range []containerizer.ID{"home", "home.one"} {
		launched, asked := make(chan struct{}), make(chan struct{})
		go func() { defer close(asked); ask(id, launched) }()
		if _, err := (listening{r.c, r}).Launch(r.ctx, r.spec(id, "echo listening; sleep 1000")); err != nil {
			r.t.Errorf("launch %s: %v", id, err)
		}
		close(launched)
		<-asked
	}
}
