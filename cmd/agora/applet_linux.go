package main

import "agora.dev/agora/agent/images/builtin"

// applet runs the program of a builtin image that the first argument names; is tells
// whether it names one.
func applet(args []string) (code int, is bool) {
	if len(args) == 0 || !builtin.Is(args[0]) {
		return 0, false
	}
	return builtin.Main(args), true
}
