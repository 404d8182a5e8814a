package endpoint

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestAddressToListenOn(t *testing.T) {
	for _, c := range []struct {
		options Options
		ip      string
		want    string // an address, or part of the error
	}{
		{Options{}, "127.0.0.1", "127.0.0.1"},
		{Options{}, "10.1.2.3", "10.1.2.3"},
		{Options{}, "nowhere", "--ip=nowhere is not an address"},
		{Options{Discovery: "echo 10.9.8.7"}, "127.0.0.1", "10.9.8.7"},
		{Options{Discovery: "echo fd00::1; "}, "127.0.0.1", "fd00::1"},
		{Options{Discovery: "echo 10.9.8.7"}, "10.1.2.3", "give one of them"},
		{Options{Discovery: "echo hello"}, "127.0.0.1", `printed "hello", which is not an address`},
		{Options{Discovery: "echo no network >&2; exit 3"}, "127.0.0.1", "exit status 3: no network"},
		{Options{AdvertiseIP: "here"}, "127.0.0.1", "--advertise_ip=here is not an address"},
		{Options{AdvertisePort: 70000}, "127.0.0.1", "--advertise_port=70000 is not a port"},
	} {
		got, err := c.options.Listen(c.ip, "127.0.0.1")
		said := got.String()
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%+v, --ip=%s: %s, want %s", c.options, c.ip, said, c.want)
		}
	}
}

func TestWhatOthersAreTold(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	ip := net.ParseIP("10.1.2.3")
	for _, c := range []struct {
		options  Options
		ip       string
		port     int
		hostname string
	}{
		{Default(), "10.1.2.3", 5051, name},
		{Options{}, "10.1.2.3", 5051, "10.1.2.3"},
		{Options{AdvertiseIP: "192.0.2.7", AdvertisePort: 80}, "192.0.2.7", 80, "192.0.2.7"},
	} {
		told, port := c.options.Advertised(ip, 5051)
		hostname, err := c.options.Hostname(ip)
		if told != c.ip || port != c.port || hostname != c.hostname || err != nil {
			t.Errorf("%+v: %s %d %s %v, want %+v", c.options, told, port, hostname, err, c)
		}
	}
}

// TestNobodyIsToldToAskEverywhere: who listens on all addresses tells one of them.
func TestNobodyIsToldToAskEverywhere(t *testing.T) {
	own := map[string]bool{"127.0.0.1": true}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok {
			own[network.IP.String()] = true
		}
	}
	for _, all := range []string{"0.0.0.0", "::"} {
		if told, _ := (Options{}).Advertised(net.ParseIP(all), 5051); !own[told] {
			t.Errorf("%s is told as %s, which is no address of this machine", all, told)
		}
	}
}
