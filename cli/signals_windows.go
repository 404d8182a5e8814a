package cli

import (
	"os"
	"strconv"
)

// notifyResize does nothing: Windows consoles send no signal.
func notifyResize(chan<- os.Signal) {}

// signalNumber reads a signal given as a number.
func signalNumber(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
