package containerizertest_test

import (
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
)

func TestFakeKeepsTheContract(t *testing.T) {
	containerizertest.Run(t, func(*testing.T) containerizertest.Host {
		return containerizertest.Host{Containerizer: containerizertest.NewFake(),
			Sleeper: func(id containerizer.ID) containerizer.Spec { return containerizer.Spec{ID: id} }}
	})
}
