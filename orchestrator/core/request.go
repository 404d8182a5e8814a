package core

import (
	"encoding/json"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	"agora.dev/agora/orchestrator/group"
	"agora.dev/agora/orchestrator/instance"
)

// Command is what a person asks for. The set is closed.
type Command interface{ command() }

// Mode says what a change does with the app as it is.
type Mode int

// The modes of a change.
const (
	Create  Mode = iota // fails when the app exists
	Upsert              // lays the fields over the app; makes it when there is none
	Whole               // replaces the app; makes it when there is none
	Patch               // lays the fields over the app; fails when there is none
	Restart             // replaces all instances
)

// The commands. Answers: Changed for all but Look and KillTasks.
type (
	// Change sets apps; each Body is an app's JSON.
	Change struct {
		Mode   Mode
		Force  bool
		Bodies []AppBody
	}
	AppBody struct {
		ID   string // may be empty when the body has it
		Body []byte
	}
	Delete struct {
		ID    string
		Force bool
	}
	// KillTasks ends tasks, by id or all of an app (on a host); answers []marathon.Task, or
	// Changed when it scales.
	KillTasks struct {
		IDs          []string
		App, Host    string
		Scale, Force bool
	}
	// CancelDeployment undoes a deployment, or with Force only forgets it.
	CancelDeployment struct {
		ID    string
		Force bool
	}
	ResetDelay struct{ App string }
	// Look answers *View.
	Look struct{}
)

func (Change) command()           {}
func (Delete) command()           {}
func (KillTasks) command()        {}
func (CancelDeployment) command() {}
func (ResetDelay) command()       {}
func (Look) command()             {}

// Changed answers a change.
type Changed struct {
	Deployment marathon.DeploymentResult
	App        *marathon.App // of a change of one app
	Created    bool
}

func (c *Core) request(now time.Time, r Request) {
	var value any
	var err *marathon.Error
	switch command := r.Command.(type) {
	case Change:
		value, err = c.change(now, command)
	case Delete:
		value, err = c.remove(now, command)
	case KillTasks:
		value, err = c.killTasks(now, command)
	case CancelDeployment:
		value, err = c.cancel(now, command)
	case ResetDelay:
		if c.demand[command.App] == nil {
			err = &marathon.Error{Code: 404, Message: "Application " + command.App + " not found in tasks queue."}
			break
		}
		c.queue.Reset(command.App)
		c.revive = true
	case Look:
		value = c.view(now)
	}
	c.ready.Answers = append(c.ready.Answers, Answer{ID: r.ID, Value: value, Err: err})
}

func (c *Core) change(now time.Time, command Change) (any, *marathon.Error) {
	next := map[string]*marathon.App{}
	changed := &Changed{}
	for _, body := range command.Bodies {
		app, err := c.parse(command.Mode, body)
		if err == nil {
			err = app.Validate()
		}
		if err == nil && app.Role != "" && app.Role != c.cfg.Role {
			err = &marathon.Error{Code: 422, Message: "Object is not valid", Details: []marathon.Detail{
				{Path: "/role", Errors: []string{"got " + app.Role + ", expected " + c.cfg.Role}}}}
		}
		if err != nil {
			return nil, err
		}
		app.Role = c.cfg.Role
		previous := c.state.Apps[app.ID]
		group.AssignPorts(app, c.state.Apps)
		group.Stamp(now, app, previous, command.Mode == Restart)
		next[app.ID] = app
		changed.App, changed.Created = app, previous == nil
	}
	deployment, err := c.deploy(now, next, command.Force)
	if err != nil {
		return nil, err
	}
	changed.Deployment = *deployment
	return changed, nil
}

