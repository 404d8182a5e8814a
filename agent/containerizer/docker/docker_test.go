package docker

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/cgroupkit"
	"agora.dev/agora/internal/testkit/enginekit"
)

// rig is an agent's view of a real Engine.
type rig struct {
	t      *testing.T
	engine *enginekit.Engine
	config Config
	work   string
	c      *Containerizer
	ctx    context.Context
}

func newRig(t *testing.T, engine *enginekit.Engine) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	work := t.TempDir()
	r := &rig{t: t, engine: engine, work: work, ctx: ctx, config: Config{Socket: engine.Socket, Agent: strings.ReplaceAll(t.Name(), "/", "."),
		Dir: filepath.Join(work, "runtime"), Log: slog.New(slog.DiscardHandler)}}
	r.open()
	t.Cleanup(func() {
		if err := r.c.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		r.c.Close()
	})
	return r
}

// open starts an agent's containerizer, in place of one that was closed.
func (r *rig) open(known ...containerizer.ID) []containerizer.Recovered {
	r.t.Helper()
	c, err := New(r.ctx, r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.c = c
	found, err := c.Recover(r.ctx, known)
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *rig) sandbox(id containerizer.ID) string {
	r.t.Helper()
	dir := filepath.Join(r.work, "sandboxes", string(id))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

func (r *rig) spec(id containerizer.ID, script string) containerizer.Spec {
	kind, network, image := mesos.ContainerInfo_DOCKER, mesos.ContainerInfo_DockerInfo_NONE, enginekit.Image
	return containerizer.Spec{ID: id, Sandbox: r.sandbox(id), Command: &mesos.CommandInfo{Value: &script},
		Container: &mesos.ContainerInfo{Type: &kind, Docker: &mesos.ContainerInfo_DockerInfo{Image: &image, Network: &network}}}
}

func (r *rig) launch(spec containerizer.Spec) {
	r.t.Helper()
	if _, err := r.c.Launch(r.ctx, spec); err != nil {
		r.t.Fatalf("launch %s: %v", spec.ID, err)
	}
}

func (r *rig) wait(id containerizer.ID) containerizer.Termination {
	r.t.Helper()
	end, err := r.c.Wait(r.ctx, id)
	if err != nil {
		r.t.Fatalf("wait for %s: %v", id, err)
	}
	return end
}

func (r *rig) output(id containerizer.ID, name string) string {
	b, _ := os.ReadFile(filepath.Join(r.sandbox(id), name))
	return string(b)
}

// await polls what the Engine tells nobody about.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("%s: does not happen", what)
		}
	}
}

// listening waits until a container hears signals: the first process of a pid namespace ignores
// those that it has not asked for.
type listening struct {
	*Containerizer
	r *rig
}

func (l listening) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	if _, nested := spec.ID.Parent(); nested {
		return l.enter(ctx, spec)
	}
	_ = os.Remove(filepath.Join(spec.Sandbox, "stdout"))
	pid, err := l.Containerizer.Launch(ctx, spec)
	if err == nil {
		l.r.await("listening", func() bool { return l.r.output(spec.ID, "stdout") != "" })
	}
	return pid, err
}

