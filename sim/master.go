package sim

import (
	"fmt"
	"time"

	link "agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/validation"
)

// masterNode is one master: the core while it leads, nothing while it does not.
type masterNode struct {
	w         *world
	host      host
	life      int // grows with every process
	token     uint64
	core      *core.Core
	allocator *allocatorNode
	wake      *timer
	conns     map[core.ConnID]*subscription
	links     map[core.LinkID]*conn
	answers   map[core.RequestID]func(status int, text string)
	follower  *operatorView
}

// subscription is a scheduler's stream at the master.
type subscription struct {
	conn      *conn
	mediaType codec.MediaType
}

func newMasterNode(w *world, i int) *masterNode {
	return &masterNode{w: w, host: host(fmt.Sprintf("master%d", i))}
}

// lead starts a process that wins the election.
func (m *masterNode) lead() {
	m.life++
	m.token = m.w.registry.elect()
	m.conns = map[core.ConnID]*subscription{}
	m.links = map[core.LinkID]*conn{}
	m.answers = map[core.RequestID]func(int, string){}
	id, hostname, port, ip := fmt.Sprintf("%s-%d", m.host, m.life), string(m.host), int32(5050), uint32(0x0100007f)
	m.core = core.New(core.Config{OfferTimeout: m.w.offerTimeout, Master: &mesos.MasterInfo{Id: &id, Hostname: &hostname, Port: ptr(uint32(port)), Ip: &ip}})
	m.allocator, m.follower = newAllocatorNode(m), newOperatorView()
	m.w.trace(m.host, "leads %s", id)
	life := m.life
	m.w.after(m.w.upTo(100*time.Millisecond), func() {
		if m.life == life {
			m.step(core.Elected{Contents: m.w.registry.load()})
		}
	})
}

// crash ends the process: whoever is connected sees it.
func (m *masterNode) crash() {
	if m.core == nil {
		return
	}
	m.w.trace(m.host, "crashes")
	m.w.crashes++
	m.life++
	m.core = nil
	m.wake.cancel()
	m.allocator.stop()
	m.w.net.cutAll(m.host)
}

// step runs the core, and carries out what it wants.
func (m *masterNode) step(event core.Event) {
	if m.core == nil {
		return
	}
	m.w.trace(m.host, "%T", event)
	ready := m.core.Step(m.w.now, event)
	life := m.life
	for _, persist := range ready.Persist {
		m.w.registry.apply(m.token, persist.Op, func(err error) {
			if m.life == life {
				m.step(core.RegistryDone{ID: persist.ID, Err: err})
			}
		})
	}
	for _, message := range ready.Send {
		m.send(message)
	}
	m.w.check.master(m)
	stepDown := false
	for _, note := range ready.Notes {
		stepDown = stepDown || note.StepDown
	}
	m.arm(ready.Wake)
	if stepDown {
		m.crash()
	}
}

func (m *masterNode) arm(wake time.Time) {
	m.wake.cancel()
	if wake.IsZero() {
		m.wake = nil
		return
	}
	m.wake = m.w.at(wake, func() { m.step(core.Tick{}) })
}

func (m *masterNode) send(message core.Message) {
	switch message := message.(type) {
	case core.ToScheduler:
		m.toScheduler(message)
	case core.CloseConn:
		if s := m.conns[message.Conn]; s != nil {
			s.conn.close(1)
			delete(m.conns, message.Conn)
		}
	case core.ToAgent:
		m.toAgent(message)
	case core.CloseLink:
		if c := m.links[message.Link]; c != nil {
			c.close(1)
			delete(m.links, message.Link)
		}
	case core.ToAllocator:
		m.allocator.post(message.Event)
	case core.Answer:
		if answer := m.answers[message.Request]; answer != nil {
			delete(m.answers, message.Request)
			answer(message.Status, message.Text)
		}
	case core.OperatorEvent:
		m.w.check.operatorEvent(m, message)
	default:
		m.w.fail("the master sends a %T, which the simulation does not know", message)
	}
}

func (m *masterNode) toScheduler(message core.ToScheduler) {
	s := m.conns[message.Conn]
	if s == nil {
		return
	}
	data, err := codec.Marshal(s.mediaType, message.Event)
	if err != nil {
		m.w.fail("encode %v: %w", message.Event.GetType(), err)
	}
	m.w.trace(m.host, "-> %v %016x", message.Event.GetType(), sum(data))
	s.conn.send(1, data)
}

func (m *masterNode) toAgent(message core.ToAgent) {
	c := m.links[message.Link]
	if c == nil {
		return
	}
	data, err := message.Message.MarshalVT()
	if err != nil {
		m.w.fail("encode link message: %w", err)
	}
	m.w.trace(m.host, "-> agent %T %016x", message.Message.GetMessage(), sum(data))
	c.sendMaybeTwice(1, data)
}

// subscribe is POST /api/v1/scheduler with SUBSCRIBE; c's side 1 is the master.
func (m *masterNode) subscribe(c *conn, mediaType codec.MediaType, body []byte) core.ConnID {
	id := core.ConnID(m.w.id())
	call := new(scheduler.Call)
	if err := codec.Unmarshal(mediaType, body, call); err != nil {
		m.w.fail("a framework's SUBSCRIBE does not decode: %w", err)
	}
	m.conns[id] = &subscription{conn: c, mediaType: mediaType}
	m.step(core.FrameworkSubscribed{Conn: id, Call: call.GetSubscribe()})
	return id
}

// call is POST /api/v1/scheduler with any other call.
func (m *masterNode) call(id core.ConnID, mediaType codec.MediaType, body []byte, answer func(int, string)) {
	call := new(scheduler.Call)
	if err := codec.Unmarshal(mediaType, body, call); err != nil {
		m.w.fail("a framework's call does not decode: %w", err)
	}
	if err := validation.Call(call, ""); err != nil {
		m.w.fail("a framework's call is not valid: %w", err)
	}
	if m.conns[id] == nil {
		id = 0
	}
	request := core.RequestID(m.w.id())
	m.answers[request] = answer
	m.step(core.SchedulerCall{Request: request, Conn: id, Call: call})
}

// connClosed says that the scheduler's stream ended.
func (m *masterNode) connClosed(id core.ConnID) {
	delete(m.conns, id)
	m.step(core.ConnClosed{Conn: id})
}

// linkOpened takes an agent's connection; its side 1 is the master.
func (m *masterNode) linkOpened(c *conn, from host) core.LinkID {
	id := core.LinkID(m.w.id())
	m.links[id] = c
	m.step(core.AgentLinkOpened{Link: id, IP: string(from)})
	return id
}

func (m *masterNode) linkMessage(id core.LinkID, data []byte) {
	message := new(link.FromAgent)
	if err := message.UnmarshalVT(data); err != nil {
		m.w.fail("link message of an agent does not decode: %w", err)
	}
	if m.links[id] != nil {
		m.step(core.AgentMessage{Link: id, Message: message})
	}
}

func (m *masterNode) linkClosed(id core.LinkID) {
	delete(m.links, id)
	m.step(core.AgentLinkClosed{Link: id})
}

func ptr[T any](v T) *T { return &v }
