// Package sim is a whole cluster in one goroutine: the real cores of master, allocator,
// agent and executors in virtual time, with a network, a registry, disks and containers
// that fail as a seed says.
//
// It promises that a seed decides everything: two runs of it give the same trace hash.
// It owns the invariants of docs/design/simulation.md and checks them after every step
// and once more when the faults have stopped. It refuses to know what the cores decide.
package sim
