package core

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/registry"
	"google.golang.org/protobuf/proto"
)

var rewrite = flag.Bool("rewrite", false, "write what the core does into the scripts")

// TestScripts tells stories to a core. A line that begins with "> " is an event; the
// lines below it, indented, are all that comes of it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScript(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s:\n%s\nrun with -rewrite to accept", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			line := "(end)"
			if i < len(w) {
				line = w[i]
			}
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, g[i], line)
		}
	}
	return fmt.Sprintf("line %d\n got: (end)\nwant: %s", len(g)+1, w[len(g)])
}

func playScript(t *testing.T, script string) string {
	s := &scripted{core: New(testConfig()), now: testStart}
	t.Cleanup(func() {
		if s.unplant != nil {
			s.unplant()
		}
	})
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		out.WriteString(line + "\n")
		command, found := strings.CutPrefix(line, "> ")
		if !found {
			continue
		}
		for _, effect := range s.run(t, command) {
			out.WriteString("    " + effect + "\n")
		}
		if err := s.core.CheckInvariants(); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	return out.String()
}

var testStart = time.Unix(1_000_000, 0)

func testConfig() Config {
	return Config{Master: &mesos.MasterInfo{Id: ptr("m"), Ip: ptr(uint32(16777343)), Port: ptr(uint32(5050)), Hostname: ptr("leader")}}
}

// scripted is a core and the clock of its story.
type scripted struct {
	core    *Core
	now     time.Time
	unplant func()
}

func (s *scripted) run(t *testing.T, command string) []string {
	verb, rest, _ := strings.Cut(command, " ")
	switch verb {
	case "wait":
		return s.wait(t, rest)
	case "pass":
		return slices.DeleteFunc(s.wait(t, rest), func(line string) bool {
			return strings.Contains(line, "HEARTBEAT") || strings.Contains(line, `{"ping"`)
		})
	case "snapshot":
		return describeSnapshot(s.core.Snapshot())
	case "limits":
		s.core = New(parseLimits(strings.Fields(rest)))
		return nil
	case "acls":
		acls, err := auth.ParseACLs([]byte(rest))
		if err != nil {
			t.Fatal(err)
		}
		s.core.cfg.Authorizer = acls
		return nil
	case "plant":
		s.unplant = planted.Plant(rest)
		return nil
	}
	event, err := parseEvent(verb, rest)
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	if offered, ok := event.(Offered); ok && verb == "offer" { // not "late-offer"
		offered.Offers[0].QuotaChanges = s.core.quotaChanges
	}
	return describeReady(s.core.Step(s.now, event))
}

// wait lets time pass, with a tick whenever the core asked for one; "pass" hides heartbeats.
func (s *scripted) wait(t *testing.T, rest string) []string {
	d, err := time.ParseDuration(rest)
	if err != nil {
		t.Fatal(err)
	}
	var effects []string
	end := s.now.Add(d)
	for {
		wake := s.core.timers.next()
		if wake.IsZero() || wake.After(end) {
			break
		}
		s.now = wake
		for _, effect := range describeReady(s.core.Step(s.now, Tick{})) {
			effects = append(effects, fmt.Sprintf("+%s %s", s.now.Sub(end.Add(-d)), effect))
		}
	}
	s.now = end
	return effects
}

func parseEvent(verb, rest string) (Event, error) {
	words := strings.Fields(rest)
	number := func(i int) uint64 {
		if i >= len(words) {
			return 0
		}
		n, _ := strconv.ParseUint(words[i], 10, 64)
		return n
	}
	switch verb {
	case "elect":
		return parseElect(words)
	case "subscribe":
		return parseSubscribe(words)
	case "close":
		return ConnClosed{Conn: ConnID(number(0))}, nil
	case "call":
		return parseCall(rest)
	case "accept":
		return parseAccept(words)
	case "link":
		e := AgentLinkOpened{Link: LinkID(number(0)), IP: words[1]}
		if len(words) > 2 {
			e.Principal = strings.TrimPrefix(words[2], "principal=")
		}
		return e, nil
	case "unlink":
		return AgentLinkClosed{Link: LinkID(number(0))}, nil
	case "offer", "late-offer":
		offered := AllocatorOffer{Framework: FrameworkID(words[0]), Role: words[1], Agent: AgentID(words[2]),
			Resources: parseResources(words[3], "")}
		for _, disk := range words[4:] {
			offered.Resources = append(offered.Resources, parseDisk(strings.Split(disk, "/")))
		}
		return Offered{Offers: []AllocatorOffer{offered}}, nil
	case "answered":
		return parseAnswer(words), nil
	case "written":
		return RegistryDone{ID: PersistID(number(0))}, nil
	case "failed":
		return RegistryDone{ID: PersistID(number(0)), Err: errors.New("store is gone")}, nil
	case "operator":
		return parseOperator(words)
	}
	return parseAgent(verb, words, LinkID(number(0)))
}

