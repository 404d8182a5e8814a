package validation

import (
	"math"
	"testing"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

func TestAmountsOfQuotasAreChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		value float64
		want  string
	}{
		{"cpus", 1.5, ""},
		{"cpus", 0, ""},
		{"mem", 1 << 40, ""},
		{"mem", 1<<40 + 1, "Invalid 'QuotaConfig.limits': {'mem': 1099511627777} is invalid: values greater than 1 exabyte (1099511627776) are not supported"},
		{"cpus", math.Inf(1), "Invalid 'QuotaConfig.limits': {'cpus': +Inf} is invalid: values greater than 1 trillion (1000000000000) are not supported"},
		{"cpus", math.Inf(-1), "Invalid limit configuration {'cpus': -Inf}: Infinite values not supported"},
		{"cpus", math.NaN(), "Invalid limit configuration {'cpus': NaN}: NaN not supported"},
		{"cpus", 5e-324, "Invalid limit configuration {'cpus': 4.94065645841247e-324}: Subnormal values not supported"},
		{"cpus", -0.001, "Invalid limit configuration {'cpus': -0.001}: Negative values not supported"},
	} {
		role := "r"
		err := QuotaConfig(&quota.QuotaConfig{Role: &role, Limits: map[string]*mesos.Value_Scalar{c.name: {Value: &c.value}}})
		if got := textOf(err); got != c.want {
			t.Errorf("%s:%g\n got %s\nwant %s", c.name, c.value, got, c.want)
		}
	}
}

func TestLegacyQuotasHaveNothingButPlainScalars(t *testing.T) {
	one := 1.0
	plain := func(change func(*mesos.Resource)) *mesos.Resource {
		name := "cpus"
		r := &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &one}}
		if change != nil {
			change(r)
		}
		return r
	}
	role, other := "r", "web"
	for want, guarantee := range map[string][]*mesos.Resource{
		"":                                 {plain(nil)},
		"QuotaInfo with empty 'guarantee'": nil,
		"QuotaInfo contains duplicate resource name 'cpus'": {plain(nil), plain(nil)},
		"QuotaInfo must not contain RevocableInfo":          {plain(func(r *mesos.Resource) { r.Revocable = &mesos.Resource_RevocableInfo{} })},
		"QuotaInfo must not contain any ReservationInfo":    {plain(func(r *mesos.Resource) { r.Role = &other })},
	} {
		if got := textOf(QuotaRequest(&quota.QuotaRequest{Role: &role, Guarantee: guarantee})); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
