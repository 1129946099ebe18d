// Package policy answers what protocols ask: accept, refuse, route, limit.
package policy
