package core_test

import (
	"os"
	"path/filepath"
	"testing"

	"agora.dev/agora/internal/planted"
)

// The bugs that agent/core and agent/statusupdates can be made to have, each with what
// it breaks.
var bugs = map[string]string{
	"agent-lose-unacked-update": "a restarted agent forgets updates that nobody acknowledged",
	"agent-send-before-persist": "an update leaves before it is written",
	"agent-duplicate-launch":    "a launch that arrives twice starts twice",
	"agent-forget-terminal":     "the end of an executor leaves its tasks as they were",
	"agent-forget-queued-kill":  "a kill of a task that waits for its executor is dropped",
}

func TestStoriesFindPlantedBugs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for bug, what := range bugs {
		t.Run(bug, func(t *testing.T) {
			defer planted.Plant(bug)()
			for _, file := range files {
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if play(t, string(want)) != string(want) {
					return
				}
			}
			t.Errorf("no story notices that %s", what)
		})
	}
}
