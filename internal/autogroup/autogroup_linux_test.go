package autogroup

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// leader has this test program raise its session and say what came of it.
const leader = "AGORA_TEST_AUTOGROUP"

func TestMain(m *testing.M) {
	if os.Getenv(leader) == "" {
		os.Exit(m.Run())
	}
	Raise()
	group, err := os.ReadFile(File)
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.Write(group)
}

func TestOnlyASessionOfItsOwnIsRaised(t *testing.T) {
	if _, err := os.Stat(File); err != nil || os.Getuid() != 0 {
		t.Skip("SKIP: needs root, and a kernel with CONFIG_SCHED_AUTOGROUP")
	}
	for _, own := range []bool{true, false} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env, cmd.SysProcAttr = append(os.Environ(), leader+"=1"), &syscall.SysProcAttr{Setsid: own}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if raised := strings.Contains(string(out), "nice "+Nice); raised != own {
			t.Errorf("leads its session: %v; %s", own, out)
		}
	}
}
