package statusupdates

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	mesos "agora.dev/agora/api/mesos/v1"
)

var (
	start = time.Unix(1_800_000_000, 0)
	key   = Key{Framework: "f", Task: "t"}
)

func status(n int, state mesos.TaskState) *mesos.TaskStatus {
	return &mesos.TaskStatus{State: &state, Uuid: fmt.Appendf(nil, "%016d", n)}
}

func due(m *Manager, now time.Time) (out []string) {
	for _, d := range m.Due(now) {
		out = append(out, string(d.Status.GetUuid()[14:]))
	}
	return out
}

func TestRetriesDoubleFromTenSecondsToTenMinutes(t *testing.T) {
	m := New()
	m.Resume(start)
	if err := m.Add(start, key, status(1, mesos.TaskState_TASK_RUNNING)); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{0, 10, 20, 40, 80, 160, 320, 600, 600}
	now := start
	for i, w := range want {
		if gap := m.Wake().Sub(now); gap != w*time.Second {
			t.Fatalf("retry %d after %v, want %v", i, gap, w*time.Second)
		}
		now = m.Wake()
		if got := due(m, now); len(got) != 1 {
			t.Fatalf("due %v at retry %d", got, i)
		}
	}
}

func TestPausedManagerIsSilentAndResumesAtTheHead(t *testing.T) {
	m := New()
	for n := range 3 {
		if err := m.Add(start, key, status(n, mesos.TaskState_TASK_RUNNING)); err != nil {
			t.Fatal(err)
		}
	}
	if !m.Wake().IsZero() || due(m, start.Add(time.Hour)) != nil {
		t.Fatal("a paused manager speaks")
	}
	m.Resume(start)
	if got := fmt.Sprint(due(m, start)); got != "[00]" {
		t.Errorf("due %s, want the head alone", got)
	}
}

func TestTerminalAcknowledgementClosesTheStream(t *testing.T) {
	m := New()
	m.Resume(start)
	done := status(1, mesos.TaskState_TASK_FINISHED)
	if err := m.Add(start, key, done); err != nil {
		t.Fatal(err)
	}
	if err := m.Add(start, key, status(2, mesos.TaskState_TASK_RUNNING)); !errors.Is(err, ErrTerminated) {
		t.Errorf("an update after the terminal one: %v", err)
	}
	if err := m.Add(start, key, done); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same again: %v", err)
	}
	if _, err := m.Acknowledge(start, key, status(9, 0).GetUuid()); !errors.Is(err, ErrUnexpected) {
		t.Errorf("acknowledgement of another: %v", err)
	}
	closed, err := m.Acknowledge(start, key, done.GetUuid())
	if !closed || err != nil || m.Open(key) {
		t.Errorf("closed %v, err %v, open %v", closed, err, m.Open(key))
	}
	if _, err := m.Acknowledge(start, key, done.GetUuid()); !errors.Is(err, ErrUnknownStream) {
		t.Errorf("acknowledged twice: %v", err)
	}
}

func TestRestoreGoesOnWhereItStopped(t *testing.T) {
	first, second := status(1, mesos.TaskState_TASK_STARTING), status(2, mesos.TaskState_TASK_FINISHED)
	m := New()
	if m.Restore(start, key, []*mesos.TaskStatus{first, second}, [][]byte{first.GetUuid()}) {
		t.Fatal("closed although the terminal update has no acknowledgement")
	}
	m.Resume(start)
	if got := fmt.Sprint(due(m, start)); got != "[02]" {
		t.Errorf("due %s", got)
	}
	again := New()
	if !again.Restore(start, key, []*mesos.TaskStatus{first, second}, [][]byte{first.GetUuid(), second.GetUuid()}) {
		t.Error("not closed although everything was acknowledged")
	}
}

// Whatever happens, each stream is sent in order, one update at a time, and none is lost.
func TestOrderUnderAnySequence(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m, now := New(), start
		added, acked := map[Key]int{}, map[Key]int{}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			k := Key{"f", fmt.Sprint(rapid.IntRange(0, 2).Draw(r, "task"))}
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				if err := m.Add(now, k, status(added[k], mesos.TaskState_TASK_RUNNING)); err != nil {
					r.Fatal(err)
				}
				added[k]++
			case 1:
				if acked[k] < added[k] {
					if _, err := m.Acknowledge(now, k, status(acked[k], 0).GetUuid()); err != nil {
						r.Fatal(err)
					}
					acked[k]++
				}
			case 2:
				m.Pause()
			case 3:
				m.Resume(now)
			case 4:
				now = now.Add(time.Duration(rapid.IntRange(0, 700).Draw(r, "seconds")) * time.Second)
			}
			for _, d := range m.Due(now) {
				if want := string(status(acked[d.Key], 0).GetUuid()); string(d.Status.GetUuid()) != want {
					r.Fatalf("stream %v sends %s, want %s", d.Key, d.Status.GetUuid(), want)
				}
			}
		}
		m.Resume(now)
		waiting := 0
		for k := range added {
			if added[k] > acked[k] {
				waiting++
			}
			if m.Pending(k) != added[k]-acked[k] {
				r.Fatalf("stream %v holds %d, want %d", k, m.Pending(k), added[k]-acked[k])
			}
		}
		if got := len(m.Due(now)); got != waiting {
			r.Fatalf("%d due, want %d", got, waiting)
		}
	})
}
