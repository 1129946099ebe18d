package redisbus

import "time"

// Patient returns o with another time for Redis to answer, so that a test of
// what Redis counts is not one of how busy the machine is.
func (o Options) Patient(d time.Duration) Options {
	o.patience = d
	return o
}
