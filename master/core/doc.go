// Package core is the leading master's mind: which frameworks, agents, offers, tasks,
// executors and operations exist, and what each call, message and timeout makes of them.
//
// It owns the leader's view of the cluster and the identifiers that a master hands out. It
// promises that equal events at equal times give equal results, that an agent is admitted or
// given up only after the registry holds it, that every resource of an offer returns to the
// allocator exactly once, and that each ACCEPT either launches or is answered. It refuses
// to read a clock, to draw random numbers, to lock, to log and to do I/O: all of that is in
// the shells, which carry out Ready and feed back Events.
package core
