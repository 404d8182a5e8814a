package agent

import (
	"fmt"
	"time"

	"agora.dev/agora/agent/oversubscription"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
)

// OversubscriptionOptions say what is lent of what executors do not use, and who stops when they
// want it after all. Names and defaults of Mesos, but for the parameters, which Mesos has in --modules.
type OversubscriptionOptions struct {
	ResourceEstimator               string
	ResourceEstimatorParameters     string
	OversubscribedResourcesInterval time.Duration
	QoSController                   string
	QoSControllerParameters         string
	QoSCorrectionIntervalMin        time.Duration
}

func defaultOversubscription() OversubscriptionOptions {
	return OversubscriptionOptions{ResourceEstimator: oversubscription.Noop, QoSController: oversubscription.Noop,
		OversubscribedResourcesInterval: 15 * time.Second}
}

func (c *Config) oversubscriptionFlags(set *flags.Set) {
	set.String(&c.ResourceEstimator, "resource_estimator",
		"what is lent as revocable resources: noop (nothing), fixed (always the same), or usage (what executors were promised and do not use)")
	set.String(&c.ResourceEstimatorParameters, "resource_estimator_parameters",
		"fixed: resources=cpus:2;mem:512. usage: resources=cpus+mem,window=10m,percentile=100,margin=0.1,limit=0.5,hold=2m")
	set.Duration(&c.OversubscribedResourcesInterval, "oversubscribed_resources_interval", "time between estimates")
	set.String(&c.QoSController, "qos_controller",
		"who stops tasks on revocable resources: noop (nobody), load (all of them above a load), or pressure (one by one while others lack cpu or memory)")
	set.String(&c.QoSControllerParameters, "qos_controller_parameters",
		"load: load_threshold_5min=6,load_threshold_15min=4. pressure: cpu=30,memory=10,available=5,settle=10s. Both: procfs=/proc")
	set.Duration(&c.QoSCorrectionIntervalMin, "qos_correction_interval_min", "least time between two corrections; a second at least")
}

// overseers makes the estimator and the controller that the options name.
func (c *Config) overseers(total []*mesos.Resource) (estimator oversubscription.Estimator, controller oversubscription.Controller, procfs string, err error) {
	if c.OversubscribedResourcesInterval <= 0 {
		return nil, nil, "", fmt.Errorf("--oversubscribed_resources_interval=%s must be positive", c.OversubscribedResourcesInterval)
	}
	if c.QoSCorrectionIntervalMin < 0 {
		return nil, nil, "", fmt.Errorf("--qos_correction_interval_min=%s must not be negative", c.QoSCorrectionIntervalMin)
	}
	estimator, err = oversubscription.NewEstimator(c.ResourceEstimator, c.ResourceEstimatorParameters, total)
	if err != nil {
		return nil, nil, "", fmt.Errorf("--resource_estimator=%s: %w", c.ResourceEstimator, err)
	}
	controller, procfs, err = oversubscription.NewController(c.QoSController, c.QoSControllerParameters)
	if err != nil {
		return nil, nil, "", fmt.Errorf("--qos_controller=%s: %w", c.QoSController, err)
	}
	return estimator, controller, procfs, nil
}

func (c *Config) checkOversubscription() error {
	_, _, _, err := c.overseers(nil)
	return err
}
