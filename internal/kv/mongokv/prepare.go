package mongokv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// format is the version of what this package writes.
const format = 1

// longestOrphan is how many seconds a transaction may live on whose node died:
// so long its accounts are blocked.
const longestOrphan = 10

// prepare checks the servers and makes what is missing.
func (s *Store) prepare(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.checkServers, s.checkFormat, s.makeCollection, s.checkLifetime} {
		if err := s.again(ctx, step); err != nil {
			return explained(err)
		}
	}
	return nil
}

// explained adds to an error that the driver gives when it finds no primary what
// to do: it tells the states of the servers in the words of its specification.
func explained(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "Type: RSGhost"):
		return fmt.Errorf("the replica set is empty: run rs.initiate() on one of its servers, once: %w", err)
	case strings.Contains(text, "ReplicaSetNoPrimary") && strings.Contains(text, "Type: RSSecondary"):
		return fmt.Errorf("the replica set has no primary: a majority of its servers must run and see each other: %w", err)
	}
	return err
}

// checkServers refuses a server that stands alone: it has no transactions.
func (s *Store) checkServers(ctx context.Context) error {
	var hello struct {
		SetName string `bson:"setName"`
		Msg     string `bson:"msg"`
	}
	if err := s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return err
	}
	if hello.SetName == "" && hello.Msg != "isdbgrid" {
		return fmt.Errorf("%w: the server stands alone and has no transactions; start it with --replSet NAME and run "+
			"rs.initiate() once, one member is enough", errLasting)
	}
	return nil
}

// checkFormat writes the format into a new database and refuses an unknown one.
func (s *Store) checkFormat(ctx context.Context) error {
	meta := s.kv.Database().Collection("meta")
	var found struct {
		Version int `bson:"version"`
	}
	err := meta.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "format"}},
		bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "version", Value: format}}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&found)
	switch {
	case err != nil:
		return err // a duplicate key where two nodes start on an empty database: it is tried again
	case found.Version != format:
		return fmt.Errorf("%w: database %s has format %d, this version reads format %d; "+
			"use the version that wrote it, or newer", ErrFormat, s.kv.Database().Name(), found.Version, format)
	}
	return nil
}

// makeCollection makes the collection, whose documents the server compresses.
func (s *Store) makeCollection(ctx context.Context) error {
	err := s.kv.Database().CreateCollection(ctx, s.kv.Name(), options.CreateCollection().SetStorageEngine(
		bson.D{{Key: "wiredTiger", Value: bson.D{{Key: "configString", Value: "block_compressor=zstd"}}}}))
	var cmd mongo.CommandError
	if errors.As(err, &cmd) && cmd.Code == codeNamespaceExists {
		return nil
	}
	return err
}

// checkLifetime says what to run where the transaction of a node that died would
// block its accounts for long. Not every user may ask: then nothing is said.
func (s *Store) checkLifetime(ctx context.Context) error {
	const name = "transactionLifetimeLimitSeconds"
	var p struct {
		Seconds int `bson:"transactionLifetimeLimitSeconds"`
	}
	err := s.client.Database("admin").RunCommand(ctx,
		bson.D{{Key: "getParameter", Value: 1}, {Key: name, Value: 1}}).Decode(&p)
	var cmd mongo.CommandError
	switch {
	case errors.As(err, &cmd) && !cmd.HasErrorLabel(labelTransient) && judge(ctx, err).kind == failed:
		s.log.Debug("store: the lifetime of transactions is not known", "error", cmd.Name)
		return nil
	case err != nil:
		return err
	case p.Seconds > longestOrphan:
		s.log.Warn("store: the transaction of a node that dies blocks its accounts for long; on each server run "+
			"db.adminCommand({setParameter: 1, "+name+": 5}), and put it into its configuration", "seconds", p.Seconds)
	}
	return nil
}
