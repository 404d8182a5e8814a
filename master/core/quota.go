package core

import (
	"maps"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/master/registry"
	"agora.dev/agora/master/validation"
	"agora.dev/agora/resources"
)

// UpdateQuota replaces the quotas of the roles that it names, all of them or none: 200; 400 when one
// is invalid, or, without Force, below what its role consumes or more than the cluster has.
type UpdateQuota struct {
	Configs []*quota.QuotaConfig
	Force   bool
}

// SetQuota gives a role that has none a guarantee that is its limit too (deprecated in Mesos): 200; 400
// when it is invalid or the role has one; 409 when, without force, guarantees exceed the cluster.
type SetQuota struct{ Request *quota.QuotaRequest }

// RemoveQuota takes a role's quota away: 200; 400 when it has none.
type RemoveQuota struct {
	Role string
	// Path is that of the legacy endpoint, for the texts of refusals; empty for the API.
	Path string
}

func (UpdateQuota) isOperatorCommand() {}
func (SetQuota) isOperatorCommand()    {}
func (RemoveQuota) isOperatorCommand() {}

// quotaCall carries out the three calls; it reports false for any other.
func (c *Core) quotaCall(request RequestID, command OperatorCommand) bool {
	var status int
	var text string
	var configs []*quota.QuotaConfig
	switch call := command.(type) {
	case UpdateQuota:
		configs = call.Configs
		status, text = c.checkUpdateQuota(call)
	case SetQuota:
		configs = []*quota.QuotaConfig{configOf(call.Request)}
		status, text = c.checkSetQuota(call.Request, configs[0])
	case RemoveQuota:
		configs = []*quota.QuotaConfig{{Role: ptr(call.Role)}}
		status, text = c.checkRemoveQuota(call)
	default:
		return false
	}
	if err := registry.Check(registry.SetQuotas{Configs: configs}); status == 0 && err != nil {
		status, text = 400, err.Error()
	}
	if status != 0 {
		c.answer(request, status, text)
		return true
	}
	c.orderQuotas(request, configs)
	return true
}

// orderQuotas writes quotas down; they hold, and offers that are against them are taken back, once
// that is done.
func (c *Core) orderQuotas(request RequestID, configs []*quota.QuotaConfig) {
	c.orderedQuotas = withQuotas(c.orderedQuotas, configs)
	c.persist(registry.SetQuotas{Configs: configs}, func() {
		c.registry.Quotas = withQuotas(c.registry.Quotas, configs)
		changed := make(map[string]*quota.QuotaConfig, len(configs))
		for _, config := range configs {
			changed[config.GetRole()] = config
			c.note(noteInfo, "quota set", "role", config.GetRole(), "guarantees", quantitiesOf(config.GetGuarantees()).String(),
				"limits", quantitiesOf(config.GetLimits()).String())
		}
		c.allocatorSetQuotas(changed)
		for _, role := range sortedKeys(changed) {
			c.enforceQuota(changed[role])
		}
		c.answer(request, 200, "")
	})
}

// withQuotas is a copy with some quotas replaced; empty ones are taken out. Snapshots share the maps.
func withQuotas(quotas map[string]*quota.QuotaConfig, configs []*quota.QuotaConfig) map[string]*quota.QuotaConfig {
	changed := &registry.Contents{Quotas: make(map[string]*quota.QuotaConfig, len(quotas)+len(configs))}
	maps.Copy(changed.Quotas, quotas)
	changed.Apply(registry.SetQuotas{Configs: configs})
	return changed.Quotas
}

