//go:build !linux

package vfs

import "os"

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }

func exchange(from, to string) (old bool, err error) { return false, os.Rename(from, to) }
