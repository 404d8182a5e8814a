package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// Levels of notes, as in log/slog.
const (
	noteInfo  = 0
	noteWarn  = 4
	noteError = 8
)

func (c *Core) send(m Message) { c.ready.Send = append(c.ready.Send, m) }

// toFramework puts an event on the framework's stream, if it has one.
func (c *Core) toFramework(f *framework, e *scheduler.Event) bool {
	if f == nil || f.conn == 0 {
		return false
	}
	f.rec.Counters.Events[e.GetType()]++
	c.touchFramework(f)
	c.send(ToScheduler{Conn: f.conn, Event: e})
	return true
}

// toAgent puts a message on the agent's link, if it has one.
func (c *Core) toAgent(a *agent, m *link.FromMaster) bool {
	if a == nil || a.link == nil {
		return false
	}
	c.send(ToAgent{Link: a.link.id, Message: m})
	return true
}

// refuse tells whoever is on a link to try again later.
func (c *Core) refuse(id LinkID, reason string) {
	c.send(ToAgent{Link: id, Message: &link.FromMaster{Message: &link.FromMaster_Refused{
		Refused: &link.Refused{Reason: &reason}}}})
}

func (c *Core) answer(id RequestID, status int, text string) {
	if id != 0 {
		c.send(Answer{Request: id, Status: status, Text: text})
	}
}

func (c *Core) note(level int, text string, attrs ...any) {
	c.ready.Notes = append(c.ready.Notes, Note{Level: level, Text: text, Attrs: attrs})
}

// persist orders a registry write; done runs in the step that learns of its success.
func (c *Core) persist(op registry.Op, done func()) {
	c.nextWrite++
	c.pending[c.nextWrite] = done
	c.ready.Persist = append(c.ready.Persist, Persist{ID: c.nextWrite, Op: op})
}

func (c *Core) newFrameworkID() FrameworkID {
	c.nextFramework++
	return FrameworkID(fmt.Sprintf("%s-%04d", c.cfg.Master.GetId(), c.nextFramework-1))
}

func (c *Core) newAgentID() AgentID {
	c.nextAgent++
	return AgentID(fmt.Sprintf("%s-S%d", c.cfg.Master.GetId(), c.nextAgent-1))
}

func (c *Core) newOfferID() OfferID {
	c.nextOffer++
	return OfferID(fmt.Sprintf("%s-O%d", c.cfg.Master.GetId(), c.nextOffer-1))
}

// seconds is a time as the protocol writes it.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func timeInfo(t time.Time) *mesos.TimeInfo {
	n := t.UnixNano()
	return &mesos.TimeInfo{Nanoseconds: &n}
}

func ptr[T any](v T) *T { return &v }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func frameworkID(id FrameworkID) *mesos.FrameworkID {
	return &mesos.FrameworkID{Value: ptr(string(id))}
}
func agentID(id AgentID) *mesos.AgentID          { return &mesos.AgentID{Value: ptr(string(id))} }
func offerID(id OfferID) *mesos.OfferID          { return &mesos.OfferID{Value: ptr(string(id))} }
func taskID(id TaskID) *mesos.TaskID             { return &mesos.TaskID{Value: ptr(string(id))} }
func executorID(id ExecutorID) *mesos.ExecutorID { return &mesos.ExecutorID{Value: ptr(string(id))} }
