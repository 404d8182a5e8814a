package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/quota"
	"google.golang.org/protobuf/proto"
)

// The folders of the store. The rest of a key is an agent id, or a role or machine in base64.
const (
	admittedKey    = "agents/admitted/"
	unreachableKey = "agents/unreachable/"
	goneKey        = "agents/gone/"
	deactivatedKey = "agents/deactivated/"
	drainKey       = "agents/drain/"
	weightKey      = "weights/"
	quotaKey       = "quotas/"
	machineKey     = "machines/"
	scheduleKey    = "maintenance/schedule"
)

// record is the value of the keys that hold no single protobuf message.
type record struct {
	Info   []byte  `json:"info,omitempty"` // mesos.v1.AgentInfo, or DrainInfo
	At     int64   `json:"at,omitempty"`   // nanoseconds since 1970
	Weight float64 `json:"weight,omitempty"`
}

func escape(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

func unescape(name string) (string, error) {
	plain, err := base64.RawURLEncoding.DecodeString(name)
	return string(plain), err
}

func put(key string, r record) ([]Write, error) {
	value, err := json.Marshal(r)
	return []Write{{Key: key, Value: value}}, err
}

// Writes implements Op.
func (op Admit) Writes() ([]Write, error) {
	info, err := proto.Marshal(op.Info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	id := op.Info.GetId().GetValue()
	writes, err := put(admittedKey+id, record{Info: info, At: op.At.UnixNano()})
	return append(writes, Write{Key: unreachableKey + id}), err
}

// Writes implements Op.
func (op Remove) Writes() ([]Write, error) {
	return []Write{{Key: admittedKey + op.ID}, {Key: deactivatedKey + op.ID}, {Key: drainKey + op.ID}}, nil
}

// Writes implements Op.
func (op MarkUnreachable) Writes() ([]Write, error) {
	writes, err := put(unreachableKey+op.ID, record{At: op.At.UnixNano()})
	return append(writes, Write{Key: admittedKey + op.ID}), err
}

// Writes implements Op.
func (op MarkGone) Writes() ([]Write, error) {
	writes, err := put(goneKey+op.ID, record{At: op.At.UnixNano()})
	return append(writes, Write{Key: admittedKey + op.ID}, Write{Key: unreachableKey + op.ID},
		Write{Key: deactivatedKey + op.ID}, Write{Key: drainKey + op.ID}), err
}

// Writes implements Op.
func (op Prune) Writes() ([]Write, error) {
	var writes []Write
	for _, id := range op.IDs {
		writes = append(writes, Write{Key: unreachableKey + id}, Write{Key: goneKey + id},
			Write{Key: deactivatedKey + id}, Write{Key: drainKey + id})
	}
	return writes, nil
}

// Writes implements Op.
func (op SetDeactivated) Writes() ([]Write, error) {
	if !op.Deactivated {
		return []Write{{Key: deactivatedKey + op.ID}, {Key: drainKey + op.ID}}, nil
	}
	return put(deactivatedKey+op.ID, record{})
}

// Writes implements Op.
func (op SetDrain) Writes() ([]Write, error) {
	info, err := proto.Marshal(op.Drain.Info)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	writes, err := put(drainKey+op.ID, record{Info: info, At: op.Drain.Since.UnixNano()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	deactivated, err := put(deactivatedKey+op.ID, record{})
	return append(writes, deactivated...), err
}

// Writes implements Op.
func (op SetWeights) Writes() ([]Write, error) {
	var writes []Write
	for _, role := range sortedKeys(op.Weights) {
		one, err := put(weightKey+escape(role), record{Weight: op.Weights[role]})
		if err != nil {
			return nil, fmt.Errorf("%s of role %s: %w", op, role, err)
		}
		writes = append(writes, one...)
	}
	return writes, nil
}

// Writes implements Op.
func (op SetQuotas) Writes() ([]Write, error) {
	var writes []Write
	for _, config := range op.Configs {
		key := quotaKey + escape(config.GetRole())
		if emptyQuota(config) {
			writes = append(writes, Write{Key: key})
			continue
		}
		one, err := putMessage(key, config)
		if err != nil {
			return nil, fmt.Errorf("%s of role %s: %w", op, config.GetRole(), err)
		}
		writes = append(writes, one...)
	}
	return writes, nil
}

// Writes implements Op.
func (op SetMaintenance) Writes() ([]Write, error) {
	writes := []Write{{Key: scheduleKey}}
	if op.Schedule != nil {
		one, err := putMessage(scheduleKey, op.Schedule)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		writes = one
	}
	for _, name := range sortedKeys(op.Machines) {
		key := machineKey + escape(name)
		machine := op.Machines[name]
		if machine.GetMode() == mesos.MachineInfo_UP {
			writes = append(writes, Write{Key: key})
			continue
		}
		one, err := putMessage(key, machine)
		if err != nil {
			return nil, fmt.Errorf("%s of machine %s: %w", op, name, err)
		}
		writes = append(writes, one...)
	}
	return writes, nil
}

// putMessage marks the value with a first byte, so that an empty message is no deletion.
func putMessage(key string, message proto.Message) ([]Write, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{'p'}, message)
	return []Write{{Key: key, Value: value}}, err
}

func takeMessage(value []byte, message proto.Message) error {
	if len(value) == 0 || value[0] != 'p' {
		return fmt.Errorf("value begins with %q, not with 'p'", value[:min(1, len(value))])
	}
	return proto.Unmarshal(value[1:], message)
}

// Decode makes Contents of what Store.Load gave. Keys of unknown folders are an error: a
// newer version wrote them, and this one must not lead without understanding them.
func Decode(pairs map[string][]byte) (*Contents, error) {
	c := NewContents()
	for _, key := range sortedKeys(pairs) {
		if err := c.decode(key, pairs[key]); err != nil {
			return nil, fmt.Errorf("decode registry key %s: %w", key, err)
		}
	}
	return c, nil
}

func (c *Contents) decode(key string, value []byte) error {
	if key == scheduleKey {
		c.Schedule = &maintenance.Schedule{}
		return takeMessage(value, c.Schedule)
	}
	cut := strings.LastIndexByte(key, '/') + 1
	folder, name := key[:cut], key[cut:]
	switch folder {
	case weightKey, quotaKey, machineKey:
		plain, err := unescape(name)
		if err != nil {
			return err
		}
		return c.decodeSetting(folder, plain, value)
	}
	return c.decodeAgent(folder, name, value)
}

func (c *Contents) decodeAgent(folder, id string, value []byte) error {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	switch folder {
	case admittedKey:
		info := &mesos.AgentInfo{}
		c.Admitted[id] = Admitted{Info: info, At: time.Unix(0, r.At)}
		return proto.Unmarshal(r.Info, info)
	case unreachableKey:
		c.Unreachable[id] = time.Unix(0, r.At)
	case goneKey:
		c.Gone[id] = time.Unix(0, r.At)
	case deactivatedKey:
		c.Deactivated[id] = true
	case drainKey:
		info := &mesos.DrainInfo{}
		c.Draining[id] = Drain{Info: info, Since: time.Unix(0, r.At)}
		return proto.Unmarshal(r.Info, info)
	default:
		return fmt.Errorf("no folder %s in this version", folder)
	}
	return nil
}

func (c *Contents) decodeSetting(folder, name string, value []byte) error {
	switch folder {
	case weightKey:
		var r record
		err := json.Unmarshal(value, &r)
		c.Weights[name] = r.Weight
		return err
	case quotaKey:
		config := &quota.QuotaConfig{}
		c.Quotas[name] = config
		return takeMessage(value, config)
	default:
		machine := &mesos.MachineInfo{}
		c.Machines[name] = machine
		return takeMessage(value, machine)
	}
}
