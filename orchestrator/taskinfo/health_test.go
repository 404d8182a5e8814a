package taskinfo_test

import (
	"strings"
	"testing"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/taskinfo"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

func TestHealthChecksAreTheAgents(t *testing.T) {
	const times = `delay_seconds:15 interval_seconds:60 timeout_seconds:20 consecutive_failures:3 grace_period_seconds:300`
	for health, want := range map[string]string{
		`{"protocol":"MESOS_HTTP","portIndex":1,"path":"/h"}`: times + ` type:HTTP http:{port:31001 path:"/h" scheme:"http" protocol:IPv4}`,
		`{"protocol":"MESOS_HTTPS","ipProtocol":"IPv6"}`:      times + ` type:HTTP http:{port:31000 path:"/" scheme:"https" protocol:IPv6}`,
		`{"protocol":"MESOS_TCP","port":80}`:                  times + ` type:TCP tcp:{port:80 protocol:IPv4}`,
		`{"protocol":"COMMAND","command":{"value":"true"}}`:   times + ` type:COMMAND command:{value:"true"}`,
		`{}`: strings.Replace(times, "delay_seconds:15", "delay_seconds:0", 1) +
			` type:HTTP http:{port:31000 path:"/" scheme:"http" protocol:IPv4}`,
		`{"protocol":"TCP","maxConsecutiveFailures":0}`: strings.NewReplacer("delay_seconds:15", "delay_seconds:0",
			"consecutive_failures:3", "consecutive_failures:4294967295").Replace(times) + ` type:TCP tcp:{port:31000 protocol:IPv4}`,
	} {
		got := build(t, `{"id":"/a","cmd":"x","portDefinitions":[{},{}],"healthChecks":[`+health+`]}`).GetHealthCheck()
		expect(t, health, got, want)
	}
}

func TestChecksAreTheAgents(t *testing.T) {
	const times = `delay_seconds:15 interval_seconds:60 timeout_seconds:20 `
	for check, want := range map[string]string{
		`{"exec":{"command":{"shell":"true"}}}`:     `type:COMMAND command:{command:{value:"true"}}`,
		`{"exec":{"command":{"argv":["a","b c"]}}}`: `type:COMMAND command:{command:{value:"a" shell:false arguments:"a" arguments:"b c"}}`,
		`{"http":{"portIndex":1}}`:                  `type:HTTP http:{port:31001 path:"/"}`,
		`{"tcp":{}}`:                                `type:TCP tcp:{port:31000}`,
	} {
		got := build(t, `{"id":"/a","cmd":"x","portDefinitions":[{},{}],"check":`+check+`}`).GetCheck()
		expect(t, check, got, times+want)
	}
}

func build(t *testing.T, text string) *mesos.TaskInfo {
	t.Helper()
	app, err := marathon.ParseApp([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Validate(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return taskinfo.Build(app, &instance.Instance{Ports: []int{31000, 31001}}, nil, "mesos-bridge")
}

func expect[M proto.Message](t *testing.T, from string, got M, text string) {
	t.Helper()
	want := got.ProtoReflect().New().Interface()
	if err := prototext.Unmarshal([]byte(text), want); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", from, got, want)
	}
}
