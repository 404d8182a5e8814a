package taskinfo_test

import (
	"fmt"
	"strings"
	"testing"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/taskinfo"
)

func buildOn(t *testing.T, text string, ports ...int) *mesos.TaskInfo {
	t.Helper()
	app, err := marathon.ParseApp([]byte(text))
	if err == nil {
		err = app.Validate()
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got := len(app.HostPorts()); got != len(ports) {
		t.Fatalf("%s: wants %d ports of the agent, the test gives %d", text, got, len(ports))
	}
	return taskinfo.Build(app, &instance.Instance{TaskID: "t", Ports: ports}, nil, "mesos-bridge")
}

func TestChecksAreMadeOnTheContainersPort(t *testing.T) {
	task := buildOn(t, `{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[{"containerPort":80},{}]},
		"healthChecks":[{"protocol":"MESOS_TCP","portIndex":0}],"check":{"tcp":{"portIndex":1}}}`, 31000, 31001)
	if got := task.GetHealthCheck().GetTcp().GetPort(); got != 80 {
		t.Errorf("health check on port %d", got)
	}
	if got := task.GetCheck().GetTcp().GetPort(); got != 31001 {
		t.Errorf("check on port %d: without a container port both sides have the same", got)
	}
}

// said writes what the task says about networks and ports.
func said(task *mesos.TaskInfo) string {
	var b strings.Builder
	for _, n := range task.GetContainer().GetNetworkInfos() {
		fmt.Fprintf(&b, "network %s", n.GetName())
		for _, p := range n.GetPortMappings() {
			fmt.Fprintf(&b, " %d:%d/%s", p.GetHostPort(), p.GetContainerPort(), p.GetProtocol())
		}
		b.WriteString("\n")
	}
	for _, p := range task.GetDiscovery().GetPorts().GetPorts() {
		fmt.Fprintf(&b, "port %d/%s %s", p.GetNumber(), p.GetProtocol(), p.GetName())
		for _, l := range p.GetLabels().GetLabels() {
			fmt.Fprintf(&b, " %s=%s", l.GetKey(), l.GetValue())
		}
		b.WriteString("\n")
	}
	for _, v := range task.GetCommand().GetEnvironment().GetVariables() {
		if strings.HasPrefix(v.GetName(), "PORT") {
			fmt.Fprintf(&b, "%s=%s ", v.GetName(), v.GetValue())
		}
	}
	return strings.TrimSpace(b.String())
}

func TestNetworksOfMarathonAreTranslated(t *testing.T) {
	for _, c := range []struct {
		app   string
		ports []int
		want  string
	}{
		{`{"id":"/a","cmd":"x"}`, []int{31000}, `
port 31000/tcp default network-scope=host
PORT=31000 PORT0=31000 PORTS=31000 PORT_DEFAULT=31000`},
		{`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}]}`, []int{31000}, `
network mesos-bridge 31000:31000/tcp
port 31000/tcp default network-scope=host
PORT=31000 PORT0=31000 PORTS=31000 PORT_DEFAULT=31000`},
		{`{"id":"/a","container":{"docker":{"image":"i","network":"BRIDGE","portMappings":[{"containerPort":80,"hostPort":0,"name":"web","labels":{"VIP_0":"v"}},{"containerPort":53,"hostPort":5353,"protocol":"udp,tcp"}]}}}`, []int{31000, 5353}, `
network mesos-bridge 31000:80/tcp 5353:53/udp 5353:53/tcp
port 31000/tcp web VIP_0=v network-scope=host
port 5353/udp  network-scope=host
port 5353/tcp  network-scope=host
PORT=31000 PORT0=31000 PORT1=5353 PORTS=31000,5353 PORT_53=5353 PORT_80=31000 PORT_WEB=31000`},
		{`{"id":"/a","cmd":"x","networks":[{"mode":"container","name":"n"},{"mode":"container","name":"m"}],"container":{"type":"MESOS","portMappings":[
			{"containerPort":80},{"containerPort":81,"hostPort":0,"networkNames":["m"]}]}}`, []int{31000}, `
network n
network m 31000:81/tcp
port 80/tcp  network-name=n network-scope=container
port 80/tcp  network-name=m network-scope=container
port 31000/tcp  network-scope=host
PORT=80 PORT0=80 PORT1=31000 PORTS=80,31000 PORT_80=80 PORT_81=31000`},
		{`{"id":"/a","container":{"docker":{"image":"i","network":"USER"}},"ipAddress":{"networkName":"n"}}`, nil, `network n`},
		{`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[]}}`, nil, `network mesos-bridge`},
	} {
		if got := said(buildOn(t, c.app, c.ports...)); got != strings.TrimSpace(c.want) {
			t.Errorf("%s\ngot\n%s\nwant\n%s", c.app, got, strings.TrimSpace(c.want))
		}
	}
}

func TestSecretsAreReferences(t *testing.T) {
	task := buildOn(t, `{"id":"/a","cmd":"x","portDefinitions":[],"secrets":{"pw":{"source":"db"}},"env":{"PW":{"secret":"pw"},"B":"c"},
		"container":{"type":"MESOS","volumes":[{"containerPath":"token","secret":"pw"}]}}`)
	for _, v := range task.GetCommand().GetEnvironment().GetVariables() {
		if want := v.GetName() == "PW"; want != (v.GetType() == mesos.Environment_Variable_SECRET) || want && (v.Value != nil || v.GetSecret().GetReference().GetName() != "db") {
			t.Errorf("variable %v", v)
		}
	}
	volume := task.GetContainer().GetVolumes()[0]
	if volume.GetSource().GetSecret().GetReference().GetName() != "db" || volume.GetMode() != mesos.Volume_RO || volume.HostPath != nil {
		t.Errorf("volume %v", volume)
	}
}