// enter has a command in a container, which is all that can be in one of the Engine.
func (l listening) enter(ctx context.Context, spec containerizer.Spec) (int, error) {
	s, err := l.Exec(ctx, containerizer.Exec{ID: spec.ID, Command: spec.Command})
	if err != nil {
		return 0, err
	}
	out := bufio.NewReader(s.Stdout())
	if _, err := out.ReadString('\n'); err != nil {
		return 0, err
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	status, err := l.Status(ctx, spec.ID)
	return int(status.GetExecutorPid()), err
}

func TestDockerEngine(t *testing.T) {
	engine := enginekit.Start(t)
	t.Run("Contract", func(t *testing.T) {
		containerizertest.Run(t, func(t *testing.T) containerizertest.Host {
			r := newRig(t, engine)
			return containerizertest.Host{Containerizer: listening{r.c, r}, Sleeper: func(id containerizer.ID) containerizer.Spec {
				return r.spec(id, "trap 'trap - TERM; kill $$' TERM; echo listening; sleep 1000 & wait")
			}}
		})
	})
	for name, run := range map[string]func(*rig){
		"OutputAndStatus": outputAndStatus, "ResourcesHold": resourcesHold, "AgentRestarts": agentRestarts, "OrphansGo": orphansGo, "Sessions": sessions,
		"FailedLaunchLeavesNothing": failedLaunch, "VolumesStayInside": volumesStayInside, "PortsLeadIn": portsLeadIn, "KeptForAWhile": keptForAWhile,
		"DelayedRemovalSparesTheNext": delayedRemoval,
		"StreamsInterleave":           streamsInterleave, "LongLinesOfATerminal": longLines, "FullDisk": fullDisk, "OutputIsBounded": outputIsBounded, "GPUsHaveOneOwner": gpusHaveOneOwner, "ImagesAskForTheDriver": imagesAskForTheDriver,
		"ProgramThatIsNotThere": noProgram, "ClosedSessionsAreForgotten": sessionsAreForgotten, "DestroyedDuringLaunch": destroyedDuringLaunch,
		"AskedDuringLaunch": askedDuringLaunch, "PathsWithColons": pathsWithColons, "VolumesOfDrivers": volumesOfDrivers,
	} {
		t.Run(name, func(t *testing.T) { run(newRig(t, engine)) })
	}
}

// outputAndStatus: both outputs are complete when the end is told, and the code is the command's.
func outputAndStatus(r *rig) {
	r.launch(r.spec("one", `echo "$MESOS_SANDBOX $PWD"; echo wrong >&2; seq 20000; echo last; exit 3`))
	end := r.wait("one")
	if end.Status == nil || syscall.WaitStatus(*end.Status).ExitStatus() != 3 {
		r.t.Errorf("ended with %+v, want code 3", end)
	}
	out := r.output("one", "stdout")
	if !strings.HasPrefix(out, SandboxInContainer+" /\n") || !strings.HasSuffix(out, "20000\nlast\n") || strings.Count(out, "\n") != 20002 {
		r.t.Errorf("stdout has %d lines, begins %.40q, ends %q", strings.Count(out, "\n"), out, out[max(0, len(out)-20):])
	}
	if got := r.output("one", "stderr"); got != "wrong\n" {
		r.t.Errorf("stderr %q", got)
	}
	screen := r.spec("screen", "tty >/dev/null && seq 3000; printf 'no newline'")
	screen.Container.TtyInfo = &mesos.TTYInfo{}
	r.launch(screen)
	r.wait("screen")
	if out := r.output("screen", "stdout"); !strings.HasPrefix(out, "1\r\n2\r\n") || !strings.HasSuffix(out, "2999\r\n3000\r\nno newline") {
		r.t.Errorf("the terminal's output begins %.20q, ends %q", out, out[max(0, len(out)-30):])
	}
}

func scalarOf(name string, value float64) *mesos.Resource {
	kind := mesos.Value_SCALAR
	return &mesos.Resource{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &value}}
}

// resourcesHold: a container that takes more memory than its limit ends with that reason; limits
// can be changed while it runs.
func resourcesHold(r *rig) {
	cgroupkit.KeepHierarchies(r.t)
	spec := r.spec("hog", "x=$(dd if=/dev/zero bs=1M count=200 2>/dev/null | tr '\\0' x); sleep 1000")
	spec.Resources = []*mesos.Resource{scalarOf("cpus", 0.5), scalarOf("mem", 40)}
	r.launch(spec)
	if end := r.wait("hog"); end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY || end.State != mesos.TaskState_TASK_FAILED {
		r.t.Errorf("ended with %+v, want the limit of memory", end)
	}
	steady := r.spec("steady", "sleep 1000")
	steady.Resources = []*mesos.Resource{scalarOf("cpus", 0.5), scalarOf("mem", 64)}
	r.launch(steady)
	if err := r.c.Update(r.ctx, "steady", []*mesos.Resource{scalarOf("cpus", 2), scalarOf("mem", 128)}, map[string]float64{"cpus": 1.5}); err != nil {
		r.t.Fatal(err)
	}
	usage, err := r.c.Usage(r.ctx, "steady")
	if err != nil || usage.GetMemLimitBytes() != 128<<20 || usage.GetCpusSoftLimit() != 2 || usage.GetCpusLimit() != 1.5 || usage.GetMemTotalBytes() == 0 {
		r.t.Errorf("usage %v, %v", usage, err)
	}
	holder := r.spec("holder", "x=$(dd if=/dev/zero bs=1M count=50 2>/dev/null | tr '\\0' x); echo held; sleep 1000; echo end")
	holder.Resources = []*mesos.Resource{scalarOf("cpus", 2), scalarOf("mem", 256)}
	r.launch(holder)
	r.await("memory is held", func() bool { return r.output("holder", "stdout") == "held\n" })
	// Version 1 of control groups cannot lower the limit so far, and the container lives on.
	if err := r.c.Update(r.ctx, "holder", []*mesos.Resource{scalarOf("cpus", 1), scalarOf("mem", 40)}, nil); err != nil {
		r.t.Error(err)
	}
	if usage, err := r.c.Usage(r.ctx, "holder"); err != nil || usage.GetCpusSoftLimit() != 1 {
		r.t.Errorf("usage %v, %v", usage, err)
	}
}

