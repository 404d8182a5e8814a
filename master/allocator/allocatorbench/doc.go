// Package allocatorbench measures the allocator against the budgets P2, P2f, P2q and P2i of
// the design, under the conditions of Mesos's own allocator benchmarks: agents with 24 CPUs,
// a part of them used, everything in role * unless quota is measured, every offer declined
// for ever so that filters pile up.
//
// It promises real figures of the real allocator: nothing is simulated but the clients. A
// cycle's time is that of the whole step, the return of the declined resources included. It
// refuses to measure the network: what it calls freed to offered ends where the allocator
// hands the offer over.
package allocatorbench
