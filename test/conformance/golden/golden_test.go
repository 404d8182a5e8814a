package golden

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var recordings = flag.String("recordings", "../../../../shared/golden", "folder of what was recorded from Mesos")

var trace = flag.Bool("units", false, "print every unit as it is compared")

var update = flag.Bool("update", false, "write what matched as the least that has to match from now on")

const (
	allowFile   = "testdata/allow.txt"
	ratchetFile = "testdata/ratchet.txt"
)

// TestAnswersAreThoseRecordedFromMesos replays every recording, and holds the ratchet.
func TestAnswersAreThoseRecordedFromMesos(t *testing.T) {
	if _, err := os.Stat(*recordings); err != nil {
		t.Skipf("no recorded answers at %s", *recordings)
	}
	allowed, err := ReadAllowed(allowFile)
	if err != nil {
		t.Fatal(err)
	}
	report := &Report{Allowed: allowed}
	if *trace {
		began := time.Now()
		report.Trace = func(unit string, differences []Difference) {
			fmt.Fprintf(os.Stderr, "%6.2f %s %v\n", time.Since(began).Seconds(), unit, differences)
		}
	}
	t.Run("situations", func(t *testing.T) {
		for name, situation := range map[string]func(*testing.T, *Report){
			"empty": empty, "errors": refusals, "history": history, "operations": operationFeedback,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				situation(t, report)
			})
		}
	})
	var text bytes.Buffer
	report.Write(&text)
	t.Logf("\n%s", text.String())
	counts, used := report.Counts()
	for i, n := range used {
		if n == 0 {
			t.Logf("allowed and not seen: %s | %s", allowed[i].Unit, allowed[i].Where)
		}
	}
	holdRatchet(t, counts)
}

func holdRatchet(t *testing.T, counts map[string]Count) {
	t.Helper()
	least, err := ReadRatchet(ratchetFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for folder, n := range least {
		if c := counts[folder]; c.Match < n && os.Getuid() == 0 {
			t.Errorf("%s: %d of %d match, and %d did before: see the differences above; if one is meant, argue it in %s",
				folder, c.Match, c.Total(), n, allowFile)
		}
	}
	if !*update {
		return
	}
	out := "# Matches per folder that may not fall; go test -update writes them.\n"
	for _, folder := range slices.Sorted(maps.Keys(counts)) {
		out += fmt.Sprintf("%s %d\n", folder, max(counts[folder].Match, least[folder]))
	}
	if err := os.WriteFile(ratchetFile, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) folders(t *testing.T, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		if err := c.Folder(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *cluster) files(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := c.File(t.Context(), name+".http"); err != nil {
			t.Fatal(err)
		}
	}
}

// start opens the stream of a recorded conversation.
func (c *cluster) start(t *testing.T, name string) *Player {
	t.Helper()
	conversation, err := ReadConversation(*recordings, name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Start(t.Context(), conversation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// play replays a whole conversation.
func (c *cluster) play(t *testing.T, name string) {
	t.Helper()
	p := c.start(t, name)
	p.Play(t.Context(), nil)
	p.Rest()
}

func empty(t *testing.T, report *Report) {
	c := newCluster(t, report)
	c.until(t, "the allocator has run twice", func() bool {
		return strings.Contains(c.text("/metrics/snapshot"), `"allocator/mesos/allocation_run_latency_ms/count"`)
	})
	c.folders(t, "empty-no-agent/master-v0", "empty-no-agent/master-v1", "empty-no-agent/master-v1-pb")
}

func refusals(t *testing.T, report *Report) {
	c := newCluster(t, report)
	c.startAgent(t)
	c.folders(t, "errors/scheduler", "errors/agent-operator", "errors/master-operator", "errors/master-v0", "crashes")
	logs, err := filepath.Glob(*recordings + "/errors/scheduler/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range logs {
		c.play(t, "errors/scheduler/"+filepath.Base(file))
	}
	c.play(t, "operator-subscribe/stream-accept-recordio.log")
}
