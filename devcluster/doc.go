// Package devcluster is a whole cluster on one machine, in one process (and the launchers
// of its agents): for agora dev, and for tests that need a real one.
//
// It owns the layout of the state directory and the order of starting and stopping. It
// promises that Stop leaves no process, cgroup, mount or interface behind, and no file
// outside the state directory. It refuses to decide anything that a component decides.
package devcluster
