package auth

// Action is something that somebody may or may not do.
type Action uint8

// The actions of Mesos. The two launches of nested containers are each two questions, as their
// ACLs are: the user of the parent, and the user of the command.
const (
	None Action = iota
	RegisterFramework
	RunTask
	TeardownFramework
	ReserveResources
	UnreserveResources
	CreateVolume
	DestroyVolume
	ResizeVolume
	CreateBlockDisk
	DestroyBlockDisk
	CreateMountDisk
	DestroyMountDisk
	DestroyRawDisk
	GetEndpoint
	ViewRole
	UpdateWeight
	GetQuota
	UpdateQuota
	ViewFramework
	ViewTask
	ViewExecutor
	AccessSandbox
	AccessMesosLog
	ViewFlags
	SetLogLevel
	LaunchNestedContainer // under a parent with a user
	LaunchNestedContainerAsUser
	KillNestedContainer
	WaitNestedContainer
	RemoveNestedContainer
	LaunchNestedContainerSession // under a parent with a user
	LaunchNestedContainerSessionAsUser
	AttachContainerInput
	AttachContainerOutput
	ViewContainer
	RegisterAgent
	UpdateMaintenanceSchedule
	GetMaintenanceSchedule
	StartMaintenance
	StopMaintenance
	GetMaintenanceStatus
	DrainAgent
	DeactivateAgent
	ReactivateAgent
	MarkAgentGone
	LaunchStandaloneContainer
	KillStandaloneContainer
	WaitStandaloneContainer
	RemoveStandaloneContainer
	ViewStandaloneContainer
	ModifyResourceProviderConfig
	MarkResourceProviderGone
	ViewResourceProvider
	PruneImages
	actionCount
)

// spec is what is known of an action.
type spec struct {
	// name is Mesos's; key is that of its ACLs in the file, and object the member that lists objects.
	name, key, object string
	// roles: objects are roles, and "a/%" stands for what is below a.
	roles bool
	// whole: objects cannot be named, only ANY or NONE.
	whole bool
}

