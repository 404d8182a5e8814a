package codec

import (
	"errors"
	"fmt"
)

// SyntaxError says that an input is not JSON. Its text is the one of Mesos's parser.
type SyntaxError struct {
	Line int
	Near string
	// Trailing is set when a whole value was read and more follows it.
	Trailing bool
}

func (e *SyntaxError) Error() string {
	if e.Trailing {
		return "Parsed JSON included non-whitespace trailing characters: " + e.Near
	}
	return fmt.Sprintf("syntax error at line %d near: %s", e.Line, e.Near)
}

// ConversionError says that an input is JSON, but not of the shape of the message.
type ConversionError struct{ Text string }

func (e *ConversionError) Error() string { return e.Text }

// ProtobufError says that an input is not the protobuf encoding of the message, or lacks
// required fields.
type ProtobufError struct{ Cause error }

func (e *ProtobufError) Error() string { return "decode protobuf: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *ProtobufError) Unwrap() error { return e.Cause }

// SizeError says that an input is longer than MaxSize.
type SizeError struct{ Size int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("input of %d bytes is longer than %d", e.Size, MaxSize)
}

// Describe gives an error of Unmarshal the words that Mesos puts into a 400 answer; what is the
// message's short name, as "Call".
func Describe(what string, err error) string {
	var syntax *SyntaxError
	var conversion *ConversionError
	var wire *ProtobufError
	switch {
	case errors.As(err, &syntax):
		return "Failed to parse body into JSON: " + syntax.Error()
	case errors.As(err, &conversion):
		return "Failed to convert JSON into " + what + " protobuf: " + conversion.Error()
	case errors.As(err, &wire):
		return "Failed to parse body into " + what + " protobuf"
	}
	return "Failed to parse body: " + err.Error()
}
