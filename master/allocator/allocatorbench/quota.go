package allocatorbench

import (
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

// quotas are large for every other role and small for the rest, guarantee and limit alike.
func quotas(n int, role func(int) string) map[string]*quota.QuotaConfig {
	all := map[string]*quota.QuotaConfig{}
	for i := range n {
		cpus, mem := 24.0, 4096.0
		if i%2 == 1 {
			cpus, mem = 1, 128
		}
		path := role(i)
		amounts := map[string]*mesos.Value_Scalar{"cpus": {Value: &cpus}, "mem": {Value: &mem}}
		all[path] = &quota.QuotaConfig{Role: &path, Guarantees: amounts, Limits: amounts}
	}
	return all
}
