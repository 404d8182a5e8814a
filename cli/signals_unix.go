//go:build unix

package cli

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// notifyResize reports changes of the terminal's size.
func notifyResize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }

// signalNumber reads a signal as the agent words it: a number, SIGTERM, or the
// text of strsignal ("Killed").
func signalNumber(text string) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	if n := unix.SignalNum(text); n != 0 {
		return int(n)
	}
	for n := syscall.Signal(1); n < 32; n++ {
		if strings.EqualFold(n.String(), text) {
			return int(n)
		}
	}
	return 0
}
