package sim

import (
	"fmt"
	"time"

	"agora.dev/agora/agent/containerizer"
	agentcore "agora.dev/agora/agent/core"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/command"
	"agora.dev/agora/executor/taskgroup"
	"agora.dev/agora/master/core"
)

// agentNode is one machine: a process that comes and goes, a disk and containers that
// stay.
type agentNode struct {
	w          *world
	host       host
	life       int // grows with every process
	core       *agentcore.Core
	disk       disk
	containers *containers
	wake       *timer
	link       *conn
	linkID     agentcore.LinkID
	booted     time.Time // the machine
	rebooted   bool
}

func newAgentNode(w *world, i int) *agentNode {
	a := &agentNode{w: w, host: host(fmt.Sprintf("agent%d", i)), booted: w.now}
	a.containers = &containers{a: a, all: map[containerizer.ID]*container{}}
	return a
}

func (a *agentNode) info() *mesos.AgentInfo {
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	return &mesos.AgentInfo{Hostname: ptr(string(a.host)), Port: ptr(int32(5051)), Resources: []*mesos.Resource{
		scalar("cpus", 4), scalar("mem", 4096), scalar("disk", 10000),
		{Name: ptr("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{
			Range: []*mesos.Value_Range{{Begin: ptr(uint64(31000)), End: ptr(uint64(32000))}}}},
	}}
}

// boot starts an agent process on what the disk and the machine hold.
func (a *agentNode) boot() {
	if a.core != nil {
		return
	}
	a.life++
	a.disk.crashIn = 0
	a.core = agentcore.New(agentcore.Config{
		Info: a.info(), Version: "1.11.0", Endpoint: string(a.host) + ":5051", IP: string(a.host),
		Sandbox: func(agent string, run agentcore.Run, id containerizer.ID) string {
			return fmt.Sprintf("/%s/%s/%s/%s", agent, run.Key.Framework, run.Key.Executor, id)
		},
		Executors: executors{}, NewUUID: a.w.uuid, Random: a.w.rng.Float64, Boot: a.booted,
	})
	a.w.trace(a.host, "boots")
	state := a.disk.state
	state.Rebooted, a.rebooted = a.rebooted, false
	found := a.containers.recover(&state)
	a.step(agentcore.Recovered{State: &state, Containers: found})
	for _, have := range found {
		if have.Ended != nil {
			a.later(a.w.latency(), agentcore.ContainerTerminated{ID: have.ID, Termination: *have.Ended})
		}
	}
}

// later handles an event after d, if the process lives then.
func (a *agentNode) later(d time.Duration, event agentcore.Event) {
	life := a.life
	a.w.after(d, func() {
		if a.life == life {
			a.step(event)
		}
	})
}

// crash kills the agent's process; containers run on.
func (a *agentNode) crash() {
	if a.core == nil {
		return
	}
	a.w.trace(a.host, "crashes")
	a.w.crashes++
	a.life++
	a.core = nil
	a.wake.cancel()
	a.link, a.linkID = nil, 0
	a.w.net.cutAll(a.host)
	a.containers.agentDied()
}

// reboot kills the whole machine.
func (a *agentNode) reboot() {
	a.crash()
	a.w.trace(a.host, "reboots")
	a.rebooted, a.booted = true, a.w.now
	a.containers.killAll()
}

func (a *agentNode) step(event agentcore.Event) {
	if a.core == nil {
		return
	}
	a.w.trace(a.host, "%T", event)
	ready := a.core.Step(a.w.now, event)
	for _, write := range ready.Persist {
		a.w.trace(a.host, "writes %T", write)
	}
	if !a.disk.write(ready.Persist, a.wrote) {
		a.crash()
		return
	}
	for _, message := range ready.Send {
		a.send(message)
		if a.core == nil {
			return
		}
	}
	a.wake.cancel()
	a.wake = nil
	if !ready.Wake.IsZero() {
		a.wake = a.w.at(ready.Wake, func() { a.step(agentcore.Tick{}) })
	}
}

