package single_test

import (
	"testing"

	"agora.dev/agora/election/electiontest"
	"agora.dev/agora/election/single"
)

func TestSingleKeepsTheContract(t *testing.T) {
	electiontest.Run(t, func(*testing.T) electiontest.Election { return single.New() })
}