func (c *Core) checkUpdateQuota(call UpdateQuota) (status int, text string) {
	for _, config := range call.Configs {
		if !validation.Whitelisted(config.GetRole(), c.cfg.Roles) {
			return 400, "Invalid QuotaConfig: '" + config.GetRole() + "' is not on the roles whitelist"
		}
		if err := validation.QuotaConfig(config); err != nil {
			return 400, "Invalid QuotaConfig: " + err.Error()
		}
	}
	for _, config := range call.Configs {
		consumed, limits := c.usageOf(config.GetRole()).consumed, quantitiesOf(config.GetLimits())
		if !call.Force && !consumed.Within(limits) {
			return 400, "Invalid QuotaConfig: Role '" + config.GetRole() + "' is already consuming '" + consumed.String() +
				"'; this is more than the requested limits '" + limits.String() + "' (use 'force' flag to bypass this check)"
		}
	}
	quotas := withQuotas(c.orderedQuotas, call.Configs)
	if err := validation.QuotaTree(quotas); err != nil {
		return 400, "Invalid QuotaConfig: " + err.Error()
	}
	total, capacity := validation.TotalGuarantees(quotas), c.capacity()
	if !call.Force && !capacity.Contains(total) {
		return 400, "Invalid QuotaConfig: total quota guarantees '" + total.String() + "' exceed cluster capacity '" +
			capacity.String() + "' (use 'force' flag to bypass this check)"
	}
	return 0, ""
}

func (c *Core) checkSetQuota(request *quota.QuotaRequest, config *quota.QuotaConfig) (status int, text string) {
	const invalid = "Failed to validate set quota request: "
	role := request.GetRole()
	if err := validation.QuotaRequest(request); err != nil {
		return 400, invalid + err.Error()
	}
	if err := validation.QuotaConfig(config); err != nil {
		return 400, invalid + err.Error()
	}
	if !validation.Whitelisted(role, c.cfg.Roles) {
		return 400, invalid + "Unknown role '" + role + "'"
	}
	if c.orderedQuotas[role] != nil {
		return 400, invalid + "Cannot set quota for role '" + role + "' which already has quota"
	}
	quotas := withQuotas(c.orderedQuotas, []*quota.QuotaConfig{config})
	if err := validation.QuotaTree(quotas); err != nil {
		return 400, invalid + err.Error()
	}
	total, capacity := validation.TotalGuarantees(quotas), c.capacity()
	if !request.GetForce() && !capacity.Contains(total) {
		return 409, "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees '" +
			total.String() + "' exceed cluster capacity '" + capacity.String() + "'"
	}
	return 0, ""
}

func (c *Core) checkRemoveQuota(call RemoveQuota) (status int, text string) {
	from, where := "", ""
	if call.Path != "" {
		from, where = " for path '"+call.Path+"'", " request"+" for path '"+call.Path+"'"
	}
	if !validation.Whitelisted(call.Role, c.cfg.Roles) {
		return 400, "Failed to validate remove quota" + where + ": Unknown role '" + call.Role + "'"
	}
	if c.orderedQuotas[call.Role] == nil {
		return 400, "Failed to remove quota" + from + ": Role '" + call.Role + "' has no quota set"
	}
	if err := validation.QuotaTree(withQuotas(c.orderedQuotas, []*quota.QuotaConfig{{Role: ptr(call.Role)}})); err != nil {
		return 400, "Failed to remove quota" + from + ": " + err.Error()
	}
	return 0, ""
}

// configOf is the quota that a legacy request means: its guarantee is its limit too.
func configOf(request *quota.QuotaRequest) *quota.QuotaConfig {
	amounts := map[string]*mesos.Value_Scalar{}
	for _, r := range request.GetGuarantee() {
		amounts[r.GetName()] = &mesos.Value_Scalar{Value: ptr(r.GetScalar().GetValue())}
	}
	return &quota.QuotaConfig{Role: ptr(request.GetRole()), Guarantees: amounts, Limits: maps.Clone(amounts)}
}

// quantitiesOf reads amounts that validation has seen.
func quantitiesOf(amounts map[string]*mesos.Value_Scalar) resources.Quantities {
	q, _ := resources.QuantitiesFromProto(amounts)
	return q
}

// capacity is what the registered agents have, connected or not, reservations included.
func (c *Core) capacity() resources.Quantities {
	var sum tally
	for _, a := range c.agents {
		sum.add(a.total, func(*mesos.Resource) bool { return true })
	}
	return sum.quantities()
}

