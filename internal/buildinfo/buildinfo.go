// Package buildinfo says of what and when the running program was built.
//
// It owns reading what the Go toolchain recorded. It promises the same answer during the life
// of a process. It refuses to guess: without a record the date is that of the Unix epoch.
package buildinfo

import (
	"runtime/debug"
	"time"
)

// Info is what /version says of a build.
type Info struct {
	// Date is readable, Time the same in seconds since the Unix epoch.
	Date string
	Time float64
	User string
	// Revision is the commit, empty if it is not known.
	Revision string
}

// Read gives what was recorded.
func Read() Info {
	built := time.Unix(0, 0).UTC()
	out := Info{User: "agora"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				out.Revision = setting.Value
			case "vcs.time":
				if t, err := time.Parse(time.RFC3339, setting.Value); err == nil {
					built = t.UTC()
				}
			}
		}
	}
	out.Date, out.Time = built.Format("2006-01-02 15:04:05 UTC"), float64(built.Unix())
	return out
}
