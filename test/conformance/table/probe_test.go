package table

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	agentapi "agora.dev/agora/agent/httpapi"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/executor"
	masterapi "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/master"
)

// refusals are how a call that is not built is answered.
var refusals = regexp.MustCompile(`(?i)not (built|supported|implemented)|has no resource providers`)

// callRows sends the least call of each type.
func (c *cluster) callRows() (rows []Row) {
	for _, api := range []struct {
		section, kind, who, path string
		calls                    protoreflect.EnumDescriptor
		of                       proto.Message
	}{
		{"Scheduler API: calls", "call scheduler", "master", "/api/v1/scheduler", scheduler.Call_UNKNOWN.Descriptor(), &scheduler.Call{}},
		{"Executor API: calls", "call executor", "agent", "/api/v1/executor", executor.Call_UNKNOWN.Descriptor(), &executor.Call{}},
		{"Operator API of the master: calls", "call master", "master", "/api/v1", masterapi.Call_UNKNOWN.Descriptor(), &masterapi.Call{}},
		{"Operator API of the agent: calls", "call agent", "agent", "/api/v1", agent.Call_UNKNOWN.Descriptor(), &agent.Call{}},
	} {
		for i := range api.calls.Values().Len() {
			name := string(api.calls.Values().Get(i).Name())
			if name == "UNKNOWN" {
				continue
			}
			if api.path == "/api/v1/scheduler" && name == "TEARDOWN" {
				continue // last: it ends the framework
			}
			body := c.leastCall(api.of, name)
			rows = append(rows, c.callRow(Row{Section: api.section, Kind: api.kind, Name: name}, api.who, api.path, body))
		}
	}
	ended := c.callRow(Row{Section: rows[0].Section, Kind: rows[0].Kind, Name: "TEARDOWN"}, "master", "/api/v1/scheduler",
		`{"framework_id":{"value":"`+c.framework+`"},"type":"TEARDOWN"}`)
	return slices.Insert(rows, 0, ended)
}

// leastCall is a call with what the messages require and nothing else.
func (c *cluster) leastCall(of proto.Message, name string) string {
	c.t.Helper()
	call := of.ProtoReflect().New()
	fields := call.Descriptor().Fields()
	kind := fields.ByName("type")
	call.Set(kind, protoreflect.ValueOfEnum(kind.Enum().Values().ByName(protoreflect.Name(name)).Number()))
	if own := fields.ByName(protoreflect.Name(strings.ToLower(name))); own != nil {
		require(call.Mutable(own).Message())
	}
	require(call)
	if id, ok := call.Interface().(*scheduler.Call); ok {
		id.FrameworkId = &mesos.FrameworkID{Value: &c.framework}
	}
	text, err := codec.Marshal(codec.JSON, call.Interface())
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// require sets the fields that a message must have.
func require(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch field := fields.Get(i); {
		case field.Cardinality() != protoreflect.Required:
		case field.Message() != nil:
			require(m.Mutable(field).Message())
		case !m.Has(field):
			m.Set(field, scalar(field))
		}
	}
}

func (c *cluster) callRow(row Row, who, path, body string) Row {
	c.t.Helper()
	status, answer := c.post(who, path, body)
	if status < 500 && !refusals.MatchString(answer) {
		row.Done = fmt.Sprintf("the least one is answered with %d", status)
	}
	return row
}

func both(line string) (names []string, what string) {
	who, what, _ := strings.Cut(line, " ")
	if who == "both" {
		return []string{"master", "agent"}, what
	}
	return []string{who}, what
}