func parseOperator(words []string) (Event, error) {
	if call := parseOperate(words); call != nil {
		return OperatorCall{Request: 99, Call: call}, nil
	}
	if call := parseSetting(words); call != nil {
		return OperatorCall{Request: 99, Call: call}, nil
	}
	if call := parseMaintenance(words); call != nil {
		return OperatorCall{Request: 99, Call: call}, nil
	}
	calls := map[string]OperatorCommand{
		"teardown":   Teardown{Framework: FrameworkID(words[1])},
		"gone":       MarkGone{Agent: AgentID(words[1])},
		"deactivate": DeactivateAgent{Agent: AgentID(words[1])},
		"reactivate": ReactivateAgent{Agent: AgentID(words[1])},
		"drain":      parseDrain(words),
		"relay":      OpenRelay{Agent: AgentID(words[1]), Token: "secret"},
	}
	call := calls[words[0]]
	if call == nil {
		return nil, errors.New("no such operator call")
	}
	return OperatorCall{Request: 99, Call: call}, nil
}

func parseElect(words []string) (Event, error) {
	contents := registry.NewContents()
	for _, word := range words {
		state, id, _ := strings.Cut(word, "=")
		switch state {
		case "admitted":
			contents.Admitted[id] = registry.Admitted{Info: agentInfo(id, "host-"+id, "cpus:4;mem:1024"), At: testStart}
		case "unreachable":
			contents.Unreachable[id] = testStart
		case "gone":
			contents.Gone[id] = testStart
		case "weight":
			role, weight, _ := strings.Cut(id, ":")
			contents.Weights[role], _ = strconv.ParseFloat(weight, 64)
		case "quota":
			config := parseQuota(strings.Split(id, "/"))
			contents.Quotas[config.GetRole()] = config
		case "machine":
			machine := &mesos.MachineInfo{Id: parseMachines([]string{id})[0], Mode: mesos.MachineInfo_DRAINING.Enum(),
				Unavailability: &mesos.Unavailability{Start: timeInfo(testStart)}}
			contents.Machines[registry.MachineKey(machine.Id)] = machine
		case "draining", "drained":
			state := map[string]mesos.DrainState{"draining": mesos.DrainState_DRAINING, "drained": mesos.DrainState_DRAINED}[state]
			contents.Deactivated[id] = true
			contents.Draining[id] = registry.Drain{Since: testStart, Info: &mesos.DrainInfo{State: state.Enum(), Config: &mesos.DrainConfig{}}}
		default:
			return nil, errors.New("elect " + word)
		}
	}
	return Elected{Contents: contents}, nil
}

func agentInfo(id, host, resources string) *mesos.AgentInfo {
	info := &mesos.AgentInfo{Hostname: &host, Resources: parseResources(resources, ""), Port: ptr(int32(5051))}
	if id != "" {
		info.Id = agentID(AgentID(id))
	}
	return info
}

