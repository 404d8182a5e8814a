// Package vm runs the tests of containers in a QEMU guest whose kernel has cgroup v2
// only, and XFS with quotas: the machine that builds Agora may have v1, and none.
//
// VM_TIMEOUT bounds the life of the guest, in seconds; VM_ACCEL=kvm makes it quicker where
// that works.
//
// It promises a verdict on each test that ran there and says in one line when it cannot
// run. It refuses to need root, a network in the guest or an image of a distribution.
package vm
