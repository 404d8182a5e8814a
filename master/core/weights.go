package core

import (
	"maps"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/registry"
	"agora.dev/agora/master/validation"
)

// UpdateWeights sets the weights of roles: 200, or 400 when one is invalid.
type UpdateWeights struct{ Weights []*mesos.WeightInfo }

func (UpdateWeights) isOperatorCommand() {}

func (c *Core) updateWeights(request RequestID, call UpdateWeights) {
	weights := map[string]float64{}
	for _, info := range call.Weights {
		if err := validation.Weight(info, c.cfg.Roles); err != nil {
			c.answer(request, 400, err.Error())
			return
		}
		weights[strings.TrimSpace(info.GetRole())] = info.GetWeight()
	}
	if len(weights) == 0 {
		c.answer(request, 200, "")
		return
	}
	op := registry.SetWeights{Weights: weights}
	if err := registry.Check(op); err != nil {
		c.answer(request, 400, err.Error())
		return
	}
	c.persist(op, func() {
		c.setWeights(weights)
		if c.anySubscribed(weights) {
			for _, o := range c.offersInOrder() {
				c.rescind(o)
			}
		}
		c.answer(request, 200, "")
	})
}

// setWeights puts stored weights into force. Snapshots share the map.
func (c *Core) setWeights(weights map[string]float64) {
	all := maps.Clone(c.registry.Weights)
	maps.Copy(all, weights)
	c.registry.Weights = all
	c.allocate(AllocatorSetWeights{Weights: weights})
}

// firstWeights stores the weights of --weights where the registry has none; where it has some, the
// operator's last word stands.
func (c *Core) firstWeights() {
	switch {
	case len(c.cfg.Weights) == 0:
	case len(c.registry.Weights) > 0:
		c.note(noteWarn, "--weights is ignored: the registry has weights; use UPDATE_WEIGHTS")
	default:
		weights := c.cfg.Weights
		c.persist(registry.SetWeights{Weights: weights}, func() { c.setWeights(weights) })
	}
}

// anySubscribed says whether some framework is in one of the roles or below it.
func (c *Core) anySubscribed(weights map[string]float64) bool {
	for _, f := range c.frameworks {
		if slices.ContainsFunc(f.roles(), func(role string) bool {
			for named := range weights {
				if underRole(role, named) {
					return true
				}
			}
			return false
		}) {
			return true
		}
	}
	return false
}