// agentRestarts: the container lives on, what it wrote meanwhile is in the sandbox once, and
// its end is known to the next agent.
func agentRestarts(r *rig) {
	r.launch(r.spec("live", "echo before; while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.1; done; echo meanwhile; while [ ! -e $MESOS_SANDBOX/end ]; do sleep 0.1; done; echo after; exit 7"))
	r.await("output before", func() bool { return r.output("live", "stdout") == "before\n" })
	r.launch(r.spec("short", "while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.1; done; exit 5"))
	r.c.Close()
	for _, id := range []containerizer.ID{"live", "short"} {
		if err := os.WriteFile(filepath.Join(r.sandbox(id), "go"), nil, 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.await("end of the short one", func() bool {
		found, err := r.engine.Client.ContainerInspect(r.ctx, name("short"), client.ContainerInspectOptions{})
		return err == nil && !found.Container.State.Running
	})
	found := map[containerizer.ID]containerizer.Recovered{}
	for _, one := range r.open("live", "short") {
		found[one.ID] = one
	}
	if live := found["live"]; live.PID <= 0 || live.Ended != nil {
		r.t.Errorf("recovered %+v, want it alive", live)
	}
	if short := found["short"]; short.Ended == nil || syscall.WaitStatus(*short.Ended.Status).ExitStatus() != 5 {
		r.t.Errorf("recovered %+v, want its end with code 5", short)
	}
	if err := os.WriteFile(filepath.Join(r.sandbox("live"), "end"), nil, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if end := r.wait("live"); syscall.WaitStatus(*end.Status).ExitStatus() != 7 {
		r.t.Errorf("ended with %+v, want code 7", end)
	}
	if got := r.output("live", "stdout"); got != "before\nmeanwhile\nafter\n" {
		r.t.Errorf("stdout %q", got)
	}
}

// orphansGo: what no task has is removed; containers of other agents are left alone.
func orphansGo(r *rig) {
	r.launch(r.spec("orphan", "sleep 1000"))
	r.c.Close()
	other := *r
	other.config.Agent, other.config.Dir = "another", filepath.Join(r.work, "another")
	other.open()
	other.c.Close()
	if _, err := r.engine.Client.ContainerInspect(r.ctx, name("orphan"), client.ContainerInspectOptions{}); err != nil {
		r.t.Errorf("another agent's start removed it: %v", err)
	}
	if found := r.open(); len(found) != 0 {
		r.t.Errorf("recovered %v", found)
	}
	if _, err := r.engine.Client.ContainerInspect(r.ctx, name("orphan"), client.ContainerInspectOptions{}); err == nil {
		r.t.Error("the orphan is still there")
	}
}

// sessions: input, both outputs, a terminal with a size, and the end of a command with its session.
func sessions(r *rig) {
	r.launch(r.spec("home", "sleep 1000"))
	run := func(id containerizer.ID, script string, change func(*containerizer.Exec)) containerizer.Session {
		exec := containerizer.Exec{ID: id, Command: &mesos.CommandInfo{Value: &script}}
		if change != nil {
			change(&exec)
		}
		s, err := r.c.Exec(r.ctx, exec)
		if err != nil {
			r.t.Fatalf("exec %s: %v", id, err)
		}
		return s
	}
	s := run("home.cat", "cat; echo wrong >&2; exit 9", func(e *containerizer.Exec) { e.KeepStdin = true })
	said := make(chan string, 2)
	go func() { said <- readAll(s.Stdout()) }()
	go func() { said <- readAll(s.Stderr()) }()
	s.Stdin().Write([]byte("typed\n"))
	s.Stdin().Close()
	end, err := s.Wait(r.ctx)
	if err != nil || syscall.WaitStatus(*end.Status).ExitStatus() != 9 {
		r.t.Errorf("ended with %+v, %v; want code 9", end, err)
	}
	if got := map[string]bool{<-said: true, <-said: true}; !got["typed\n"] || !got["wrong\n"] {
		r.t.Errorf("output %v", got)
	}
	if err := s.Close(); err != nil {
		r.t.Error(err)
	}
	s = run("home.tty", "while sleep 0.1; do stty size; done", func(e *containerizer.Exec) { e.TTY, e.Rows, e.Cols = true, 12, 34 })
	context.AfterFunc(r.ctx, func() { s.Close() })
	lines := bufio.NewScanner(s.Stdout())
	for lines.Scan() && lines.Text() != "12 34" {
	}
	if lines.Text() != "12 34" {
		r.t.Errorf("the terminal does not get its size: %q, %v", lines.Text(), lines.Err())
	}
	if err := s.Close(); err != nil {
		r.t.Error(err)
	}
	if _, err := r.c.Wait(r.ctx, "home.tty"); err == nil {
		r.t.Error("a closed session is still known")
	}
}

func readAll(from interface{ Read([]byte) (int, error) }) string {
	var all []byte
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		all = append(all, buffer[:n]...)
		if err != nil {
			return string(all)
		}
	}
}

// failedLaunch: the error names the reason, and the Engine has nothing of it.
func failedLaunch(r *rig) {
	missing := r.spec("missing", "true")
	missing.Command = &mesos.CommandInfo{Shell: ptr(false), Value: ptr("/no/such/program")}
	if _, err := r.c.Launch(r.ctx, missing); err == nil || !strings.Contains(err.Error(), "no such file") {
		r.t.Errorf("got %v", err)
	}
	unknown := r.spec("unknown", "true")
	unknown.Container.Docker.Image = ptr("127.0.0.1:9/no/image:1")
	if _, err := r.c.Launch(r.ctx, unknown); err == nil || !strings.Contains(err.Error(), "pull 127.0.0.1:9/no/image:1") {
		r.t.Errorf("got %v", err)
	}
	if left, err := r.c.ours(r.ctx); err != nil || len(left) != 0 {
		r.t.Errorf("left in the Engine: %v, %v", left, err)
	}
	if _, err := r.c.Wait(r.ctx, "missing"); err == nil {
		r.t.Error("a container that did not start is known")
	}
}

// volumesStayInside: a volume from the sandbox does not follow a link out of it.
func volumesStayInside(r *rig) {
	good := r.spec("good", "echo kept > /data/file; echo beside > $MESOS_SANDBOX/in/file")
	readWrite := mesos.Volume_RW
	good.Container.Volumes = []*mesos.Volume{{ContainerPath: ptr("/data"), HostPath: ptr("data"), Mode: &readWrite}, {ContainerPath: ptr("in"), HostPath: ptr("other"), Mode: &readWrite}}
	r.launch(good)
	r.wait("good")
	if a, b := r.output("good", "data/file"), r.output("good", "other/file"); a != "kept\n" || b != "beside\n" {
		r.t.Errorf("volumes hold %q and %q; stderr %q", a, b, r.output("good", "stderr"))
	}
	bad := r.spec("bad", "true")
	bad.Container.Volumes = good.Container.Volumes[:1]
	if err := os.Symlink("/etc", filepath.Join(bad.Sandbox, "data")); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.c.Launch(r.ctx, bad); err == nil || !strings.Contains(err.Error(), `volume from "data" in the sandbox`) {
		r.t.Errorf("a link out of the sandbox was followed: %v", err)
	}
}

// portsLeadIn: a port of the task's resources leads into the container, and its address is told.
func portsLeadIn(r *rig) {
	spec := r.spec("web", "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www")
	bridge, ranges := mesos.ContainerInfo_DockerInfo_BRIDGE, mesos.Value_RANGES
	spec.Container.Docker.Network = &bridge
	spec.Container.Docker.PortMappings = []*mesos.ContainerInfo_DockerInfo_PortMapping{{HostPort: ptr(uint32(31000)), ContainerPort: ptr(uint32(80))}}
	if _, err := r.c.Launch(r.ctx, spec); err == nil || !strings.Contains(err.Error(), "host port 31000 is not among the ports") {
		r.t.Errorf("got %v", err)
	}
	spec.Resources = []*mesos.Resource{{Name: ptr("ports"), Type: &ranges, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: ptr(uint64(31000)), End: ptr(uint64(31000))}}}}}
	r.launch(spec)
	status, err := r.c.Status(r.ctx, "web")
	if err != nil || len(status.GetNetworkInfos()) != 1 || status.GetNetworkInfos()[0].GetIpAddresses()[0].GetIpAddress() == "" {
		r.t.Fatalf("status %v, %v", status, err)
	}
	found, err := r.engine.Client.ContainerInspect(r.ctx, name("web"), client.ContainerInspectOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	bound := found.Container.NetworkSettings.Ports[network.MustParsePort("80/tcp")]
	if len(bound) == 0 || bound[0].HostPort != "31000" {
		r.t.Fatalf("port 80 is bound to %v of %v", bound, found.Container.NetworkSettings.Ports)
	}
	// The Engine's host is a network namespace of its own: ask from inside another container of it.
	ask := r.spec("ask", "until wget -q -O - http://"+status.GetNetworkInfos()[0].GetIpAddresses()[0].GetIpAddress()+"/; do sleep 0.1; done")
	ask.Container.Docker.Network = &bridge
	r.launch(ask)
	if r.wait("ask"); r.output("ask", "stdout") != "hello\n" {
		r.t.Errorf("answer %q, stderr %q", r.output("ask", "stdout"), r.output("ask", "stderr"))
	}
}

