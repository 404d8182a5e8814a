package main

import (
	"fmt"

	"agora.dev/agora/master/allocator/allocatorbench"
)

// allocation measures P2 with its parts: the real allocator, without a network.
func (s *suite) allocation() error {
	allocatorbench.Run(false, func(f allocatorbench.Figure) {
		s.report(figure{Name: f.Name, Value: f.Value, Unit: f.Unit, Must: f.Must, Goal: f.Goal,
			Note: fmt.Sprintf("real allocator, clients simulated; median, worst %.3g, processor time %.3g; no floor", f.Worst, f.CPU)})
	})
	return nil
}
