package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"agora.dev/agora/agent/launchtrace"
)

func TestALaunchIsCountedAndLoggedByStep(t *testing.T) {
	trace := func() *launchtrace.Trace {
		return launchtrace.New(1e6, launchtrace.Mark{Step: launchtrace.Admit, At: 3e6}, launchtrace.Mark{Step: "of-a-newer-launcher", At: 4e6})
	}
	for level, want := range map[slog.Level]string{slog.LevelInfo: "",
		slog.LevelDebug: "msg=\"container launched\" container=c1 took=3ms steps.admit=2ms steps.of-a-newer-launcher=1ms"} {
		var out bytes.Buffer
		l := newLaunches(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		l.done("c1", trace())
		l.done("c1", nil) // found by a recovery
		if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("at %s: %q, want %q", level, got, want)
		}
	}
}
