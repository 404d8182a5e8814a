package validation

import (
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"google.golang.org/protobuf/proto"
)

func parse[M proto.Message](t *testing.T, into M, json string) M {
	t.Helper()
	if err := codec.UnmarshalJSON([]byte(json), into); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	return into
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The texts are those that a real Mesos answered.
func TestCallsWithoutTheirMemberAreRefused(t *testing.T) {
	for kind, field := range map[string]string{
		"ACCEPT": "accept", "DECLINE": "decline", "ACCEPT_INVERSE_OFFERS": "accept_inverse_offers",
		"DECLINE_INVERSE_OFFERS": "decline_inverse_offers", "KILL": "kill", "SHUTDOWN": "shutdown",
		"ACKNOWLEDGE": "acknowledge", "ACKNOWLEDGE_OPERATION_STATUS": "acknowledge_operation_status",
		"RECONCILE": "reconcile", "RECONCILE_OPERATIONS": "reconcile_operations", "MESSAGE": "message",
		"REQUEST": "request", "UPDATE_FRAMEWORK": "update_framework", "SUBSCRIBE": "subscribe",
		"REVIVE": "", "SUPPRESS": "", "TEARDOWN": "",
	} {
		call := parse(t, &scheduler.Call{}, `{"type":"`+kind+`","framework_id":{"value":"f"}}`)
		want := ""
		if field != "" {
			want = "Expecting '" + field + "' to be present"
		}
		if got := said(Call(call, "")); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
}

func TestCalls(t *testing.T) {
	for _, test := range []struct{ call, principal, want string }{
		{`{}`, "", "Expecting 'type' to be present"},
		{`{"type":"NONSENSE"}`, "", "Expecting 'type' to be present"},
		{`{"type":"REVIVE"}`, "", "Expecting 'framework_id' to be present"},
		{`{"type":"UNKNOWN"}`, "", "Expecting 'framework_id' to be present"},
		{`{"type":"SUBSCRIBE","framework_id":{"value":"a"},"subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"b"}}}}`, "",
			"'framework_id' differs from 'subscribe.framework_info.id'"},
		{`{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","principal":"p"}}}`, "q",
			"Authenticated principal 'q' does not match principal 'p' set in `FrameworkInfo`"},
		{`{"type":"ACKNOWLEDGE","framework_id":{"value":"a"},"acknowledge":{"agent_id":{"value":"s"},"task_id":{"value":"t"},"uuid":"AAA="}}`, "",
			"Not a valid UUID"},
		{`{"type":"ACKNOWLEDGE_OPERATION_STATUS","framework_id":{"value":"a"},"acknowledge_operation_status":{"uuid":"MDEyMzQ1Njc4OWFiY2RlZg==","operation_id":{"value":"o"}}}`, "",
			"Expecting 'agent_id' to be present"},
	} {
		if got := said(Call(parse(t, &scheduler.Call{}, test.call), test.principal)); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.call, got, test.want)
		}
	}
}

