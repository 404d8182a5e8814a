//go:build !amd64

package shim

import "errors"

// Image reports that the shim has not been written for this architecture.
func Image() ([]byte, error) {
	return nil, errors.New("shim: only amd64 is supported; use --launcher=oci")
}
