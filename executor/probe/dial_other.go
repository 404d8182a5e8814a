//go:build !linux

package probe

import (
	"context"
	"net"
)

// Host dials in the caller's own network.
func Host(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
