package master

import (
	"runtime/debug"
	"time"

	"agora.dev/agora/master/httpapi"
)

// buildOf fills what was not given with what the Go toolchain recorded.
func buildOf(v httpapi.Version) httpapi.Version {
	built := time.Unix(0, 0).UTC()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				if v.GitSHA == "" {
					v.GitSHA = setting.Value
				}
			case "vcs.time":
				if t, err := time.Parse(time.RFC3339, setting.Value); err == nil {
					built = t.UTC()
				}
			}
		}
	}
	if v.BuildDate == "" {
		v.BuildDate = built.Format("2006-01-02 15:04:05 UTC")
		v.BuildTime = float64(built.Unix())
	}
	if v.BuildUser == "" {
		v.BuildUser = "agora"
	}
	return v
}