// keptForAWhile: a removed container stays in the Engine for the delay, and its id can be used again.
func keptForAWhile(r *rig) {
	r.c.Close()
	r.config.RemoveDelay = time.Hour
	r.open()
	r.launch(r.spec("kept", "exit 0"))
	r.wait("kept")
	if err := r.c.Remove(r.ctx, "kept"); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.engine.Client.ContainerInspect(r.ctx, name("kept"), client.ContainerInspectOptions{}); err != nil {
		r.t.Errorf("it is gone: %v", err)
	}
	r.launch(r.spec("kept", "exit 0"))
	r.wait("kept")
	r.c.Close()
	r.config.RemoveDelay = 0
	r.open()
	if _, err := r.engine.Client.ContainerInspect(r.ctx, name("kept"), client.ContainerInspectOptions{}); err == nil {
		r.t.Error("it is still there after the delay")
	}
}

// delayedRemoval: the removal of one that has ended does not reach a later container of its id.
func delayedRemoval(r *rig) {
	r.c.Close()
	r.config.RemoveDelay = 2 * time.Second
	r.open()
	for _, id := range []containerizer.ID{"again", "witness"} {
		r.launch(r.spec(id, "exit 0"))
		r.wait(id)
		if err := r.c.Remove(r.ctx, id); err != nil {
			r.t.Fatal(err)
		}
		if _, err := os.Stat(r.c.dir(id)); !os.IsNotExist(err) {
			r.t.Errorf("what was kept of %s is still there: %v", id, err)
		}
	}
	r.launch(r.spec("again", "sleep 1000"))
	r.await("removal after the delay", func() bool {
		_, err := r.engine.Client.ContainerInspect(r.ctx, name("witness"), client.ContainerInspectOptions{})
		return err != nil
	})
	if found, err := r.engine.Client.ContainerInspect(r.ctx, name("again"), client.ContainerInspectOptions{}); err != nil || !found.Container.State.Running {
		r.t.Errorf("the later container was removed: %v", err)
	}
}
