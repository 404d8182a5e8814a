package linux

import (
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/ports"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/resources"
)

// Ports are the options of the isolator network/ports.
type Ports struct {
	ports.Rules
	// Interval is how often containers are looked at (Mesos
	// --container_ports_watch_interval); 0 means 30 s.
	Interval time.Duration
}

// watchPorts looks at what containers listen on now and then, until the containerizer is
// closed.
func (c *Containerizer) watchPorts() {
	tick := time.NewTicker(c.config.Isolation.Ports.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
		if err := c.lookAtPorts(); err != nil {
			c.log.Warn("ports of containers not looked at", "error", err)
		}
	}
}

// lookAtPorts looks at every container on the host's network; what listens in networks of
// its own is in nobody's way.
func (c *Containerizer) lookAtPorts() error {
	sockets, err := ports.Listening(c.config.Isolation.Ports.Datagrams)
	if err != nil || len(sockets) == 0 {
		return err
	}
	for _, b := range c.running() {
		if c.networkOf(b.id) != nil {
			continue
		}
		listens := c.listens(b, sockets)
		if beyond := c.config.Isolation.Ports.Beyond(listens, c.givenPorts(b.id)); len(beyond) > 0 || b.beyond != "" {
			c.judgePorts(b, beyond)
		}
	}
	return nil
}

// listens are the ports of the container's own processes, not of those nested in it: who
// breaks the rules ends alone.
func (c *Containerizer) listens(b *box, sockets ports.Sockets) (out resources.Ranges) {
	group := c.hierarchy.At(launcher.Processes(b.Cgroup, string(b.id), b.Shares, c.hierarchy.V2))
	for _, pid := range group.Procs() {
		held, err := sockets.Held(pid)
		if err != nil {
			c.log.Warn("ports of a process not looked at", "container", b.id, "pid", pid, "error", err)
		}
		out = out.Add(held)
	}
	return out
}

// givenPorts are those of the container's pod: its tasks may listen for each other.
func (c *Containerizer) givenPorts(id containerizer.ID) (out resources.Ranges) {
	root, _, _ := strings.Cut(string(id), ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, b := range c.boxes {
		if string(other) == root || strings.HasPrefix(string(other), root+".") {
			out = out.Add(b.Ports)
		}
	}
	return out
}

// judgePorts tells of a container that listens beyond what it was given, once for each set
// of ports, and ends it where the rules are enforced. One that is being destroyed has done
// nothing wrong. Mesos MESOS-9053.
func (c *Containerizer) judgePorts(b *box, beyond resources.Ranges) {
	text := beyond.String()
	c.mu.Lock()
	life, _ := c.lives.State(b.id)
	again := text == b.beyond
	b.beyond = text
	c.mu.Unlock()
	if life != containerizer.Running || len(beyond) == 0 {
		return
	}
	if !again {
		c.log.Warn("container listens on ports that it was not given", "container", b.id, "ports", text, "enforced", c.config.Isolation.Ports.Enforce)
	}
	if c.config.Isolation.Ports.Enforce {
		c.limit(b, ports.Limitation(string(b.id), beyond))
	}
}

// isolatesPorts reports whether ports are looked at.
func (c *Containerizer) isolatesPorts() bool { return c.config.Isolation.On.Has(isolation.Ports) }
