package core

import (
	"sort"
	"strings"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/matcher"
)

// View is what readers see, at one moment.
type View struct {
	FrameworkID string
	Connected   bool
	Apps        []marathon.AppInfo // with their tasks, sorted by id
	Tasks       []marathon.Task    // of removed apps too
	Versions    map[string][]*marathon.App
	Deployments []marathon.Deployment
	Queue       []marathon.QueueItem
}

func (c *Core) view(now time.Time) *View {
	v := &View{FrameworkID: c.state.FrameworkID, Connected: c.connected, Versions: map[string][]*marathon.App{},
		Apps: []marathon.AppInfo{}, Tasks: []marathon.Task{}, Deployments: []marathon.Deployment{}, Queue: []marathon.QueueItem{}}
	byApp := map[string][]*instance.Instance{}
	for _, id := range keys(c.state.Instances) {
		i := c.state.Instances[id]
		byApp[i.AppID] = append(byApp[i.AppID], i)
		v.Tasks = append(v.Tasks, c.task(i))
	}
	for _, id := range keys(c.state.Apps) {
		v.Apps = append(v.Apps, c.appInfo(c.state.Apps[id], byApp[id]))
		for _, version := range keys(c.state.Versions[id]) {
			v.Versions[id] = append(v.Versions[id], c.state.Versions[id][version])
		}
	}
	for _, id := range keys(c.state.Deployments) {
		v.Deployments = append(v.Deployments, describe(c.state.Deployments[id]))
	}
	for _, id := range keys(c.demand) {
		v.Queue = append(v.Queue, c.queueItem(now, id))
	}
	return v
}

func (c *Core) appInfo(app *marathon.App, instances []*instance.Instance) marathon.AppInfo {
	info := marathon.AppInfo{App: *app, Deployments: []marathon.DeploymentRef{}, LastTaskFailure: c.failures[app.ID]}
	for _, i := range instances {
		info.Tasks = append(info.Tasks, c.task(i))
		switch i.Condition {
		case instance.Running, instance.Killing:
			info.TasksRunning++
			if i.Health != nil && i.Health.Alive {
				info.TasksHealthy++
			} else if i.Health != nil {
				info.TasksUnhealthy++
			}
		case instance.Provisioned, instance.Staging, instance.Starting:
			info.TasksStaged++
		}
	}
	if d := c.deploymentOf(app.ID); d != nil {
		info.Deployments = append(info.Deployments, marathon.DeploymentRef{ID: d.ID})
	}
	return info
}

func (c *Core) task(i *instance.Instance) marathon.Task {
	t := marathon.Task{AppID: i.AppID, ID: i.TaskID, Host: i.Host, Ports: i.Ports, SlaveID: i.AgentID, State: i.TaskState(),
		StagedAt: stamp(i.StagedAt), StartedAt: stamp(i.StartedAt), Version: i.Version, LocalVolumes: []any{}, Role: i.Role}
	if i.Decommissioned && i.Condition == instance.Running {
		t.State = "TASK_KILLING"
	}
	if t.Ports == nil {
		t.Ports = []int{}
	}
	for _, address := range i.IPAddresses {
		protocol := "IPv4"
		if strings.Contains(address, ":") {
			protocol = "IPv6"
		}
		t.IPAddresses = append(t.IPAddresses, marathon.IPAddress{IPAddress: address, Protocol: protocol})
	}
	if h := i.Health; h != nil {
		t.HealthCheckResults = []marathon.HealthCheckResult{{Alive: h.Alive, ConsecutiveFailures: h.Failures, InstanceID: i.ID,
			FirstSuccess: stamp(h.FirstSuccess), LastSuccess: stamp(h.LastSuccess), LastFailure: stamp(h.LastFailure)}}
	}
	if app := c.state.Apps[i.AppID]; app != nil {
		for _, p := range app.ServicePorts() {
			t.ServicePorts = append(t.ServicePorts, *p)
		}
	}
	return t
}

func describe(d *Deployment) marathon.Deployment {
	out := marathon.Deployment{ID: d.ID, Version: d.Version, AffectedApps: keys(d.Previous), AffectedPods: []string{},
		CurrentStep: 1, TotalSteps: 1, CurrentActions: []marathon.DeploymentAction{}}
	for _, id := range keys(d.Actions) {
		out.CurrentActions = append(out.CurrentActions, marathon.DeploymentAction{Action: d.Actions[id], App: id})
	}
	out.Steps = []marathon.DeploymentStep{{Actions: out.CurrentActions}}
	return out
}

func (c *Core) queueItem(now time.Time, id string) marathon.QueueItem {
	app, d := c.state.Apps[id], c.demand[id]
	item := marathon.QueueItem{App: *app, Role: c.cfg.Role, Count: d.count, Since: stamp(d.since),
		Delay: marathon.QueueDelay{Overdue: true}}
	if until := c.delayed(now, id); !until.IsZero() {
		item.Delay = marathon.QueueDelay{TimeLeftSeconds: int((until.Sub(now) + time.Second - 1) / time.Second)}
	}
	last := map[string]int{}
	for _, unused := range d.refused {
		item.LastUnusedOffers = append(item.LastUnusedOffers, *unused)
		last[unused.Reason[0]]++
	}
	sort.Slice(item.LastUnusedOffers, func(a, b int) bool {
		return item.LastUnusedOffers[a].Offer.AgentID < item.LastUnusedOffers[b].Offer.AgentID
	})
	item.ProcessedOffersSummary = marathon.OffersSummary{ProcessedOffersCount: d.processed, UnusedOffersCount: d.unused,
		LastUnusedOfferAt: stamp(d.lastAt), LastUsedOfferAt: stamp(d.lastUsed),
		RejectSummaryLastOffers: funnel(last, len(d.refused)), RejectSummaryLaunchAttempt: funnel(d.declined, d.processed)}
	return item
}

// funnel counts, check by check, the offers that came to it and that it declined.
func funnel(declined map[string]int, processed int) []marathon.RejectReason {
	var all []marathon.RejectReason
	for _, reason := range matcher.Reasons {
		all = append(all, marathon.RejectReason{Reason: reason, Declined: declined[reason], Processed: processed})
		processed -= declined[reason]
	}
	return all
}
