// Package why holds the answers of a master's /api/agora/why and /api/agora/offers, in JSON. See docs/design/why.md.
package why

// Answer is the body of /api/agora/why.
type Answer struct {
	// Need is what was asked for, by name: scalars, and of ports how many.
	Need       map[string]float64 `json:"need"`
	Task       *Task              `json:"task,omitempty"`
	Frameworks []Framework        `json:"frameworks"`
	// More is how many frameworks of the role were left out.
	More int `json:"more,omitempty"`
}

// Task is how the task that was asked about is.
type Task struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Agent   string `json:"agent_id"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	Summary string `json:"summary"`
}

// Framework is the answer for one framework.
type Framework struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Roles []Role `json:"roles"`
}

// Role is the answer for one role of a framework. Change is the smallest one that would help, empty when none is needed.
type Role struct {
	Role           string         `json:"role"`
	Suppressed     bool           `json:"suppressed"`
	Share          float64        `json:"dominant_share"`
	FrameworkShare float64        `json:"framework_share"`
	Summary        string         `json:"summary"`
	Change         string         `json:"change,omitempty"`
	Counts         map[string]int `json:"agents_by_verdict"`
	Agents         []Agent        `json:"agents"`
}

// Agent is what stands between a framework and an agent. Until, of a filter, is in seconds since 1970.
type Agent struct {
	ID       string             `json:"id"`
	Hostname string             `json:"hostname"`
	Verdict  string             `json:"verdict"`
	Reason   string             `json:"reason"`
	Change   string             `json:"change,omitempty"`
	Lacks    map[string]float64 `json:"lacks,omitempty"`
	Role     string             `json:"role,omitempty"`
	Until    float64            `json:"until,omitempty"`
	Holders  []Holder           `json:"holders,omitempty"`
	// Guarantees are of other roles, and keep what is free in the cluster. Those that the caller may not see are left out.
	Guarantees []Guarantee `json:"guarantees,omitempty"`
	// Unmet says, of each group of the framework's offer constraints, what the agent does not satisfy first.
	Unmet []string `json:"unmet_constraints,omitempty"`
}

// Guarantee is what a role is promised and does not have yet.
type Guarantee struct {
	Role  string             `json:"role"`
	Lacks map[string]float64 `json:"lacks"`
}

// Holder has what is missing. One that the caller may not see has no name.
type Holder struct {
	Framework string             `json:"framework_id,omitempty"`
	Name      string             `json:"framework_name,omitempty"`
	Role      string             `json:"role,omitempty"`
	Has       map[string]float64 `json:"has"`
	Tasks     []string           `json:"tasks,omitempty"`
}

// Offers is the body of /api/agora/offers: those that are out, and then the last that ended, newest first.
type Offers struct {
	Offers []Offer `json:"offers"`
}

// Offer is one of a framework's offers. Sent and Ended are in seconds since 1970.
type Offer struct {
	ID        string             `json:"id"`
	Agent     string             `json:"agent_id"`
	Hostname  string             `json:"hostname"`
	Role      string             `json:"role"`
	Resources map[string]float64 `json:"resources"`
	Sent      float64            `json:"sent"`
	Ended     float64            `json:"ended,omitempty"`
	// Outcome is OUTSTANDING, ACCEPTED, DECLINED, RESCINDED or WITHDRAWN.
	Outcome    string   `json:"outcome"`
	Refusal    float64  `json:"refuse_seconds,omitempty"`
	Operations []string `json:"operations,omitempty"`
	Problem    string   `json:"problem,omitempty"`
}
