//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// result is what a case has shown: one sample of each server for every round.
type result struct {
	kase
	plain, ours []sample
	others      []sample // of the other server, where there is one
	figure      figure   // of a case of memory
	allocs      [2]allocations

	// of uploads, and the memory of pages
	mb                  int
	plainPeak, oursPeak int64
}

// measure runs one case. Two processes of the same program differ by some per
// cent for as long as they live, so every few rounds are on two new servers.
func (b *bench) measure(ctx context.Context, c kase) (result, error) {
	r := result{kase: c}
	if c.memory != nil {
		var err error
		r.figure, err = c.memory(ctx, b)
		return r, err
	}
	restarts := b.restarts
	if c.upload || b.profile != "" {
		restarts = 1
	}
	for i := range restarts {
		rounds := b.rounds / restarts
		if i < b.rounds%restarts {
			rounds++
		}
		if err := b.generation(ctx, &r, rounds, i%2 == 1); err != nil {
			return r, err
		}
	}
	return r, nil
}

// generation measures some rounds on two new servers.
func (b *bench) generation(ctx context.Context, r *result, rounds int, oursFirst bool) error {
	servers := make(map[string]*server)
	names := []string{"plain", "captcha"}
	if oursFirst {
		slices.Reverse(names)
	}
	for _, name := range names {
		s, err := b.start(ctx, name, name == "captcha" && !r.control)
		if err != nil {
			return err
		}
		defer s.stop() //nolint:gocritic // both, when both are measured
		servers[name] = s
	}
	plain, ours := servers["plain"], servers["captcha"]
	if r.upload {
		return errors.Join(b.measureUploads(ctx, r, plain, ours), logged(plain, ours))
	}
	p, o, err := r.prepare(ctx, b, rounds, plain, ours)
	if err != nil {
		return errors.Join(err, logged(plain, ours))
	}
	defer p.close()
	defer o.close()
	if b.profile != "" {
		return errors.Join(b.profileCase(ctx, r, p, o), logged(plain, ours))
	}
	lanes := []lane{{p, &r.plain}, {o, &r.ours}}
	if r.other != nil {
		l, err := b.otherLoad(r.kase)
		if err != nil {
			return err
		}
		defer l.close()
		lanes = append(lanes, lane{l, &r.others})
	}
	err = b.alternate(ctx, rounds, lanes)
	if r.page && err == nil {
		err = r.remember(plain, ours)
	}
	return errors.Join(err, logged(plain, ours))
}

// remember keeps the most memory that the servers have had.
func (r *result) remember(plain, ours *server) error {
	for s, most := range map[*server]*int64{plain: &r.plainPeak, ours: &r.oursPeak} {
		peak, err := s.peak()
		if err != nil {
			return err
		}
		*most = max(*most, peak)
	}
	return nil
}

// lane is a load, and where its samples go.
type lane struct {
	*load
	samples *[]sample
}

// alternate measures the servers in turn, in every other round from the last
// one to the first. The first slices on each are for getting warm: the heap of a new
// process is small, and so are the tables of what it remembers.
func (b *bench) alternate(ctx context.Context, rounds int, lanes []lane) error {
	for round := -b.warm; round < rounds; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, l := range lanes {
			s, err := l.slice(b.slice)
			if err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond) // let what has begun end
			if round >= 0 {
				*l.samples = append(*l.samples, s)
			}
		}
		slices.Reverse(lanes)
	}
	return nil
}

// logged returns what the servers have complained about.
func logged(servers ...*server) error {
	var errs []error
	for _, s := range servers {
		s.stop() // nothing writes the log any more
		if s.log.Len() > 0 {
			errs = append(errs, errors.New(s.log.String()))
		}
	}
	return errors.Join(errs...)
}
