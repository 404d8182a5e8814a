//go:build !amd64

package seccomp

const auditArch = 0

var numbers map[string]uint32
