package main

import (
	"fmt"
	"strings"

	"agora.dev/agora/master/allocator/allocatorbench"
)

// allocation measures P2 with its parts: the real allocator, without a network.
func (s *suite) allocation() error {
	for _, f := range allocatorbench.Run(false) {
		name := f.Name
		if !strings.HasPrefix(name, "P2") {
			name = "P2/" + name
		}
		s.report(figure{Name: name, Value: f.Value, Unit: f.Unit, Must: f.Must, Goal: f.Goal,
			Note: fmt.Sprintf("real allocator, clients simulated; median, worst %.3g; no floor", f.Worst)})
	}
	return nil
}
