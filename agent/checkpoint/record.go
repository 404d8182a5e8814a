package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
)

// A stream file is a list of records: length of the body (4 bytes, little endian), its
// CRC-32, the body. The body is a kind and what it carries.
const (
	recordHead         = 8
	recordUpdate       = 'U' // a TaskStatus
	recordAcknowledged = 'A' // a uuid
	recordCompleted    = 'C' // a Task
	maxRecord          = 16 << 20
)

// errTorn is the end of a file that a dying process left.
var errTorn = errors.New("half a record")

func (s *Store) appendRecord(run core.Run, task core.TaskID, kind byte, body []byte) error {
	path := filepath.Join(s.paths.task(s.agent, run, task), fileUpdates)
	if err := s.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	return s.fs.AppendFile(path, encodeRecord(kind, body))
}

func encodeRecord(kind byte, body []byte) []byte {
	out := make([]byte, recordHead, recordHead+1+len(body))
	out = append(append(out, kind), body...)
	binary.LittleEndian.PutUint32(out, uint32(len(body)+1))
	binary.LittleEndian.PutUint32(out[4:], crc32.ChecksumIEEE(out[recordHead:]))
	return out
}

// decodeRecords reads a stream file, as eachRecord does.
func decodeRecords(data []byte) (updates []core.UpdateState, good int, err error) {
	good, err = eachRecord(data, func(body []byte) (err error) {
		updates, err = applyRecord(updates, body)
		return err
	})
	return updates, good, err
}

// eachRecord visits the bodies of records. good is the length of what could be read; err is
// errTorn when only the end is missing.
func eachRecord(data []byte, visit func(body []byte) error) (good int, err error) {
	for good < len(data) {
		rest := data[good:]
		if len(rest) < recordHead {
			return good, errTorn
		}
		size := int(binary.LittleEndian.Uint32(rest))
		if size > maxRecord || size == 0 {
			return good, fmt.Errorf("record at byte %d has the length %d", good, size)
		}
		if len(rest) < recordHead+size {
			return good, errTorn
		}
		body := rest[recordHead : recordHead+size]
		if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(rest[4:]) {
			return good, fmt.Errorf("record at byte %d has a wrong checksum", good)
		}
		if err := visit(body); err != nil {
			return good, fmt.Errorf("record at byte %d: %w", good, err)
		}
		good += recordHead + size
	}
	return good, nil
}

func applyRecord(updates []core.UpdateState, body []byte) ([]core.UpdateState, error) {
	switch body[0] {
	case recordUpdate:
		status := &mesos.TaskStatus{}
		if err := proto.Unmarshal(body[1:], status); err != nil {
			return updates, err
		}
		return append(updates, core.UpdateState{Status: status}), nil
	case recordAcknowledged:
		for i := range updates {
			if string(updates[i].Status.GetUuid()) == string(body[1:]) {
				updates[i].Acknowledged = true
			}
		}
		return updates, nil
	}
	return updates, fmt.Errorf("unknown kind %q", body[0])
}
