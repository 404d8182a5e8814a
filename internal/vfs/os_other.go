//go:build !linux

package vfs

import "os"

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Replace moves a file over another.
func Replace(from, to string) error { return os.Rename(from, to) }
