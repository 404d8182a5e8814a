package oci_test

import (
	"os"
	"os/exec"
	"testing"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/oci"
)

func TestMain(m *testing.M) { os.Exit(launchertest.Main(m)) }

var runtimes = []string{"runc", "crun"}

func opener(runtime string) launchertest.Factory {
	return func(t testing.TB, dir string) (launcher.Launcher, func()) {
		if _, err := exec.LookPath(runtime); err != nil {
			t.Skipf("SKIP: %s is missing; apt-get install %s", runtime, runtime)
		}
		l, err := oci.New(oci.Config{Dir: dir, Runtime: runtime})
		if err != nil {
			t.Fatal(err)
		}
		return l, func() { l.Close() }
	}
}

func TestOCILauncherKeepsTheContract(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) { launchertest.Run(t, opener(runtime)) })
	}
}

func TestUserNamespacesKeepTheContract(t *testing.T) {
	nodes := map[string]string{"runc": "65534:65534", "crun": "0:0"} // runc binds those of the machine, which are nobody's inside
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) { launchertest.RunWithUserNamespaces(t, opener(runtime), nodes[runtime]) })
	}
}
