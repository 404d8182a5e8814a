package master

import (
	_ "embed"
	"fmt"

	"agora.dev/agora/internal/metrics"
)

//go:embed metrics.txt
var metricTable string

// MetricFamilies is what the figures of a master mean, and what Prometheus calls them.
func MetricFamilies() (*metrics.Families, error) {
	families, err := metrics.ParseFamilies(metricTable, "agora_")
	if err != nil {
		return nil, fmt.Errorf("table of metrics: %w", err)
	}
	return families, nil
}
