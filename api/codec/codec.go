// Package codec owns the two encodings of every v1 message: protobuf, and JSON as Mesos reads
// and writes it (which is not the JSON of protobuf: names are snake_case only, 64-bit integers
// are numbers, enums are names, explicit defaults are written).
//
// It promises that equal messages give equal bytes, that a decoded message has its required
// fields, and that no input makes it panic, recurse past MaxDepth or hold more than a bounded
// multiple of the input. It refuses inputs longer than MaxSize and knows nothing of HTTP: its
// typed errors carry the text, the edge adds the prefix (see Describe).
package codec

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// MediaType names an encoding as HTTP's Content-Type and Accept do.
type MediaType string

// The media types of the v1 APIs.
const (
	JSON     MediaType = "application/json"
	Protobuf MediaType = "application/x-protobuf"
	RecordIO MediaType = "application/recordio"
)

const (
	// MaxDepth bounds how deeply objects, arrays and messages may be nested in an input.
	MaxDepth = 100
	// MaxSize bounds one decoded input, in bytes: a whole cluster's state fits.
	MaxSize = 1 << 30
	// MaxCallSize is what a server should accept as one call, in bytes.
	MaxCallSize = 16 << 20
)

type vtMarshaler interface{ MarshalVT() ([]byte, error) }

type vtUnmarshaler interface{ UnmarshalVT([]byte) error }

// Marshal encodes msg as mt. Only JSON and Protobuf are encodings of a message; any other media
// type is an UnsupportedError.
func Marshal(mt MediaType, msg proto.Message) ([]byte, error) {
	switch mt {
	case JSON:
		return AppendJSON(nil, msg)
	case Protobuf:
		if fast, ok := msg.(vtMarshaler); ok {
			return fast.MarshalVT()
		}
		return proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	}
	return nil, UnsupportedError{MediaType: mt}
}

// Unmarshal replaces the content of msg with what data says. Errors are a *SyntaxError,
// *ConversionError, *ProtobufError, *SizeError or UnsupportedError; after an error msg is in no
// defined state.
func Unmarshal(mt MediaType, data []byte, msg proto.Message) error {
	switch mt {
	case JSON:
		return UnmarshalJSON(data, msg)
	case Protobuf:
		return unmarshalProtobuf(data, msg)
	}
	return UnsupportedError{MediaType: mt}
}

func unmarshalProtobuf(data []byte, msg proto.Message) error {
	if len(data) > MaxSize {
		return &SizeError{Size: len(data)}
	}
	fast, ok := msg.(vtUnmarshaler)
	if !ok {
		if err := (proto.UnmarshalOptions{RecursionLimit: MaxDepth}).Unmarshal(data, msg); err != nil {
			return &ProtobufError{Cause: err}
		}
		return nil
	}
	// The generated decoder has no limit of depth, and ContainerID nests without end.
	if err := checkDepth(planOf(msg.ProtoReflect().Descriptor()), data, MaxDepth); err != nil {
		return &ProtobufError{Cause: err}
	}
	proto.Reset(msg)
	if err := fast.UnmarshalVT(data); err != nil {
		return &ProtobufError{Cause: err}
	}
	if err := proto.CheckInitialized(msg); err != nil {
		return &ProtobufError{Cause: err}
	}
	return nil
}

// UnsupportedError says that a media type is not an encoding of a message.
type UnsupportedError struct{ MediaType MediaType }

func (e UnsupportedError) Error() string {
	return fmt.Sprintf("%q is not an encoding of a message", string(e.MediaType))
}