func (a *agentNode) wrote(before []*mesos.Resource, write agentcore.Write) {
	a.w.check.writes(write)
	if resources, ok := write.(agentcore.WriteResources); ok {
		a.w.check.resourcesWritten(a, before, resources)
	}
}

func (a *agentNode) send(message agentcore.Send) {
	switch message := message.(type) {
	case agentcore.ToMaster:
		a.toMaster(message)
	case agentcore.Connect:
		a.connect()
	case agentcore.Disconnect:
		if message.Link == a.linkID && a.link != nil {
			a.link.close(0)
			a.link, a.linkID = nil, 0
		}
	case agentcore.LaunchContainer:
		a.w.check.volumesUsed(a, message)
		a.containers.launch(message)
	case agentcore.SignalContainer:
		a.containers.signal(message.ID, int(message.Signal))
	case agentcore.ProbeContainer:
		a.containers.probe(message)
	case agentcore.DestroyContainer:
		a.containers.destroy(message.ID)
	case agentcore.RemoveContainer:
		a.containers.remove(message.ID)
	case agentcore.UpdateContainer, agentcore.ForgetSandbox:
	case agentcore.ToExecutor, agentcore.CloseExecutor, agentcore.Reply, agentcore.OpenRelay:
		a.w.fail("agent %s answers an executor that the simulation does not have: %T", a.host, message)
	case agentcore.Exit:
		a.w.trace(a.host, "exits")
		a.crash()
		a.w.after(a.w.upTo(20*time.Second), a.boot) // by its supervisor
	default:
		a.w.fail("agent %s sends a %T, which the simulation does not know", a.host, message)
	}
}

func (a *agentNode) toMaster(message agentcore.ToMaster) {
	if message.Link != a.linkID || a.link == nil {
		return
	}
	data, err := message.Message.MarshalVT()
	if err != nil {
		a.w.fail("encode link message: %w", err)
	}
	a.w.trace(a.host, "-> master %T %016x", message.Message.GetMessage(), sum(data))
	a.link.sendMaybeTwice(0, data)
}

// connect looks for the leader and dials it.
func (a *agentNode) connect() {
	life := a.life
	a.w.after(a.w.latency(), func() {
		if a.life != life {
			return
		}
		m := a.w.leader()
		if m == nil || a.w.net.blocked[[2]host{a.host, m.host}] || a.w.net.blocked[[2]host{m.host, a.host}] {
			a.step(agentcore.LinkClosed{Reason: "no leader answers"})
			return
		}
		a.dial(m)
	})
}

func (a *agentNode) dial(m *masterNode) {
	var (
		life, masterLife = a.life, m.life
		id               = agentcore.LinkID(a.w.id())
		remote           core.LinkID
		c                *conn
	)
	alive := func() bool { return a.life == life && a.linkID == id }
	c = a.w.net.connect(end{
		host: a.host,
		receive: func(data []byte) {
			if !alive() {
				return
			}
			message := new(link.FromMaster)
			if err := message.UnmarshalVT(data); err != nil {
				a.w.fail("link message of the master does not decode: %w", err)
			}
			a.step(agentcore.FromMaster{Link: id, Message: message})
		},
		closed: func() {
			if alive() {
				a.link, a.linkID = nil, 0
				a.step(agentcore.LinkClosed{Link: id, Reason: "closed"})
			}
		},
	}, end{
		host: m.host,
		receive: func(data []byte) {
			if m.life == masterLife {
				m.linkMessage(remote, data)
			}
		},
		closed: func() {
			if m.life == masterLife {
				m.linkClosed(remote)
			}
		},
	})
	a.link, a.linkID = c, id
	remote = m.linkOpened(c, a.host)
	a.step(agentcore.LinkOpened{Link: id})
}

// executors makes the real cores of built-in executors.
type executors struct{}

func (executors) New(kind agentcore.Kind, config executor.Config) executor.Core {
	if kind == agentcore.TaskGroup {
		return taskgroup.New(config)
	}
	return command.New(config)
}

func (executors) Restore(kind agentcore.Kind, config executor.Config, state []byte) (executor.Core, error) {
	if kind == agentcore.TaskGroup {
		return taskgroup.Restore(config, state)
	}
	return command.Restore(config, state)
}