// parseSubscribe reads "CONN key=value...".
func parseSubscribe(words []string) (Event, error) {
	conn, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		return nil, err
	}
	info := &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("fw")}
	e := FrameworkSubscribed{Conn: ConnID(conn), Call: &scheduler.Call_Subscribe{FrameworkInfo: info}}
	capability := func(c mesos.FrameworkInfo_Capability_Type) {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "id":
			info.Id = frameworkID(FrameworkID(value))
		case "name":
			info.Name = &value
		case "roles":
			info.Roles = strings.Split(value, ",")
			capability(mesos.FrameworkInfo_Capability_MULTI_ROLE)
		case "role":
			info.Role = &value
		case "aware":
			capability(mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		case "failover":
			d, _ := time.ParseDuration(value)
			info.FailoverTimeout = ptr(d.Seconds())
		case "principal":
			e.Principal = value
		case "sharing":
			capability(mesos.FrameworkInfo_Capability_SHARED_RESOURCES)
		case "suppressed":
			e.Call.SuppressedRoles = strings.Split(value, ",")
		default:
			return nil, errors.New("subscribe " + word)
		}
	}
	return e, nil
}

// parseCall reads "CONN JSON"; the framework is that of the JSON.
func parseCall(rest string) (Event, error) {
	conn, body, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(conn, 10, 64)
	if err != nil {
		return nil, err
	}
	call := &scheduler.Call{}
	if err := codec.UnmarshalJSON([]byte(body), call); err != nil {
		return nil, err
	}
	return SchedulerCall{Request: 7, Conn: ConnID(n), StreamID: "stream-" + conn, Call: call}, nil
}

// parseAccept reads "CONN FRAMEWORK OFFER[,OFFER] AGENT TASK=RESOURCES... [refuse=SECONDS]".
func parseAccept(words []string) (Event, error) {
	conn, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		return nil, err
	}
	accept := &scheduler.Call_Accept{}
	for id := range strings.SplitSeq(words[2], ",") {
		accept.OfferIds = append(accept.OfferIds, offerID(OfferID(id)))
	}
	var tasks []*mesos.TaskInfo
	for _, word := range words[4:] {
		key, value, _ := strings.Cut(word, "=")
		if key == "refuse" {
			s, _ := strconv.ParseFloat(value, 64)
			accept.Filters = &mesos.Filters{RefuseSeconds: &s}
			continue
		}
		tasks = append(tasks, &mesos.TaskInfo{Name: &key, TaskId: taskID(TaskID(key)), AgentId: agentID(AgentID(words[3])),
			Resources: parseResources(value, ""), Command: &mesos.CommandInfo{Value: ptr("true")}})
	}
	accept.Operations = []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
		Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}}
	return SchedulerCall{Request: 7, Conn: ConnID(conn), Call: &scheduler.Call{FrameworkId: frameworkID(FrameworkID(words[1])),
		Type: scheduler.Call_ACCEPT.Enum(), Accept: accept}}, nil
}

// parseAgent reads what agents say: "VERB LINK ...".
func parseAgent(verb string, words []string, id LinkID) (Event, error) {
	m := &link.FromAgent{}
	switch verb {
	case "register":
		m.Message = &link.FromAgent_Register{Register: &link.Register{Agent: agentInfo("", words[1], words[2]),
			Version: ptr("1.11.0"), Capabilities: allCapabilities()}}
	case "reregister":
		r := &link.Reregister{Agent: agentInfo(words[1], "host-"+words[1], words[2]), Version: ptr("1.11.0"),
			Capabilities: allCapabilities()}
		for _, word := range words[3:] {
			if err := parseReported(r, word); err != nil {
				return nil, err
			}
		}
		m.Message = &link.FromAgent_Reregister{Reregister: r}
	case "unregister":
		m.Message = &link.FromAgent_Unregister{Unregister: &link.Unregister{AgentId: agentID(AgentID(words[1]))}}
	case "empty":
		m.Message = &link.FromAgent_Drained{Drained: &link.Drained{AgentId: agentID("")}}
	case "pong":
		m.Message = &link.FromAgent_Pong{Pong: &link.Pong{}}
	case "update":
		m.Message = &link.FromAgent_StatusUpdate{StatusUpdate: parseUpdate(words)}
	case "exited":
		m.Message = &link.FromAgent_ExitedExecutor{ExitedExecutor: &link.ExitedExecutor{
			FrameworkId: frameworkID(FrameworkID(words[1])), ExecutorId: executorID(ExecutorID(words[2])),
			AgentId: agentID(""), Status: ptr(int32(256))}}
	case "say":
		m.Message = &link.FromAgent_ExecutorMessage{ExecutorMessage: &link.ExecutorMessage{
			FrameworkId: frameworkID(FrameworkID(words[1])), ExecutorId: executorID(ExecutorID(words[2])),
			AgentId: agentID(""), Data: []byte(words[3])}}
	case "operated":
		m.Message = &link.FromAgent_OperationUpdate{OperationUpdate: &link.OperationUpdate{}}
		if err := codec.UnmarshalJSON([]byte(strings.Join(words[1:], " ")), m.GetOperationUpdate()); err != nil {
			return nil, err
		}
	case "oversubscribe":
		m.Message = &link.FromAgent_UpdateAgent{UpdateAgent: &link.UpdateAgent{AgentId: agentID(""), Oversubscribed: parseResources(words[1], "")}}
	default:
		return nil, errors.New("no such verb")
	}
	return AgentMessage{Link: id, Message: m}, nil
}

