//go:build clients

// Package mesosgo pins a public client of the Mesos v1 API that this project did not
// write. The tests build its example scheduler and executor and run them unchanged.
package mesosgo

import (
	_ "github.com/mesos/mesos-go/api/v1/cmd/example-executor"
	_ "github.com/mesos/mesos-go/api/v1/cmd/example-scheduler"
)
