package native_test

import (
	"os"
	"testing"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/native"
)

func TestMain(m *testing.M) { os.Exit(launchertest.Main(m)) }

func open(t testing.TB, dir string) (launcher.Launcher, func()) {
	l, err := native.New(native.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return l, func() { l.Close() }
}

func TestNativeLauncherKeepsTheContract(t *testing.T) { launchertest.Run(t, open) }

func TestUserNamespacesKeepTheContract(t *testing.T) {
	launchertest.RunWithUserNamespaces(t, open, "0:0")
}

// TestNothingOfAnUpperLayerIsSynced: the end of a container would wait for all that is written to that disk.
func TestNothingOfAnUpperLayerIsSynced(t *testing.T) {
	r := launchertest.NewRig(t, open)
	if exit, out := r.Run(r.Request("volatile", `grep '^overlay / ' /proc/mounts | grep -w volatile && echo kept > /file && cat /file`)); exit.Status != 0 {
		t.Errorf("exit %+v: %s", exit, out)
	}
}
