package executor

import (
	"fmt"

	mesos "agora.dev/agora/api/mesos/v1"
)

// signals are the texts of strsignal(3), which clients of Mesos see.
var signals = [...]string{
	1: "Hangup", 2: "Interrupt", 3: "Quit", 4: "Illegal instruction", 5: "Trace/breakpoint trap",
	6: "Aborted", 7: "Bus error", 8: "Floating point exception", 9: "Killed", 10: "User defined signal 1",
	11: "Segmentation fault", 12: "User defined signal 2", 13: "Broken pipe", 14: "Alarm clock",
	15: "Terminated", 16: "Stack fault", 17: "Child exited", 18: "Continued", 19: "Stopped (signal)",
	20: "Stopped", 21: "Stopped (tty input)", 22: "Stopped (tty output)", 23: "Urgent I/O condition",
	24: "CPU time limit exceeded", 25: "File size limit exceeded", 26: "Virtual timer expired",
	27: "Profiling timer expired", 28: "Window changed", 29: "I/O possible", 30: "Power failure",
	31: "Bad system call",
}

// outcome turns how a container ended into a state and the text of Mesos.
func outcome(how Termination) (mesos.TaskState, string) {
	if how.Status == nil {
		return mesos.TaskState_TASK_FAILED, orText(how.Message, "The exit status of the command is lost")
	}
	state := mesos.TaskState_TASK_FAILED
	if *how.Status == 0 {
		state = mesos.TaskState_TASK_FINISHED
	}
	return state, orText(how.Message, "Command "+DescribeStatus(*how.Status))
}

// DescribeStatus says what a raw wait status means: "exited with status 1", or
// "terminated with signal Killed".
func DescribeStatus(raw int32) string {
	signal := raw & 0x7f
	if signal == 0 {
		return fmt.Sprintf("exited with status %d", raw>>8&0xff)
	}
	name := fmt.Sprintf("Unknown signal %d", signal)
	if int(signal) < len(signals) {
		name = signals[signal]
	} else if signal >= 34 {
		name = fmt.Sprintf("Real-time signal %d", signal-34)
	}
	if raw&0x80 != 0 {
		name += " (core dumped)"
	}
	return "terminated with signal " + name
}

func orText(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}
