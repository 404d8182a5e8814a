package core

// operatorCall carries out what an operator wants.
func (c *Core) operatorCall(e OperatorCall) {
	switch call := e.Call.(type) {
	case Teardown:
		f := c.frameworks[call.Framework]
		if f == nil {
			c.answer(e.Request, 400, "No framework found with specified ID")
			return
		}
		c.removeFramework(f)
		c.answer(e.Request, 200, "")
	case MarkGone:
		c.markGone(e.Request, call.Agent)
	case DrainAgent:
		c.drainAgent(e.Request, call)
	case DeactivateAgent:
		c.deactivate(e.Request, call.Agent)
	case ReactivateAgent:
		c.reactivate(e.Request, call.Agent)
	case UpdateSchedule, StartMaintenance, StopMaintenance:
		c.maintenanceCall(e.Request, call)
	case OperateAgent:
		c.operateAgent(e, call)
	case OpenRelay:
		c.openRelay(e.Request, call)
	case UpdateWeights:
		c.updateWeights(e.Request, call)
	default:
		c.quotaCall(e.Request, call)
	}
}
