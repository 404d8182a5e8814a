// Package legacy names the options that Mesos's master and agent share and that have no effect here, or cannot be kept, so
// that a configuration written for Mesos starts Agora, or says in one line why it does not.
//
// It promises that nothing is accepted whose wish would not hold.
package legacy

import "agora.dev/agora/internal/flags"

// Why an option is refused that asks for code or storage that is not there.
const (
	// Libraries are modules and hooks.
	Libraries = "it names a library built for Mesos in C++, which this program cannot load"
	// ZooKeeper is what master and agent would have to speak.
	ZooKeeper = "ZooKeeper is not built into this version; --master=HOST:PORT,HOST:PORT names masters"
)

// Flags defines what both daemons have.
func Flags(set *flags.Set) {
	set.Refused("hooks", Libraries)
	set.Refused("master_detector", Libraries)
	set.Refused("zk_session_timeout", ZooKeeper)
	set.FixedBool("memory_profiling", "the memory of this program is not jemalloc's")
}
