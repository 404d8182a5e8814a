//go:build !linux

package vfs

import "os"

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }
