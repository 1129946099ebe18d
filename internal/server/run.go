package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// task is one thing that runs until its context ends: a listener or a loop.
type task struct {
	name string
	run  func(context.Context) error
	// late tasks end after all others: what tells people and load balancers
	// how the server is, while transactions still finish.
	late bool
}

// Run serves until ctx ends, drains, and closes the store. A part that fails
// ends the others.
//
// The end has three steps, so that a load balancer sends nobody to a door that
// is being closed: first /readyz turns and everything is still served for the
// drain delay; then mail listeners close and transactions finish; then the web
// server and what answers health checks.
func (s *Server) Run(ctx context.Context) error {
	early, endEarly := context.WithCancel(context.WithoutCancel(ctx))
	defer endEarly()
	late, endLate := context.WithCancel(context.WithoutCancel(ctx))
	defer endLate()
	first, rest := s.launch(early, false), s.launch(late, true)
	err := s.serving()
	// Memory that only starting needed goes back to the system.
	debug.FreeOSMemory()
	if err == nil {
		select {
		case <-ctx.Done():
			err = s.retreat(first, rest)
		case e := <-first.errs:
			first.left--
			err = e
		case e := <-rest.errs:
			rest.left--
			err = e
		}
	}
	s.drain()
	endEarly()
	err = errors.Join(err, first.wait())
	endLate()
	return errors.Join(err, rest.wait(), s.Close())
}

// group is tasks that run.
type group struct {
	errs chan error
	left int
}

// launch starts the tasks of one kind.
func (s *Server) launch(ctx context.Context, late bool) *group {
	g := &group{errs: make(chan error, len(s.tasks))}
	for _, t := range s.tasks {
		if t.late != late {
			continue
		}
		g.left++
		go func() {
			err := t.run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", t.name, err)
			} else if ctx.Err() == nil {
				err = fmt.Errorf("%s ended by itself", t.name)
			}
			g.errs <- err
		}()
	}
	return g
}

func (g *group) wait() error {
	var err error
	for ; g.left > 0; g.left-- {
		err = errors.Join(err, <-g.errs)
	}
	return err
}

// retreat says that the server is not ready, and waits until load balancers
// have seen it.
func (s *Server) retreat(first, rest *group) error {
	s.health.set(false)
	delay := s.o.Config.DrainDelay.Std()
	if delay <= 0 {
		return nil
	}
	s.o.Log.Info("stopping: /readyz turns away new clients first", "for", delay.String())
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-first.errs:
		first.left--
		return err
	case err := <-rest.errs:
		rest.left--
		return err
	}
}
