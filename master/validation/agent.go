package validation

import "agora.dev/agora/api/mesos/v1"

// Agent checks an agent that registers for the first time.
func Agent(info *mesos.AgentInfo) error {
	if info.GetId().GetValue() != "" {
		return invalid("AgentInfo of a registration must not have an 'id'")
	}
	return agent(info)
}

// ReturningAgent checks an agent that registers again.
func ReturningAgent(info *mesos.AgentInfo) error {
	if err := ID(info.GetId().GetValue()); err != nil {
		return err
	}
	return agent(info)
}

func agent(info *mesos.AgentInfo) error {
	if info.GetHostname() == "" {
		return invalid("AgentInfo must have a 'hostname'")
	}
	if err := Resources(info.GetResources()); err != nil {
		return err
	}
	return uniquePersistence(info.GetResources())
}