func (c *Core) parse(mode Mode, body AppBody) (*marathon.App, *marathon.Error) {
	id := marathon.AbsoluteID(body.ID)
	var named struct {
		ID      string `json:"id"`
		Version string `json:"version"`
	}
	if mode != Restart {
		if err := json.Unmarshal(body.Body, &named); err != nil {
			return nil, marathon.Malformed(err)
		}
	}
	if id == "" {
		id = marathon.AbsoluteID(named.ID)
	}
	current := c.state.Apps[id]
	switch {
	case mode == Create && current != nil:
		return nil, marathon.Conflict(id)
	case (mode == Patch || mode == Restart) && current == nil:
		return nil, marathon.NotFound(id)
	case mode == Restart:
		again := *current
		return &again, nil
	case current != nil && named.Version != "" && onlyVersion(body.Body):
		old := c.state.Versions[id][named.Version]
		if old == nil {
			return nil, &marathon.Error{Code: 422, Message: "Rollback version does not exist"}
		}
		again := *old
		return &again, nil
	}
	var app *marathon.App
	var err *marathon.Error
	if current != nil && mode != Whole {
		app, err = marathon.ParsePatch(current, body.Body)
	} else {
		app, err = marathon.ParseApp(body.Body)
	}
	if err != nil {
		return nil, err
	}
	if app.ID != "" && app.ID != id {
		return nil, &marathon.Error{Code: 422, Message: "Object is not valid", Details: []marathon.Detail{
			{Path: "/id", Errors: []string{"differs from the one in the path: " + id}}}}
	}
	app.ID = id
	return app, nil
}

func onlyVersion(body []byte) bool {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(body, &fields) != nil {
		return false
	}
	delete(fields, "id")
	return len(fields) == 1
}

func (c *Core) remove(now time.Time, command Delete) (any, *marathon.Error) {
	id := marathon.AbsoluteID(command.ID)
	if c.state.Apps[id] == nil {
		return nil, marathon.NotFound(id)
	}
	deployment, err := c.deploy(now, map[string]*marathon.App{id: nil}, command.Force)
	if err != nil {
		return nil, err
	}
	return &Changed{Deployment: *deployment}, nil
}

func (c *Core) killTasks(now time.Time, command KillTasks) (any, *marathon.Error) {
	var victims []*instance.Instance
	if command.App != "" {
		id := marathon.AbsoluteID(command.App)
		if c.state.Apps[id] == nil {
			return nil, marathon.NotFound(id)
		}
		for _, i := range c.instancesOf(id) {
			if command.Host == "" || command.Host == "*" || i.Host == command.Host {
				victims = append(victims, i)
			}
		}
	}
	chosen := map[string]bool{}
	for _, task := range command.IDs {
		i := c.state.Instances[instanceOf(task)]
		if i == nil || command.App != "" && i.AppID != marathon.AbsoluteID(command.App) {
			return nil, &marathon.Error{Code: 404, Message: "Task '" + task + "' does not exist"}
		}
		chosen[i.ID] = true
	}
	if len(chosen) > 0 {
		victims = nil
		for _, id := range keys(chosen) {
			victims = append(victims, c.state.Instances[id])
		}
	}
	tasks := []marathon.Task{}
	fewer := map[string]*marathon.App{}
	for _, i := range victims {
		tasks = append(tasks, c.task(i))
		if i.Decommissioned || !command.Scale || c.state.Apps[i.AppID] == nil {
			continue
		}
		if fewer[i.AppID] == nil {
			copied := *c.state.Apps[i.AppID]
			fewer[i.AppID] = &copied
		}
		fewer[i.AppID].Instances = max(0, fewer[i.AppID].Instances-1)
	}
	var result any = tasks
	if command.Scale {
		for id, app := range fewer {
			group.Stamp(now, app, c.state.Apps[id], false)
		}
		deployment, err := c.deploy(now, fewer, command.Force)
		if err != nil {
			return nil, err
		}
		result = &Changed{Deployment: *deployment}
	}
	for _, i := range victims {
		c.decommission(i)
	}
	return result, nil
}