func (c *cluster) endpointRows() (rows []Row) {
	for _, line := range Lines("testdata/endpoints.txt") {
		names, path := both(line)
		for _, who := range names {
			row := Row{Section: "Endpoints", Kind: "endpoint", Name: who + " " + path}
			status, answer, err := c.get(who, path)
			// A path without a handler is its parent's.
			_, parents, otherErr := c.get(who, path[:strings.LastIndexByte(path, '/')]+"/nobody")
			if err != nil || otherErr != nil {
				c.t.Errorf("%s: %v, %v", row.Name, err, otherErr)
			} else if status != 404 && status < 500 && (answer == "" || answer != parents) {
				row.Done = fmt.Sprintf("a GET is answered with %d", status)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (c *cluster) flagRows() (rows []Row) {
	for _, line := range Lines("testdata/flags.txt") {
		who, name, _ := strings.Cut(line, " ")
		row := Row{Section: "Options", Kind: "flag", Name: who + " " + name}
		switch flag := c.options[who].Lookup(name); {
		case flag == nil:
		case flag.Idle:
			row.State, row.Reason = "differs", "accepted without effect: "+flag.Help
		case flag.Refused:
			row.State, row.Reason = "not built", "refused: "+flag.Help
		default:
			row.Done = "`agora " + who + " --help`"
		}
		rows = append(rows, row)
	}
	return rows
}

// permissionRows asks whether a rule for the action holds, and who asks for the action.
func permissionRows(uses Uses) (rows []Row) {
	byName := map[string][]auth.Action{}
	for _, action := range auth.Actions() {
		byName[action.String()] = append(byName[action.String()], action)
	}
	for _, line := range Lines("testdata/permissions.txt") {
		for name := range strings.FieldsSeq(line) {
			row := Row{Section: "Permissions", Kind: "permission", Name: name}
			for _, action := range byName[name] {
				asked := uses[fmt.Sprintf("action %d", action)]
				if asked != "" && holds(action) {
					row.Done = fmt.Sprintf("`%s`, asked for in %s", action.Key(), asked)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func holds(action auth.Action) bool {
	acls, err := auth.ParseACLs([]byte(`{"permissive":false,"` + action.Key() + `":[{"principals":{"values":["ops"]},"` + action.ObjectKey() + `":{"type":"ANY"}}]}`))
	return err == nil && acls.AllowsAll(auth.Named("ops"), action) && !acls.AllowsAll(auth.Named("op"), action)
}

// statistics are what a timer has beside its newest value.
const statistics = "{count,max,min,p50,p90,p95,p99,p999,p9999}"

// metricRows looks for each key in the answers; one that varies and has no value now must at least be described.
func (c *cluster) metricRows() (rows []Row) {
	c.setQuota()
	c.until("two runs of the allocator, and two writes to the registry", func() bool {
		all := c.figures("master")
		return all["allocator/mesos/allocation_run_ms/count"] && all["allocator/mesos/allocation_run_latency_ms/count"] && all["registrar/state_store_ms/count"]
	})
	keys := map[string]map[string]bool{"master": c.figures("master"), "agent": c.figures("agent")}
	families := map[string]*metrics.Families{}
	for who, get := range map[string]func() (*metrics.Families, error){"master": master.MetricFamilies, "agent": agentapi.MetricFamilies} {
		f, err := get()
		if err != nil {
			c.t.Fatal(err)
		}
		families[who] = f
		for _, key := range slices.Sorted(maps.Keys(keys[who])) {
			if f.Key(key) == "" {
				c.t.Errorf("%s of the %s is not described in metrics.txt", key, who)
			}
		}
	}
	for _, line := range Lines("testdata/metrics.txt") {
		names, pattern := both(line)
		for _, who := range names {
			pattern, timer := strings.CutSuffix(pattern, " T")
			for _, key := range braces(pattern) {
				row := Row{Section: "Metrics", Kind: "metric", Name: who + " " + key, Short: key}
				if row.Done = proof(key, keys[who], families[who]); timer && row.Done != "" {
					for _, part := range braces(key + "/" + statistics) {
						if proof(part, keys[who], families[who]) == "" {
							row.Done = ""
						}
					}
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func (c *cluster) figures(who string) map[string]bool {
	c.t.Helper()
	_, body, err := c.get(who, "/metrics/snapshot")
	var figures map[string]float64
	if err == nil {
		err = json.Unmarshal([]byte(body), &figures)
	}
	if err != nil {
		c.t.Fatalf("metrics of the %s: %v", who, err)
	}
	keys := map[string]bool{}
	for key := range figures {
		keys[key] = true
	}
	return keys
}

// setQuota makes a role with every figure that a role can have; it is also a write to the registry.
func (c *cluster) setQuota() {
	c.t.Helper()
	status, answer := c.post("master", "/api/v1", `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"quota","guarantees":{"cpus":{"value":1}},"limits":{"cpus":{"value":2}}}]}}`)
	if status != 200 {
		c.t.Fatalf("UPDATE_QUOTA: %d %s", status, answer)
	}
}

func proof(key string, live map[string]bool, families *metrics.Families) string {
	if live[key] {
		return "in `/metrics/snapshot`"
	}
	if !strings.Contains(key, "*") {
		return ""
	}
	pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(key), `\*`, "[^/]*") + "$")
	for name := range live {
		if pattern.MatchString(name) {
			return "in `/metrics/snapshot`"
		}
	}
	labels := regexp.MustCompile(`\{[^}]*\}`)
	for _, known := range families.Keys() {
		if pattern.MatchString(labels.ReplaceAllString(known, "x")) {
			return "in `/metrics/snapshot` when there is one"
		}
	}
	return ""
}

// braces writes a key for each word of {a,b}.
func braces(pattern string) []string {
	from, to := strings.IndexByte(pattern, '{'), strings.IndexByte(pattern, '}')
	if from < 0 {
		return []string{pattern}
	}
	var list []string
	for word := range strings.SplitSeq(pattern[from+1:to], ",") {
		list = append(list, braces(pattern[:from]+word+pattern[to+1:])...)
	}
	return list
}