// specs are the actions. Mesos include/mesos/authorizer/acls.proto.
var specs = [actionCount]spec{
	None:                               {name: "NONE"},
	RegisterFramework:                  {name: "REGISTER_FRAMEWORK", key: "register_frameworks", object: "roles", roles: true},
	RunTask:                            {name: "RUN_TASK", key: "run_tasks", object: "users"},
	TeardownFramework:                  {name: "TEARDOWN_FRAMEWORK", key: "teardown_frameworks", object: "framework_principals"},
	ReserveResources:                   {name: "RESERVE_RESOURCES", key: "reserve_resources", object: "roles", roles: true},
	UnreserveResources:                 {name: "UNRESERVE_RESOURCES", key: "unreserve_resources", object: "reserver_principals"},
	CreateVolume:                       {name: "CREATE_VOLUME", key: "create_volumes", object: "roles", roles: true},
	DestroyVolume:                      {name: "DESTROY_VOLUME", key: "destroy_volumes", object: "creator_principals"},
	ResizeVolume:                       {name: "RESIZE_VOLUME", key: "resize_volumes", object: "roles", roles: true},
	CreateBlockDisk:                    {name: "CREATE_BLOCK_DISK", key: "create_block_disks", object: "roles", roles: true},
	DestroyBlockDisk:                   {name: "DESTROY_BLOCK_DISK", key: "destroy_block_disks", object: "roles", roles: true},
	CreateMountDisk:                    {name: "CREATE_MOUNT_DISK", key: "create_mount_disks", object: "roles", roles: true},
	DestroyMountDisk:                   {name: "DESTROY_MOUNT_DISK", key: "destroy_mount_disks", object: "roles", roles: true},
	DestroyRawDisk:                     {name: "DESTROY_RAW_DISK", key: "destroy_raw_disks", object: "roles", roles: true},
	GetEndpoint:                        {name: "GET_ENDPOINT_WITH_PATH", key: "get_endpoints", object: "paths"},
	ViewRole:                           {name: "VIEW_ROLE", key: "view_roles", object: "roles", roles: true},
	UpdateWeight:                       {name: "UPDATE_WEIGHT", key: "update_weights", object: "roles", roles: true},
	GetQuota:                           {name: "GET_QUOTA", key: "get_quotas", object: "roles", roles: true},
	UpdateQuota:                        {name: "UPDATE_QUOTA", key: "update_quotas", object: "roles", roles: true},
	ViewFramework:                      {name: "VIEW_FRAMEWORK", key: "view_frameworks", object: "users"},
	ViewTask:                           {name: "VIEW_TASK", key: "view_tasks", object: "users"},
	ViewExecutor:                       {name: "VIEW_EXECUTOR", key: "view_executors", object: "users"},
	AccessSandbox:                      {name: "ACCESS_SANDBOX", key: "access_sandboxes", object: "users"},
	AccessMesosLog:                     {name: "ACCESS_MESOS_LOG", key: "access_mesos_logs", object: "logs", whole: true},
	ViewFlags:                          {name: "VIEW_FLAGS", key: "view_flags", object: "flags", whole: true},
	SetLogLevel:                        {name: "SET_LOG_LEVEL", key: "set_log_level", object: "level", whole: true},
	LaunchNestedContainer:              {name: "LAUNCH_NESTED_CONTAINER", key: "launch_nested_containers_under_parent_with_user", object: "users"},
	LaunchNestedContainerAsUser:        {name: "LAUNCH_NESTED_CONTAINER", key: "launch_nested_containers_as_user", object: "users"},
	KillNestedContainer:                {name: "KILL_NESTED_CONTAINER", key: "kill_nested_containers", object: "users"},
	WaitNestedContainer:                {name: "WAIT_NESTED_CONTAINER", key: "wait_nested_containers", object: "users"},
	RemoveNestedContainer:              {name: "REMOVE_NESTED_CONTAINER", key: "remove_nested_containers", object: "users"},
	LaunchNestedContainerSession:       {name: "LAUNCH_NESTED_CONTAINER_SESSION", key: "launch_nested_container_sessions_under_parent_with_user", object: "users"},
	LaunchNestedContainerSessionAsUser: {name: "LAUNCH_NESTED_CONTAINER_SESSION", key: "launch_nested_container_sessions_as_user", object: "users"},
	AttachContainerInput:               {name: "ATTACH_CONTAINER_INPUT", key: "attach_containers_input", object: "users"},
	AttachContainerOutput:              {name: "ATTACH_CONTAINER_OUTPUT", key: "attach_containers_output", object: "users"},
	ViewContainer:                      {name: "VIEW_CONTAINER", key: "view_containers", object: "users"},
	RegisterAgent:                      {name: "REGISTER_AGENT", key: "register_agents", object: "agents", whole: true},
	UpdateMaintenanceSchedule:          {name: "UPDATE_MAINTENANCE_SCHEDULE", key: "update_maintenance_schedules", object: "machines", whole: true},
	GetMaintenanceSchedule:             {name: "GET_MAINTENANCE_SCHEDULE", key: "get_maintenance_schedules", object: "machines", whole: true},
	StartMaintenance:                   {name: "START_MAINTENANCE", key: "start_maintenances", object: "machines", whole: true},
	StopMaintenance:                    {name: "STOP_MAINTENANCE", key: "stop_maintenances", object: "machines", whole: true},
	GetMaintenanceStatus:               {name: "GET_MAINTENANCE_STATUS", key: "get_maintenance_statuses", object: "machines", whole: true},
	DrainAgent:                         {name: "DRAIN_AGENT", key: "drain_agents", object: "agents", whole: true},
	DeactivateAgent:                    {name: "DEACTIVATE_AGENT", key: "deactivate_agents", object: "agents", whole: true},
	ReactivateAgent:                    {name: "REACTIVATE_AGENT", key: "reactivate_agents", object: "agents", whole: true},
	MarkAgentGone:                      {name: "MARK_AGENT_GONE", key: "mark_agents_gone", object: "agents", whole: true},
	LaunchStandaloneContainer:          {name: "LAUNCH_STANDALONE_CONTAINER", key: "launch_standalone_containers", object: "users", whole: true},
	KillStandaloneContainer:            {name: "KILL_STANDALONE_CONTAINER", key: "kill_standalone_containers", object: "users", whole: true},
	WaitStandaloneContainer:            {name: "WAIT_STANDALONE_CONTAINER", key: "wait_standalone_containers", object: "users", whole: true},
	RemoveStandaloneContainer:          {name: "REMOVE_STANDALONE_CONTAINER", key: "remove_standalone_containers", object: "users", whole: true},
	ViewStandaloneContainer:            {name: "VIEW_STANDALONE_CONTAINER", key: "view_standalone_containers", object: "users", whole: true},
	ModifyResourceProviderConfig:       {name: "MODIFY_RESOURCE_PROVIDER_CONFIG", key: "modify_resource_provider_configs", object: "resource_providers", whole: true},
	MarkResourceProviderGone:           {name: "MARK_RESOURCE_PROVIDER_GONE", key: "mark_resource_providers_gone", object: "resource_providers", whole: true},
	ViewResourceProvider:               {name: "VIEW_RESOURCE_PROVIDER", key: "view_resource_providers", object: "resource_providers", whole: true},
	PruneImages:                        {name: "PRUNE_IMAGES", key: "prune_images", object: "images", whole: true},
}

// String is Mesos's name of the action.
func (a Action) String() string {
	if a >= actionCount {
		return "UNKNOWN"
	}
	return specs[a].name
}

// Key is the member of an ACL file that holds the action's rules, empty for None.
func (a Action) Key() string { return specs[a].key }

// ObjectKey is the member of such a rule that lists objects.
func (a Action) ObjectKey() string { return specs[a].object }

// Actions lists every action but None.
func Actions() []Action {
	all := make([]Action, 0, actionCount-1)
	for a := None + 1; a < actionCount; a++ {
		all = append(all, a)
	}
	return all
}

// byKey finds the action whose rules stand under key.
func byKey(key string) (Action, bool) {
	for a := None + 1; a < actionCount; a++ {
		if specs[a].key == key {
			return a, true
		}
	}
	return None, false
}

// endpoints are the paths that get_endpoints may name.
var endpoints = map[string]bool{
	"/containers": true, "/containerizer/debug": true, "/files/debug": true, "/logging/toggle": true,
	"/metrics/snapshot": true, "/monitor/statistics": true,
}