// usage is what a role and those below it have.
type usage struct {
	// consumed counts for quota: reservations, and what is allocated without one. offered is what
	// offers hold besides.
	consumed, offered resources.Quantities
}

func (c *Core) usageOf(role string) usage {
	var consumed, offered tally
	mine := func(r *mesos.Resource) bool {
		return underRole(r.GetAllocationInfo().GetRole(), role) && len(r.Reservations) == 0
	}
	for _, a := range c.agents {
		consumed.add(a.total, func(r *mesos.Resource) bool {
			n := len(r.Reservations)
			return n > 0 && underRole(r.Reservations[n-1].GetRole(), role)
		})
		consumed.add(a.used, mine)
		offered.add(a.offered, mine)
	}
	return usage{consumed.quantities(), offered.quantities()}
}

// freeUnreserved is what the agents that are in use have without reservation, and have neither
// allocated nor offered.
func (c *Core) freeUnreserved() resources.Quantities {
	var total, taken tally
	unreserved := func(r *mesos.Resource) bool { return len(r.Reservations) == 0 }
	for _, a := range c.agents {
		if a.rec.Active {
			total.add(a.total, unreserved)
			taken.add(a.used, unreserved)
			taken.add(a.offered, unreserved)
		}
	}
	return total.quantities().Sub(taken.quantities())
}

// enforceQuota rescinds offers: those of the role while it would exceed its limits, and then those
// of others while what is free does not make up its guarantees.
func (c *Core) enforceQuota(config *quota.QuotaConfig) {
	role, limits := config.GetRole(), quantitiesOf(config.GetLimits())
	use := c.usageOf(role)
	have := use.consumed.Add(use.offered)
	for _, o := range c.offersInOrder() {
		if have.Within(limits) {
			break
		}
		if part := o.unreserved(); underRole(o.role, role) && !part.IsEmpty() {
			have = have.Sub(part)
			c.rescind(o)
		}
	}
	missing := quantitiesOf(config.GetGuarantees()).Sub(have).Sub(c.freeUnreserved())
	for _, o := range c.offersInOrder() {
		if missing.IsEmpty() {
			break
		}
		if part := o.unreserved(); !underRole(o.role, role) && helps(part, missing) {
			missing = missing.Sub(part)
			c.rescind(o)
		}
	}
}

// offersInOrder lists offers by agent and the order in which they were made there.
func (c *Core) offersInOrder() []*offer {
	var list []*offer
	for _, id := range sortedKeys(c.agents) {
		list = append(list, c.agents[id].offers.items...)
	}
	return list
}

// unreserved is what of an offer counts for quota.
func (o *offer) unreserved() resources.Quantities {
	var sum tally
	sum.add(o.resources, func(r *mesos.Resource) bool { return len(r.Reservations) == 0 })
	return sum.quantities()
}

// helps says whether an offer has any of what is missing.
func helps(part, missing resources.Quantities) bool {
	return slices.ContainsFunc(missing, func(q resources.Quantity) bool { return part.Get(q.Name) > 0 })
}

// tally sums scalars by name; what is revocable does not count, what is shared counts once.
type tally map[string]int64

func (t *tally) add(list amounts, counts func(*mesos.Resource) bool) {
	if *t == nil {
		*t = tally{}
	}
	for _, a := range list {
		if a.kind.GetType() == mesos.Value_SCALAR && a.kind.Revocable == nil && counts(a.kind) {
			(*t)[a.kind.GetName()] += a.milli
		}
	}
}

func (t tally) quantities() resources.Quantities {
	list := make([]resources.Quantity, 0, len(t))
	for name, milli := range t {
		if milli > 0 {
			list = append(list, resources.Quantity{Name: name, Milli: milli})
		}
	}
	return resources.NewQuantities(list...)
}

// underRole says whether a role is another or below it in the tree.
func underRole(role, above string) bool {
	return role == above || strings.HasPrefix(role, above) && role[len(above)] == '/'
}
