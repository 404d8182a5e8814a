package containerizer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
)

// TestLives plays testdata/lives.txt: a line is a command, its answer follows "->".
func TestLives(t *testing.T) {
	b, err := os.ReadFile("testdata/lives.txt")
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]containerizer.State{}
	for s := containerizer.Provisioning; s <= containerizer.Ended; s++ {
		states[s.String()] = s
	}
	lives := containerizer.NewLives()
	for n, line := range strings.Split(string(b), "\n") {
		command, want, ok := strings.Cut(line, " -> ")
		if strings.HasPrefix(line, "# ") {
			lives = containerizer.NewLives()
		}
		if !ok {
			continue
		}
		word := strings.Fields(command)
		id := containerizer.ID(word[1])
		got := "ok"
		switch word[0] {
		case "begin", "adopt":
			if err := lives.Begin(id, word[0] == "adopt"); err != nil {
				got = err.Error()
			}
		case "advance":
			if err := lives.Advance(id, states[word[2]]); err != nil {
				got = err.Error()
			}
		case "destroy":
			got = fmt.Sprint(lives.Destroy(id))
		case "end":
			got = fmt.Sprint(lives.End(id))
		case "state":
			s, _ := lives.State(id)
			got = s.String()
		}
		if got != want {
			t.Errorf("lives.txt:%d: %s\n got %s\nwant %s", n+1, command, got, want)
		}
	}
}
