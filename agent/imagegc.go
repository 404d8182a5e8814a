package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// ImageGC says when unused images are removed. Mesos flag --image_gc_config.
type ImageGC struct {
	// Headroom is the part of the store's disk that is to be free, 0 to 1.
	Headroom float64
	Interval time.Duration
	// Excluded are names of images that stay.
	Excluded []string
}

// ImageGC reads --image_gc_config: JSON, or the file that holds it. Nil means that images
// are removed by PRUNE_IMAGES only.
func (c *Config) ImageGC() (*ImageGC, error) {
	text := []byte(strings.TrimSpace(c.ImageGCConfig))
	if len(text) == 0 {
		return nil, nil
	}
	if text[0] != '{' {
		var err error
		if text, err = os.ReadFile(strings.TrimPrefix(string(text), "file://")); err != nil {
			return nil, fmt.Errorf("--image_gc_config: %w", err)
		}
	}
	file := struct {
		Headroom float64 `json:"image_disk_headroom"`
		Interval struct {
			Nanoseconds int64 `json:"nanoseconds"`
		} `json:"image_disk_watch_interval"`
		Excluded []excludedImage `json:"excluded_images"`
	}{Headroom: 0.1}
	file.Interval.Nanoseconds = int64(time.Hour)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("--image_gc_config: %w", err)
	}
	out := &ImageGC{Headroom: file.Headroom, Interval: time.Duration(file.Interval.Nanoseconds)}
	if out.Headroom < 0 || out.Headroom > 1 || out.Interval <= 0 {
		return nil, fmt.Errorf("--image_gc_config: image_disk_headroom is %v and image_disk_watch_interval %s: give a part from 0 to 1, and a positive time", out.Headroom, out.Interval)
	}
	for _, image := range file.Excluded {
		out.Excluded = append(out.Excluded, string(image))
	}
	return out, nil
}

// excludedImage is a name, or an Image message with one.
type excludedImage string

// UnmarshalJSON implements json.Unmarshaler.
func (e *excludedImage) UnmarshalJSON(data []byte) error {
	var image struct {
		Docker struct {
			Name string `json:"name"`
		} `json:"docker"`
	}
	if json.Unmarshal(data, (*string)(e)) != nil {
		if err := json.Unmarshal(data, &image); err != nil {
			return err
		}
		*e = excludedImage(image.Docker.Name)
	}
	if *e == "" {
		return fmt.Errorf("excluded image %.100s has no docker name", data)
	}
	return nil
}
