// Package group gives changed apps their versions and service ports.
//
// It owns what a version is. It promises that a version's name is unique and later than the
// app's last, and that a change of the number of instances alone is not a change of configuration.
// It refuses groups with settings of their own.
package group

import (
	"encoding/json"
	"time"

	"agora.dev/agora/api/marathon/v2"
)

// TimeFormat is how Marathon writes versions and times.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Version makes the name of a version later than previous.
func Version(now time.Time, previous string) string {
	version := now.UTC().Format(TimeFormat)
	if version > previous {
		return version
	}
	last, err := time.Parse(TimeFormat, previous)
	if err != nil {
		return version
	}
	return last.Add(time.Millisecond).UTC().Format(TimeFormat)
}

// Kind says what a change needs.
type Kind int

// The kinds of change.
const (
	Same Kind = iota
	Scale
	Replace
)

// Compare says what the change from one app to another needs.
func Compare(from, to *marathon.App) Kind {
	if string(configuration(from)) != string(configuration(to)) {
		return Replace
	}
	if from.Instances != to.Instances {
		return Scale
	}
	return Same
}

// configuration is all but the number of instances and what the server sets.
func configuration(app *marathon.App) []byte {
	bare := *app
	bare.Instances, bare.Version, bare.VersionInfo = 0, "", nil
	text, err := json.Marshal(bare)
	if err != nil {
		return nil // raw messages in it are JSON, or it would not have been read
	}
	return text
}

// Stamp sets version and version info of an app that replaces previous (nil: a new one).
// With force the configuration counts as changed though it is the same.
func Stamp(now time.Time, app, previous *marathon.App, force bool) {
	if previous == nil {
		app.Version = Version(now, "")
		app.VersionInfo = &marathon.VersionInfo{LastScalingAt: app.Version, LastConfigChangeAt: app.Version}
		return
	}
	app.Version = Version(now, previous.Version)
	info := *previous.VersionInfo
	switch kind := Compare(previous, app); {
	case force || kind == Replace:
		info.LastScalingAt, info.LastConfigChangeAt = app.Version, app.Version
	case kind == Scale:
		info.LastScalingAt = app.Version
	}
	app.VersionInfo = &info
}

// The range of service ports that are given to apps that name none.
const firstServicePort, lastServicePort = 10000, 20000

// AssignPorts gives each port 0 of an app a service port that no other app has.
func AssignPorts(app *marathon.App, others map[string]*marathon.App) {
	if app.RequirePorts {
		return
	}
	used := map[int]bool{}
	for id, other := range others {
		if id == app.ID {
			continue
		}
		for _, p := range other.ServicePorts() {
			used[*p] = true
		}
	}
	for _, p := range app.ServicePorts() {
		used[*p] = true
	}
	next := firstServicePort
	for i, port := range app.ServicePorts() {
		if *port != 0 {
			continue
		}
		// The same document again must not be a change: it keeps what it was given.
		if kept := given(others[app.ID], i); kept != 0 && !used[kept] {
			*port = kept
			used[kept] = true
			continue
		}
		for used[next] && next <= lastServicePort {
			next++
		}
		if next > lastServicePort {
			return
		}
		*port = next
		used[next] = true
	}
}

// given is the service port that an app has at an index from the range, or 0.
func given(app *marathon.App, index int) int {
	if app == nil || index >= len(app.ServicePorts()) {
		return 0
	}
	if port := *app.ServicePorts()[index]; port >= firstServicePort && port <= lastServicePort {
		return port
	}
	return 0
}
