package core

import (
	"strings"
	"testing"
)

// TestAgentsAreToldOfAtTheAddressTheyAdvertise: an agent behind another address than that of its connection names it; what is no
// address is not told to anybody.
func TestAgentsAreToldOfAtTheAddressTheyAdvertise(t *testing.T) {
	for said, want := range map[string]string{
		"": "10.0.0.1", "192.0.2.7": "192.0.2.7", "fd00::7": "fd00::7", "example.com": "10.0.0.1", "1.2.3.4\r\nx": "10.0.0.1", strings.Repeat("1", 60): "10.0.0.1",
	} {
		l := &agentLink{ip: "10.0.0.1"}
		if l.advertise(said); l.ip != want {
			t.Errorf("%q: %s, want %s", said, l.ip, want)
		}
	}
}
