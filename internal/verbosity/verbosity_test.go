package verbosity_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"agora.dev/agora/internal/verbosity"
)

func TestDetailFallsBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		level := verbosity.New()
		log := slog.New(level.Handler(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
		log.Debug("before")
		level.Set(1, time.Minute)
		log.Debug("raised", "b", 2)
		if level.Get() != 1 {
			t.Errorf("level %d", level.Get())
		}
		time.Sleep(time.Minute)
		log.Debug("after")
		log.Info("always")
		got := out.String()
		if level.Get() != 0 || strings.Contains(got, "before") || strings.Contains(got, "after") ||
			!strings.Contains(got, "raised a=1 g.b=2") || !strings.Contains(got, "always") {
			t.Errorf("log:\n%s", got)
		}
	})
}
