// Package deploy holds the tests of deploy/: every file there is checked by
// the program that reads it, and those that can run here run.
package deploy
