package master

import (
	"cmp"

	"agora.dev/agora/internal/buildinfo"
	"agora.dev/agora/master/httpapi"
)

// buildOf fills what was not given with what the Go toolchain recorded.
func buildOf(v httpapi.Version) httpapi.Version {
	info := buildinfo.Read()
	v.GitSHA = cmp.Or(v.GitSHA, info.Revision)
	v.BuildUser = cmp.Or(v.BuildUser, info.User)
	if v.BuildDate == "" {
		v.BuildDate, v.BuildTime = info.Date, info.Time
	}
	return v
}
