//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// measureUploads sends large files, whose token comes first.
func (b *bench) measureUploads(ctx context.Context, r *result, plain, ours *server) error {
	r.mb = b.uploadMB
	for round := -1; round < b.uploads; round++ {
		size := b.uploadMB
		if round < 0 {
			size = 64 // to get warm
		}
		for i, s := range []*server{plain, ours} {
			if err := ctx.Err(); err != nil {
				return err
			}
			t, err := token(ctx, ours.base(ours.proxy))
			if err != nil {
				return err
			}
			got, err := upload(s, t, size)
			switch {
			case err != nil:
				return err
			case round < 0:
			case i == 0:
				r.plain = append(r.plain, got)
			default:
				r.ours = append(r.ours, got)
			}
		}
	}
	var err error
	if r.plainPeak, err = plain.peak(); err != nil {
		return err
	}
	r.oursPeak, err = ours.peak()
	return err
}

// upload sends one multipart form with a file of some megabytes. In its
// sample, a request is a megabyte.
func upload(s *server, token string, mb int) (sample, error) {
	head := fmt.Sprintf("--%s\r\nContent-Disposition: form-data; name=\"altcha\"\r\n\r\n%s\r\n"+
		"--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"film.mp4\"\r\nContent-Type: video/mp4\r\n\r\n", boundary, token, boundary)
	tail := "\r\n--" + boundary + "--\r\n"
	c, err := dial(s.proxy)
	if err != nil {
		return sample{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	header := fmt.Sprintf("POST /form HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n",
		s.proxy, boundary, len(head)+mb<<20+len(tail))
	if _, err := c.Write([]byte(header + head)); err != nil {
		return sample{}, err
	}
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	for range mb {
		if _, err := c.Write(chunk); err != nil {
			return sample{}, err
		}
	}
	if _, err := c.Write([]byte(tail)); err != nil {
		return sample{}, err
	}
	status, err := c.answer()
	if err != nil {
		return sample{}, fmt.Errorf("upload: %w", err)
	}
	if status != 200 {
		return sample{}, fmt.Errorf("upload: status %d", status)
	}
	took := time.Since(begin)
	after, err := s.cpu()
	return sample{requests: mb, took: took, cpu: after - before, latencies: []time.Duration{took}}, err
}
