package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
)

// A task that has a terminal of its own, and one that has none: agora attach shows both, types into
// the first, leaves it running by Ctrl-P Ctrl-Q, and ends with its status.
func TestAttachToTheCommandOfATask(t *testing.T) {
	needRoot(t)
	d := startDev(t)
	stop := filepath.Join(t.TempDir(), "stop")
	launch := func(name, script string, tty *mesos.TTYInfo) *small {
		return startSmall(t, d, codec.Protobuf, func(offer *mesos.Offer, _ *mesos.FrameworkID) *mesos.Offer_Operation {
			return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
				TaskInfos: []*mesos.TaskInfo{{Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: offer.AgentId,
					Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}, Command: &mesos.CommandInfo{Value: &script},
					Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), TtyInfo: tty}}}}}
		})
	}
	typist := launch("typist", "stty -echo; while read line; do stty size; echo \"<$line>\"; test \"$line\" = end && exit 6; done",
		&mesos.TTYInfo{WindowSize: &mesos.TTYInfo_WindowSize{Rows: proto.Uint32(24), Columns: proto.Uint32(80)}})
	speaker := launch("speaker", "while ! test -e "+stop+"; do echo said; echo complained >&2; sleep 0.1; done; exit 3", nil)
	for name, s := range map[string]*small{"typist": typist, "speaker": speaker} {
		eventually(t, name+" runs", 30*time.Second, func() error { return s.reached(name, mesos.TaskState_TASK_RUNNING) })
	}
	first := d.inTerminal(t, 33, 99, "attach", "typist")
	first.shows("one\n", "33 99")
	first.shows("", "<one>")
	first.shows("\x10\x11", "")
	first.ends(0)
	second := d.inTerminal(t, 33, 99, "attach", "typist")
	second.shows("two\n", "<two>")
	second.shows("end\n", "<end>")
	second.ends(6)
	third := d.inTerminal(t, 33, 99, "attach", "speaker")
	third.shows("", "said")
	third.shows("", "complained")
	if err := os.WriteFile(stop, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	third.ends(3)
}
