package e2e

import (
	"encoding/json"
	"testing"
)

// nodeRow is a row of agora node ls -o json.
type nodeRow struct {
	ID, Hostname, State string
	Tasks               int
	Drain               *struct {
		State, Grace string
		Gone         bool
	}
}

// nodes runs a command that prints nodes.
func (d *dev) nodes(t *testing.T, args ...string) []nodeRow {
	t.Helper()
	code, out, errOut := d.agora(t, append(args, "-o", "json")...)
	if code != 0 {
		t.Fatalf("agora %v: exit %d: %s", args, code, errOut)
	}
	var rows []nodeRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("agora %v: %v in %s", args, err, out)
	}
	return rows
}

func TestDrainedNodeIsLeftAndTakesTasksAgain(t *testing.T) {
	needRoot(t)
	d := startDev(t, "--demo", "--agents", "2")
	d.running(t, "demo", 3)
	var busy nodeRow
	for _, node := range d.nodes(t, "node", "ls") {
		if node.Tasks > 0 {
			busy = node
		}
	}
	drained := d.nodes(t, "node", "drain", busy.ID, "--grace", "2s", "--wait", "--timeout", "60s")
	if len(drained) != 1 || drained[0].State != "drained" || drained[0].Tasks != 0 || drained[0].Drain.Grace != "2s" {
		t.Fatalf("drained: %+v", drained)
	}
	for _, task := range d.running(t, "demo", 3) {
		if task.Node == busy.Hostname {
			t.Errorf("%s runs on the drained node", task.ID)
		}
	}
	if code, _, errOut := d.agora(t, "maintenance", "schedule", busy.ID, "--start", "2h"); code != 0 {
		t.Errorf("schedule: exit %d: %s", code, errOut)
	}
	if code, _, _ := d.agora(t, "node", "drain", busy.ID); code == 0 {
		t.Error("an agent of the maintenance schedule was drained")
	}
	if code, out, _ := d.agora(t, "maintenance", "unschedule", busy.Hostname, "-o", "json"); code != 0 || out != "[]\n" {
		t.Errorf("unschedule: exit %d: %s", code, out)
	}
	if back := d.nodes(t, "node", "undrain", busy.ID); back[0].State != "active" || back[0].Drain != nil {
		t.Errorf("undrained: %+v", back)
	}
}