func allCapabilities() []*mesos.AgentInfo_Capability {
	var list []*mesos.AgentInfo_Capability
	for _, c := range []mesos.AgentInfo_Capability_Type{mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK,
		mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS, mesos.AgentInfo_Capability_AGENT_DRAINING,
		mesos.AgentInfo_Capability_RESIZE_VOLUME} {
		list = append(list, &mesos.AgentInfo_Capability{Type: c.Enum()})
	}
	return list
}

// parseUpdate reads "LINK FRAMEWORK TASK STATE [UUID] [latest=STATE]".
func parseUpdate(words []string) *link.StatusUpdate {
	u := &link.StatusUpdate{
		FrameworkId: frameworkID(FrameworkID(words[1])),
		AgentId:     agentID(""),
		Status: &mesos.TaskStatus{TaskId: taskID(TaskID(words[2])), State: taskState(words[3]).Enum(),
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum()},
	}
	for _, word := range words[4:] {
		if latest, found := strings.CutPrefix(word, "latest="); found {
			u.LatestState = taskState(latest).Enum()
			continue
		}
		u.Status.Uuid = scriptUUID(word)
	}
	return u
}

// scriptUUID pads a short name to a uuid.
func scriptUUID(name string) []byte { return []byte(fmt.Sprintf("%-16.16s", name)) }

func taskState(name string) mesos.TaskState {
	return mesos.TaskState(mesos.TaskState_value["TASK_"+name])
}

// parseReported reads task=FRAMEWORK/TASK/STATE/RESOURCES, framework=ID or executor=FRAMEWORK/ID/RESOURCES.
func parseReported(r *link.Reregister, word string) error {
	key, value, _ := strings.Cut(word, "=")
	parts := strings.Split(value, "/")
	framework := FrameworkID(parts[0])
	switch key {
	case "task":
		r.Tasks = append(r.Tasks, &mesos.Task{Name: &parts[1], TaskId: taskID(TaskID(parts[1])), FrameworkId: frameworkID(framework),
			AgentId: r.Agent.Id, State: taskState(parts[2]).Enum(), Resources: parseResources(parts[3], "web")})
	case "disk":
		r.CheckpointedResources = append(r.CheckpointedResources, parseDisk(parts))
	case "operation":
		r.Operations = append(r.Operations, parseReportedOperation(parts))
	case "framework":
		r.Frameworks = append(r.Frameworks, &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("fw"), Id: frameworkID(framework),
			Roles: []string{"web"}, FailoverTimeout: ptr(60.0), Capabilities: []*mesos.FrameworkInfo_Capability{
				{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}})
	case "executor":
		r.Executors = append(r.Executors, &mesos.ExecutorInfo{ExecutorId: executorID(ExecutorID(parts[1])),
			FrameworkId: frameworkID(framework), Resources: parseResources(parts[2], "web"), Command: &mesos.CommandInfo{Value: ptr("x")}})
	default:
		return errors.New("reregister " + word)
	}
	return nil
}

func toJSON(m proto.Message) string {
	data, err := codec.AppendJSON(nil, m)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
