package marathon

// AppInfo is an app with what is known of its instances.
type AppInfo struct {
	App
	TasksStaged     int             `json:"tasksStaged"`
	TasksRunning    int             `json:"tasksRunning"`
	TasksHealthy    int             `json:"tasksHealthy"`
	TasksUnhealthy  int             `json:"tasksUnhealthy"`
	Deployments     []DeploymentRef `json:"deployments"`
	Tasks           []Task          `json:"tasks,omitempty"`
	LastTaskFailure *TaskFailure    `json:"lastTaskFailure,omitempty"`
}

// DeploymentRef names a deployment.
type DeploymentRef struct {
	ID string `json:"id"`
}

// Task is an instance's task.
type Task struct {
	AppID        string      `json:"appId"`
	ID           string      `json:"id"`
	Host         string      `json:"host"`
	Ports        []int       `json:"ports"`
	ServicePorts []int       `json:"servicePorts,omitempty"`
	IPAddresses  []IPAddress `json:"ipAddresses,omitempty"`
	SlaveID      string      `json:"slaveId"`
	State        string      `json:"state"`
	StagedAt     string      `json:"stagedAt,omitempty"`
	StartedAt    string      `json:"startedAt,omitempty"`
	Version      string      `json:"version"`
	LocalVolumes []any       `json:"localVolumes"`
	Role         string      `json:"role,omitempty"`

	HealthCheckResults []HealthCheckResult `json:"healthCheckResults,omitempty"`
}

// HealthCheckResult is what the health check of a task has seen.
type HealthCheckResult struct {
	Alive               bool   `json:"alive"`
	ConsecutiveFailures int    `json:"consecutiveFailures"`
	FirstSuccess        string `json:"firstSuccess,omitempty"`
	LastSuccess         string `json:"lastSuccess,omitempty"`
	LastFailure         string `json:"lastFailure,omitempty"`
	InstanceID          string `json:"instanceId"`
}

// IPAddress is an address of a task.
type IPAddress struct {
	IPAddress string `json:"ipAddress"`
	Protocol  string `json:"protocol"`
}

// TaskFailure is the last failure of an app.
type TaskFailure struct {
	AppID     string `json:"appId"`
	Host      string `json:"host"`
	Message   string `json:"message"`
	SlaveID   string `json:"slaveId,omitempty"`
	State     string `json:"state"`
	TaskID    string `json:"taskId"`
	Timestamp string `json:"timestamp"`
	Version   string `json:"version"`
}

// Deployment is a change under way, as /v2/deployments lists it.
type Deployment struct {
	ID             string             `json:"id"`
	Version        string             `json:"version"`
	AffectedApps   []string           `json:"affectedApps"`
	AffectedPods   []string           `json:"affectedPods"`
	Steps          []DeploymentStep   `json:"steps"`
	CurrentActions []DeploymentAction `json:"currentActions"`
	CurrentStep    int                `json:"currentStep"`
	TotalSteps     int                `json:"totalSteps"`
}

// DeploymentStep holds actions done together.
type DeploymentStep struct {
	Actions []DeploymentAction `json:"actions"`
}

// DeploymentAction is one app's part.
type DeploymentAction struct {
	Action                string `json:"action"`
	App                   string `json:"app"`
	ReadinessCheckResults []any  `json:"readinessCheckResults,omitempty"`
}

// DeploymentResult answers most changes.
type DeploymentResult struct {
	Version      string `json:"version"`
	DeploymentID string `json:"deploymentId"`
}

// QueueItem is an app that waits for offers.
type QueueItem struct {
	App                    App           `json:"app"`
	Role                   string        `json:"role,omitempty"`
	Count                  int           `json:"count"`
	Since                  string        `json:"since"`
	Delay                  QueueDelay    `json:"delay"`
	ProcessedOffersSummary OffersSummary `json:"processedOffersSummary"`
	LastUnusedOffers       []UnusedOffer `json:"lastUnusedOffers,omitempty"`
}

// QueueDelay is the back-off of a waiting app.
type QueueDelay struct {
	TimeLeftSeconds int  `json:"timeLeftSeconds"`
	Overdue         bool `json:"overdue"`
}

// OffersSummary counts why offers were not used.
type OffersSummary struct {
	ProcessedOffersCount       int            `json:"processedOffersCount"`
	UnusedOffersCount          int            `json:"unusedOffersCount"`
	LastUnusedOfferAt          string         `json:"lastUnusedOfferAt,omitempty"`
	LastUsedOfferAt            string         `json:"lastUsedOfferAt,omitempty"`
	RejectSummaryLastOffers    []RejectReason `json:"rejectSummaryLastOffers"`
	RejectSummaryLaunchAttempt []RejectReason `json:"rejectSummaryLaunchAttempt"`
}

// RejectReason counts the offers that came to a check and that it declined.
type RejectReason struct {
	Reason    string `json:"reason"`
	Declined  int    `json:"declined"`
	Processed int    `json:"processed"`
}

// UnusedOffer is an offer with the reasons for which it was not used.
type UnusedOffer struct {
	Offer     OfferSummary `json:"offer"`
	Reason    []string     `json:"reason"`
	Details   []string     `json:"details,omitempty"`
	Timestamp string       `json:"timestamp"`
}

// OfferSummary names an offer.
type OfferSummary struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname"`
	AgentID  string `json:"agentId"`
}

// Info answers /v2/info.
type Info struct {
	Name            string         `json:"name"`
	Version         string         `json:"version"`
	BuildRef        string         `json:"buildref"`
	Elected         bool           `json:"elected"`
	Leader          string         `json:"leader"`
	FrameworkID     string         `json:"frameworkId,omitempty"`
	MarathonConfig  map[string]any `json:"marathon_config"`
	ZooKeeperConfig map[string]any `json:"zookeeper_config"`
	HTTPConfig      map[string]any `json:"http_config"`
}
