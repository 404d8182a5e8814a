//go:build !linux

package main

// applet finds none: builtin images are for Linux.
func applet([]string) (code int, is bool) { return 0, false }
