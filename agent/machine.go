package agent

import (
	"context"
	"log/slog"
	"time"

	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/launchtrace"
)

// machine binds the core to the disk, the link, the executors and the containers. It
// runs on the loop's goroutine.
type machine struct {
	core       *core.Core
	write      func(core.Write) error
	link       *linker
	executors  executorStreams
	containers *containers
	sandboxes  forgetful
	launches   *launches
	relays     *relays
	log        *slog.Logger
	exit       func(error)
	wake       time.Time
	failed     bool
}

// executorStreams delivers to custom executors.
type executorStreams interface {
	Reply(request core.RequestID, err error)
	Send(to core.ToExecutor)
	Close(connection core.ConnectionID)
}

// forgetful learns which sandboxes are no longer needed.
type forgetful interface {
	forget(core.ForgetSandbox)
}

// posted is what comes over the loop: an event, or a look at the core.
type posted struct {
	event   core.Event
	inspect func(*core.Core)
	at      launchtrace.Time
	launch  *launchtrace.Trace // of the launch that the event tells of; may be nil
}

// Step handles a batch.
func (m *machine) Step(now time.Time, batch []posted) time.Time {
	for _, p := range batch {
		if p.inspect != nil {
			p.inspect(m.core)
			continue
		}
		m.step(now, p)
	}
	return m.wake
}

// Tick handles the passing of time.
func (m *machine) Tick(now time.Time) time.Time {
	m.step(now, posted{event: core.Tick{}, at: launchtrace.Now()})
	return m.wake
}

func (m *machine) step(now time.Time, p posted) {
	if m.failed {
		return
	}
	ready := m.core.Step(now, p.event)
	decided := launchtrace.Now()
	m.wake = ready.Wake
	for _, note := range ready.Notes {
		level := slog.LevelInfo
		if note.Debug {
			level = slog.LevelDebug
		}
		m.log.Log(context.Background(), level, note.Text, note.Facts...)
	}
	for _, w := range ready.Persist {
		if err := m.write(w); err != nil {
			// What cannot be written must not be told. Containers stay for the next agent.
			m.failed, m.wake = true, time.Time{}
			m.exit(err)
			return
		}
	}
	written := launchtrace.Now()
	for _, s := range ready.Send {
		if l, ok := s.(core.LaunchContainer); ok {
			m.containers.launch(l, launchtrace.New(p.at, launchtrace.Mark{Step: launchtrace.Admit, At: decided}, launchtrace.Mark{Step: launchtrace.Checkpoint, At: written}))
			continue
		}
		m.send(s)
	}
	if launched, ok := p.event.(core.ContainerLaunched); ok {
		p.launch.Add(launchtrace.Mark{Step: launchtrace.Report, At: decided})
		p.launch.Mark(launchtrace.Log)
		m.launches.done(launched.ID, p.launch)
	}
}

func (m *machine) send(s core.Send) {
	switch s := s.(type) {
	case core.ToMaster:
		m.link.send(s)
	case core.Connect:
		m.link.connect()
	case core.Disconnect:
		m.link.disconnect(s.Link)
	case core.ToExecutor:
		m.executors.Send(s)
	case core.CloseExecutor:
		m.executors.Close(s.Connection)
	case core.Reply:
		m.executors.Reply(s.Request, s.Err)
	case core.SignalContainer:
		m.containers.signal(s)
	case core.ProbeContainer:
		m.containers.probe(s)
	case core.DestroyContainer:
		m.containers.destroy(s.ID)
	case core.RemoveContainer:
		m.containers.remove(s.ID)
	case core.UpdateContainer:
		m.containers.update(s)
	case core.ForgetSandbox:
		m.sandboxes.forget(s)
	case core.OpenRelay:
		m.relays.open(s)
	case core.Exit:
		m.exit(s.Err)
	}
}
