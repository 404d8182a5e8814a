package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
)

// configure reads options over the defaults, as the command does.
func configure(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	c := Default()
	set := flags.New("MESOS_")
	c.Flags(set)
	if _, err := set.Parse(append([]string{"--work_dir=" + t.TempDir()}, args...), nil); err != nil {
		return c, err
	}
	return c, c.Check()
}

// TestAConfigurationOfMesosStartsAnAgent: the options of an agent of DC/OS and of Mesos's packages, with those that mean nothing here.
func TestAConfigurationOfMesosStartsAnAgent(t *testing.T) {
	modules := t.TempDir()
	for name, text := range map[string]string{
		"logger.json": `{"libraries":[{"file":"/usr/lib/mesos/modules/liblogrotate_container_logger.so","modules":[{"name":"org_apache_mesos_LogrotateContainerLogger",
			"parameters":[{"key":"launcher_dir","value":"/usr/libexec/mesos"},{"key":"max_stdout_size","value":"5MB"},{"key":"logrotate_stdout_options","value":"rotate 9"}]}]}]}`,
		"over.json": `{"libraries":[{"name":"oversubscription","modules":[{"name":"org_apache_mesos_FixedResourceEstimator","parameters":[{"key":"resources","value":"cpus:2"}]},
			{"name":"org_apache_mesos_LoadQoSController","parameters":[{"key":"load_threshold_5min","value":"6"},{"key":"load_threshold_15min","value":"4"}]}]}]}`,
	} {
		if err := os.WriteFile(filepath.Join(modules, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := configure(t, "--image_providers=docker", "--launcher_dir=/usr/libexec/mesos", "--cgroups_hierarchy=/sys/fs/cgroup", "--http_command_executor", "--docker=/usr/bin/docker",
		"--authentication_backoff_factor=1secs", "--container_logger=org_apache_mesos_LogrotateContainerLogger", "--resource_estimator=org_apache_mesos_FixedResourceEstimator",
		"--qos_controller=org_apache_mesos_LoadQoSController", "--modules_dir="+modules, "--advertise_ip=192.0.2.7", "--advertise_port=80", "--no-hostname_lookup", "--ip6_discovery_command=echo fd00::7",
		`--default_container_info={"type":"MESOS","volumes":[{"host_path":"tmp","container_path":"/tmp","mode":"RW"}]}`,
		`--agent_features={"capabilities":[{"type":"MULTI_ROLE"},{"type":"HIERARCHICAL_ROLE"},{"type":"RESERVATION_REFINEMENT"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxStdoutSize != 5<<20 || c.StdoutOptions != "rotate 9" || c.MaxStderrSize == c.MaxStdoutSize {
		t.Errorf("parameters of the logger: %+v", c.LoggerOptions)
	}
	if c.ResourceEstimatorParameters != "resources=cpus:2" || c.QoSControllerParameters != "load_threshold_5min=6,load_threshold_15min=4" {
		t.Errorf("parameters of estimator and controller: %+v", c.OversubscriptionOptions)
	}
	if ip, port := c.advertised(); ip != "192.0.2.7" || port != 80 || c.Hostname != "192.0.2.7" || c.IP6 != "fd00::7" {
		t.Errorf("told: %s %d, name %s, IPv6 %s", ip, port, c.Hostname, c.IP6)
	}
	container, err := c.defaultContainer()
	if err != nil || container.GetVolumes()[0].GetContainerPath() != "/tmp" {
		t.Errorf("default container: %v, %v", container, err)
	}
	if features, err := c.features(); err != nil || len(features) != 3 || features[mesos.AgentInfo_Capability_RESIZE_VOLUME] {
		t.Errorf("features: %v, %v", features, err)
	}
	if err := c.Check(); err != nil {
		t.Errorf("checked again: %v", err)
	}
}

func TestOptionsOfMesosThatCannotBeKeptAreRefused(t *testing.T) {
	for option, want := range map[string]string{
		"--hooks=mine":                                                            "--hooks: not supported: it names a library",
		"--image_providers=APPC,DOCKER":                                           `"APPC,DOCKER" is not supported`,
		"--cgroups_hierarchy=/cgroup":                                             `"/cgroup" is not supported, /sys/fs/cgroup is`,
		"--egress_rate_limit_per_container=1MB":                                   "network/port_mapping is not built",
		"--resource_provider_config_dir=/x":                                       "resource providers and CSI are not built",
		"--slave_subsystems=memory":                                               "--agent_subsystems: not supported: start the agent in",
		"--ip6=10.0.0.1":                                                          "--ip6=10.0.0.1 is not an IPv6 address",
		"--default_container_info={":                                              "--default_container_info: ",
		`--agent_features={"capabilities":[{"type":"MULTI_ROLE"}]}`:               "HIERARCHICAL_ROLE is missing, which every agent needs",
		`--agent_features={"capabilities":[{"type":"FLYING"}]}`:                   `"FLYING" is not a capability`,
		`--modules={"libraries":[{"modules":[{"name":"com_example_Isolator"}]}]}`: `module "com_example_Isolator" is not supported: it names a library`,
		"--modules=/no/such/file":                                                 "/no/such/file",
		"--modules={":                                                             "--modules: ",
		"--authenticatee=kerberos":                                                `"kerberos" is not supported, crammd5 is`,
		"--docker_volume_chown=true":                                              `"true" is not supported, false is`,
	} {
		_, err := configure(t, option)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", option, err, want)
		}
	}
	logger := `{"libraries":[{"modules":[{"name":"org_apache_mesos_LogrotateContainerLogger","parameters":[{"key":"color","value":"red"}]}]}]}`
	if _, err := configure(t, "--container_logger=org_apache_mesos_LogrotateContainerLogger", "--modules="+logger); err == nil || !strings.Contains(err.Error(), "parameter color: it is unknown") {
		t.Errorf("an unknown parameter: %v", err)
	}
	if _, err := configure(t, "--modules="+logger); err != nil {
		t.Errorf("parameters of a module that is not chosen: %v", err)
	}
}
