// Package secret keeps key rings in the store: each key with the time it was published, may sign from, and verifies until.
package secret
