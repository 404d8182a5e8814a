package archtest

import (
	"os/exec"
	"testing"
)

func TestGeneratedCodeIsFresh(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go tool, to run the generator: ", err)
	}
	command := exec.CommandContext(t.Context(), tool, "run", "-C", "tools", "./protogen", "-check")
	command.Dir = "../.."
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