// deploy stores what the apps become (nil: removed) and the deployment that brings it about.
func (c *Core) deploy(now time.Time, apps map[string]*marathon.App, force bool) (*marathon.DeploymentResult, *marathon.Error) {
	for _, id := range keys(apps) {
		running := c.deploymentOf(id)
		if running == nil {
			continue
		}
		if !force {
			return nil, marathon.Locked(running.ID)
		}
		delete(c.state.Deployments, running.ID)
		c.persist(KindDeployment, running.ID, nil)
	}
	d := &Deployment{ID: c.cfg.NewID(), Version: group.Version(now, ""), Actions: map[string]string{}, StartedAt: now,
		Previous: map[string]*marathon.App{}}
	for _, id := range keys(apps) {
		app, previous := apps[id], c.state.Apps[id]
		d.Previous[id] = previous
		d.Actions[id] = action(previous, app)
		c.dirty[id] = true
		if app == nil {
			delete(c.state.Apps, id)
			delete(c.failures, id)
			c.queue.Reset(id)
			c.persist(KindApp, id, nil)
			c.dropVersions(id, 0)
			continue
		}
		d.Version = app.Version
		if d.Actions[id] == "RestartApplication" {
			c.queue.Reset(id)
		}
		c.state.Apps[id] = app
		c.persist(KindApp, id, app)
		c.keepVersion(app)
	}
	c.state.Deployments[d.ID] = d
	c.persist(KindDeployment, d.ID, d)
	return &marathon.DeploymentResult{Version: d.Version, DeploymentID: d.ID}, nil
}

func action(from, to *marathon.App) string {
	switch {
	case to == nil:
		return "StopApplication"
	case from == nil:
		return "StartApplication"
	case from.VersionInfo.LastConfigChangeAt != to.VersionInfo.LastConfigChangeAt:
		return "RestartApplication"
	}
	return "ScaleApplication"
}

// maxVersions is how many versions of an app are kept.
const maxVersions = 50

func (c *Core) keepVersion(app *marathon.App) {
	if c.state.Versions[app.ID] == nil {
		c.state.Versions[app.ID] = map[string]*marathon.App{}
	}
	c.state.Versions[app.ID][app.Version] = app
	c.persist(KindVersion, app.ID+"@"+app.Version, app)
	c.dropVersions(app.ID, maxVersions)
}

func (c *Core) dropVersions(id string, keep int) {
	versions := keys(c.state.Versions[id])
	for _, version := range versions[:max(0, len(versions)-keep)] {
		delete(c.state.Versions[id], version)
		c.persist(KindVersion, id+"@"+version, nil)
	}
}

func (c *Core) deploymentOf(app string) *Deployment {
	for _, d := range c.state.Deployments {
		if _, affected := d.Actions[app]; affected {
			return d
		}
	}
	return nil
}

// actionDone looks again at the deployments: endDeployments decides.
func (c *Core) actionDone(app string) {
	d := c.deploymentOf(app)
	if d == nil {
		return
	}
	next := *d
	next.Actions = map[string]string{}
	for id, action := range d.Actions {
		if id != app {
			next.Actions[id] = action
		}
	}
	c.state.Deployments[d.ID] = &next
	c.persist(KindDeployment, d.ID, &next)
}

// endDeployments forgets those with nothing left to do.
func (c *Core) endDeployments() {
	for _, id := range keys(c.state.Deployments) {
		d := c.state.Deployments[id]
		for _, app := range keys(d.Actions) {
			if c.state.Apps[app] == nil && len(c.instancesOf(app)) == 0 {
				c.actionDone(app)
			}
		}
		if len(c.state.Deployments[id].Actions) == 0 {
			delete(c.state.Deployments, id)
			c.persist(KindDeployment, id, nil)
			c.note("deployment done", "deployment", id)
		}
	}
}

func (c *Core) cancel(now time.Time, command CancelDeployment) (any, *marathon.Error) {
	d := c.state.Deployments[command.ID]
	if d == nil {
		return nil, &marathon.Error{Code: 404, Message: "Deployment plan '" + command.ID + "' does not exist"}
	}
	if command.Force {
		delete(c.state.Deployments, d.ID)
		c.persist(KindDeployment, d.ID, nil)
		return &Changed{Deployment: marathon.DeploymentResult{Version: d.Version, DeploymentID: d.ID}}, nil
	}
	back := map[string]*marathon.App{}
	for _, id := range keys(d.Previous) {
		back[id] = nil
		if previous := d.Previous[id]; previous != nil {
			app := *previous
			// Instances of the previous configuration stay as they are.
			if current := c.state.Apps[id]; current != nil {
				app.Version = group.Version(now, current.Version)
			}
			back[id] = &app
		}
	}
	result, err := c.deploy(now, back, true)
	if err != nil {
		return nil, err
	}
	return &Changed{Deployment: *result}, nil
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(group.TimeFormat)
}