func TestFrameworks(t *testing.T) {
	const multi = `,"capabilities":[{"type":"MULTI_ROLE"}]`
	for _, test := range []struct{ info, want string }{
		{`"roles":["a","b"]` + multi, ""},
		{`"role":"a"`, ""},
		{`"name":"x"`, ""},
		{`"roles":["b","b"]` + multi, "'FrameworkInfo.roles' contains duplicate items: { b }"},
		{`"roles":["a b"]` + multi, "'FrameworkInfo.roles' contains invalid role: Role component 'a b' is invalid because it contains backspace or whitespace"},
		{`"roles":["a"]`, "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"},
		{`"role":"x","roles":["a"]` + multi, "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"},
		{`"failover_timeout":1e20`, "The framework failover_timeout (1e+20) is invalid"},
		{`"failover_timeout":-5`, ""},
		{`"id":{"value":"a/b"}`, "'a/b' contains invalid characters"},
		{`"id":{"value":".."}`, "'..' is disallowed"},
	} {
		info := parse(t, &mesos.FrameworkInfo{}, `{"user":"u","name":"n",`+test.info+`}`)
		if got := said(Framework(info)); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.info, got, test.want)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, good := range []string{"*", "a", "a/b", "a-b", "é"} {
		if err := Role(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", ".", "a/..", "-a", "a/-b", "a b", "a\tb", "a/*", "\x7f"} {
		if Role(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestIDs(t *testing.T) {
	for id, good := range map[string]bool{"a": true, "": false, ".": false, "..": false, "a/b": false, `a\b`: false, "a\x01": false,
		strings.Repeat("x", 255): true, strings.Repeat("x", 256): false, "ü": true} {
		if (ID(id) == nil) != good {
			t.Errorf("%q: %v", id, ID(id))
		}
	}
}

func testScope() Scope {
	return Scope{Framework: "f", Agent: "s", Limits: true,
		TaskKnown:       func(id string) bool { return id == "taken" },
		TaskUnreachable: func(id string) bool { return id == "lost" },
		Executor: func(id string) *mesos.ExecutorInfo {
			if id == "running" {
				return &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: &id}}
			}
			return nil
		},
		ContainersOf: func(string) []*mesos.ContainerInfo { return nil },
	}
}

const cpus = `{"name":"cpus","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"r"}}`

func TestTasks(t *testing.T) {
	for _, test := range []struct{ task, want string }{
		{`"command":{"value":"x"}`, ""},
		{`"task_id":{"value":"taken"},"command":{}`, "Task has duplicate ID: taken"},
		{`"task_id":{"value":"lost"},"command":{}`, "Task reuses the ID of an unreachable task: lost"},
		{`"task_id":{"value":"a/b"},"command":{}`, "'a/b' contains invalid characters"},
		{`"agent_id":{"value":"other"},"command":{}`, "Task uses invalid agent other while agent s is expected"},
		{`"kill_policy":{"grace_period":{"nanoseconds":-1}},"command":{}`, "Task's 'kill_policy.grace_period' must be non-negative"},
		{`"max_completion_time":{"nanoseconds":-1},"command":{}`, "Task's `max_completion_time` must be non-negative"},
		{`"resources":[],"command":{}`, "Task uses no resources"},
		{`"name":"x"`, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"},
		{`"command":{},"executor":{"executor_id":{"value":"e"}}`, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"},
		{`"command":{},"limits":{"disk":{"value":1}}`, "Only cpus and mem may be included in a task's resource limits"},
		{`"command":{},"limits":{"mem":{"value":1}}`, "When a memory limit is specified, a memory request must also be specified"},
		{`"command":{},"limits":{"cpus":{"value":0.5}}`, "The cpu limit must be greater than or equal to the cpu request"},
		{`"command":{},"limits":{"cpus":{"value":"Infinity"}}`, ""},
		{`"command":{},"health_check":{}`, "Task uses invalid health check: HealthCheck must specify 'type'"},
		{`"command":{},"health_check":{"type":"TCP"}`, "Task uses invalid health check: Expecting 'tcp' to be set for TCP health check"},
		{`"command":{},"check":{"type":"HTTP","http":{"port":80,"path":"x"}}`, "Task uses invalid check: The path 'x' of HTTP check must start with '/'"},
		{`"command":{},"check":{"type":"TCP","tcp":{"port":80},"delay_seconds":-1}`, "Task uses invalid check: Expecting 'delay_seconds' to be non-negative"},
		{`"command":{"environment":{"variables":[{"name":"A"}]}}`,
			"Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a value set"},
		{`"command":{},"container":{"type":"MESOS","volumes":[{"container_path":"p","mode":"RW"}]}`,
			"Task's `ContainerInfo` is invalid: Only one of them should be set: 'host_path', 'image' and 'source'"},
		{`"command":{},"container":{"type":"MESOS","linux_info":{"share_cgroups":false}}`,
			"Only tasks in a task group may have 'share_cgroups' set to 'false'"},
		{`"executor":{"executor_id":{"value":"e"},"framework_id":{"value":"f"},"type":"DEFAULT"}`, "'ExecutorInfo.type' must be 'CUSTOM'"},
		{`"executor":{"executor_id":{"value":"e"},"framework_id":{"value":"g"},"command":{}}`,
			"ExecutorInfo has an invalid FrameworkID (Actual: g vs Expected: f)"},
		{`"resources":[` + cpus + `,{"name":"mem","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"q"}}],"command":{}`,
			"Invalid task resources: The resources have multiple allocation roles ('q' and 'r') but only one allocation role is allowed"},
		{`"resources":[` + cpus + `,{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{},"allocation_info":{"role":"r"}}],"command":{}`,
			"Task mixes revocable and non-revocable resources: Cannot use both revocable and non-revocable 'cpus' at the same time"},
		{`"resources":[{"name":"gpus","type":"SCALAR","scalar":{"value":0.5},"allocation_info":{"role":"r"}}],"command":{}`,
			"Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"},
	} {
		base := `"name":"n","task_id":{"value":"t"},"agent_id":{"value":"s"},"resources":[` + cpus + `],`
		info := parse(t, &mesos.TaskInfo{}, `{`+base+test.task+`}`)
		err := Task(info, testScope())
		if err == nil {
			err = TaskExecutor(info, testScope())
		}
		if got := said(err); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.task, got, test.want)
		}
	}
}

func TestAnotherExecutorWithTheSameIDIsRefused(t *testing.T) {
	info := parse(t, &mesos.ExecutorInfo{}, `{"executor_id":{"value":"running"},"framework_id":{"value":"f"},"command":{}}`)
	if got := said(Executor(info, testScope())); !strings.HasPrefix(got, "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n") {
		t.Errorf("got %q", got)
	}
}

func TestBadResourcesAreRefused(t *testing.T) {
	for _, bad := range []string{
		`{"name":"cpus","type":"SCALAR"}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":0.0001}}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":"Infinity"}}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":1e300}}`,
		`{"name":"","type":"SCALAR","scalar":{"value":1}}`,
		`{"name":"x","type":"TEXT"}`,
		`{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":2,"end":1}]}}`,
		`{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":5},{"begin":5,"end":6}]}}`,
		`{"name":"s","type":"SET","set":{"item":["a","a"]}}`,
		`{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{}}`,
		`{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{"persistence":{"id":"v"},"volume":{"mode":"RW","container_path":"p"}}}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":1},"reservations":[{"type":"DYNAMIC","role":"*"}]}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":1},"reservations":[{"type":"DYNAMIC","role":"a"},{"type":"DYNAMIC","role":"b"}]}`,
		`{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{},"reservations":[{"type":"DYNAMIC","role":"a"}]}`,
	} {
		if err := Resources([]*mesos.Resource{parse(t, &mesos.Resource{}, bad)}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"name":"n","task_id":{"value":"t"},"agent_id":{"value":"s"},"resources":[` + cpus + `],"command":{}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		info := &mesos.TaskInfo{}
		if codec.UnmarshalJSON(data, info) == nil && Task(info, testScope()) == nil {
			TaskExecutor(info, testScope()) // must not panic
		}
	})
}
