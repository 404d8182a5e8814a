// Command gomarathon drives the orchestrator through go-marathon, a public client of
// Marathon's API that this project did not write, unchanged: an app is created, waited for,
// scaled, one of its tasks killed, and deleted. Its argument is the orchestrator's URL.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	marathon "github.com/gambol99/go-marathon"
)

const (
	app     = "/go-marathon"
	patient = time.Minute
)

func main() {
	config := marathon.NewDefaultConfig()
	config.URL = os.Args[1]
	client, err := marathon.NewClient(config)
	if err == nil {
		err = drive(client)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("all calls answered as go-marathon expects")
}

func drive(client marathon.Marathon) error {
	info, err := client.Info()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if _, err := client.Ping(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	leader, err := client.Leader()
	if err != nil {
		return fmt.Errorf("leader: %w", err)
	}
	fmt.Println("marathon", info.Version, "framework", info.FrameworkID, "leader", leader)
	wanted := marathon.NewDockerApplication().Name(app).CPU(0.1).Memory(32).Count(1)
	wanted.Container = nil
	wanted.Command("sleep 1000")
	if _, err := client.CreateApplication(wanted); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := client.WaitOnApplication(app, patient); err != nil {
		return fmt.Errorf("wait for the app: %w", err)
	}
	if err := scale(client); err != nil {
		return err
	}
	deployment, err := client.DeleteApplication(app, false)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := client.WaitOnDeployment(deployment.DeploymentID, patient); err != nil {
		return fmt.Errorf("wait for the deletion: %w", err)
	}
	if names, err := client.ListApplications(nil); err != nil || len(names) != 0 {
		return fmt.Errorf("apps after the deletion: %v, %w", names, err)
	}
	return nil
}

// scale asks for two instances, and kills one of them.
func scale(client marathon.Marathon) error {
	deployment, err := client.ScaleApplicationInstances(app, 2, false)
	if err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	if err := client.WaitOnDeployment(deployment.DeploymentID, patient); err != nil {
		return fmt.Errorf("wait for two instances: %w", err)
	}
	tasks, err := client.Tasks(app)
	if err != nil || len(tasks.Tasks) != 2 {
		return fmt.Errorf("tasks: %v, %w; want two", tasks, err)
	}
	if err := client.KillTasks([]string{tasks.Tasks[0].ID}, nil); err != nil {
		return fmt.Errorf("kill task %s: %w", tasks.Tasks[0].ID, err)
	}
	versions, err := client.ApplicationVersions(app)
	if err != nil || len(versions.Versions) != 2 {
		return fmt.Errorf("versions: %v, %w; want two", versions, err)
	}
	if _, err := client.Queue(); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if _, err := client.Deployments(); err != nil {
		return fmt.Errorf("deployments: %w", err)
	}
	return nil
}
