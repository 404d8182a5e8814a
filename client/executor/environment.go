package executor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Environment is what an agent tells an executor by environment variables. Mesos
// docs/executor-http-api.md and docs/sandbox.md name them.
type Environment struct {
	FrameworkID, ExecutorID, AgentID string
	// Endpoint is HOST:PORT of the agent.
	Endpoint string
	// DomainSocket is the path of the agent's socket, which is preferred to Endpoint if not empty.
	DomainSocket string
	// Directory is the sandbox as the host sees it, Sandbox as the container does.
	Directory, Sandbox string
	// Checkpoint says that the framework's executors outlive their agent.
	Checkpoint bool
	// ShutdownGracePeriod is how long the executor has between SHUTDOWN and its end.
	ShutdownGracePeriod time.Duration
	// RecoveryTimeout is how long to wait for an agent to come back, SubscriptionBackoffMax the
	// longest wait between two attempts. Both mean something only with Checkpoint.
	RecoveryTimeout, SubscriptionBackoffMax time.Duration
	// Token authenticates the executor; the caller should take its variable,
	// MESOS_EXECUTOR_AUTHENTICATION_TOKEN, out of the environment of what it starts.
	Token string
	// TLS is how the agent's API is reached; nil: in plain text.
	TLS *tls.Config
}

// ReadEnvironment reads the variables by way of lookup, which is os.Getenv in a process. It fails
// on a missing identity, a missing address and on values that it cannot read.
func ReadEnvironment(lookup func(string) string) (Environment, error) {
	env := Environment{
		FrameworkID: lookup("MESOS_FRAMEWORK_ID"), ExecutorID: lookup("MESOS_EXECUTOR_ID"), AgentID: lookup("MESOS_SLAVE_ID"),
		Endpoint: lookup("MESOS_AGENT_ENDPOINT"), DomainSocket: lookup("MESOS_DOMAIN_SOCKET"),
		Directory: lookup("MESOS_DIRECTORY"), Sandbox: lookup("MESOS_SANDBOX"),
		Token: lookup("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
	}
	switch {
	case env.FrameworkID == "":
		return env, missing("MESOS_FRAMEWORK_ID")
	case env.ExecutorID == "":
		return env, missing("MESOS_EXECUTOR_ID")
	case env.Endpoint == "" && env.DomainSocket == "":
		return env, missing("MESOS_AGENT_ENDPOINT")
	}
	var err error
	if env.TLS, err = readTLS(lookup); err != nil {
		return env, err
	}
	switch value := lookup("MESOS_CHECKPOINT"); value {
	case "1", "true":
		env.Checkpoint = true
	case "", "0", "false":
	default:
		return env, fmt.Errorf("read MESOS_CHECKPOINT: %q is neither 0 nor 1", value)
	}
	for _, d := range []struct {
		name     string
		into     *time.Duration
		fallback time.Duration
	}{
		{"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", &env.ShutdownGracePeriod, 5 * time.Second},
		{"MESOS_RECOVERY_TIMEOUT", &env.RecoveryTimeout, 15 * time.Minute},
		{"MESOS_SUBSCRIPTION_BACKOFF_MAX", &env.SubscriptionBackoffMax, 2 * time.Second},
	} {
		*d.into = d.fallback
		if text := lookup(d.name); text != "" {
			value, err := parseDuration(text)
			if err != nil {
				return env, fmt.Errorf("read %s: %w", d.name, err)
			}
			*d.into = value
		}
	}
	return env, nil
}

// readTLS reads Mesos's variables of TLS: LIBPROCESS_SSL_ENABLED, the roots in LIBPROCESS_SSL_CA_FILE (the system's
// if not set), and LIBPROCESS_SSL_VERIFY_SERVER_CERT.
func readTLS(lookup func(string) string) (*tls.Config, error) {
	if on := lookup("LIBPROCESS_SSL_ENABLED"); on != "1" && on != "true" {
		return nil, nil
	}
	verify := lookup("LIBPROCESS_SSL_VERIFY_SERVER_CERT")
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: verify == "0" || verify == "false"}
	if path := lookup("LIBPROCESS_SSL_CA_FILE"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read LIBPROCESS_SSL_CA_FILE: %w; the container has to see the file", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read LIBPROCESS_SSL_CA_FILE: no certificate in %s", path)
		}
	}
	return config, nil
}

func missing(name string) error {
	return fmt.Errorf("read environment: %s is not set; an agent sets it for the executors that it starts", name)
}

// units are those of Mesos's durations, a longer name before what it ends with.
var units = []struct {
	suffix string
	unit   time.Duration
}{
	{"weeks", 7 * 24 * time.Hour}, {"days", 24 * time.Hour}, {"hrs", time.Hour}, {"mins", time.Minute},
	{"secs", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond},
}

// parseDuration reads a duration as Mesos prints it: a decimal number and a unit, "15mins".
func parseDuration(text string) (time.Duration, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(number, 64)
		// What is beyond int64 would turn negative; the comparison is false for NaN too.
		if nanos := value * float64(u.unit); err == nil && nanos >= 0 && nanos < 1<<63 {
			return time.Duration(nanos), nil
		}
		break
	}
	return 0, fmt.Errorf("duration %q: want a number and a unit, as 5secs or 15mins", text)
}
