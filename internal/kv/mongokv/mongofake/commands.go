package mongofake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxReply is where a server ends a batch of documents.
const maxReply = 16 << 20

var errConflict = errors.New("write conflict")

// failure is an error reply.
type failure struct {
	code   int32
	name   string
	labels []string
}

func (f failure) Error() string { return f.name }

func (f failure) reply() bson.D {
	d := bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: f.code}, {Key: "codeName", Value: f.name},
		{Key: "errmsg", Value: f.name}}
	if len(f.labels) > 0 {
		d = append(d, bson.E{Key: "errorLabels", Value: f.labels})
	}
	return d
}

const transient = "TransientTransactionError"

var (
	errNoTransaction = failure{251, "NoSuchTransaction", []string{transient}}
	errWriteConflict = failure{112, "WriteConflict", []string{transient}}
	errNotFound      = failure{59, "CommandNotFound", nil}
)

// session is a logical session: its transaction, and the last retryable write.
type session struct {
	txn     *txn
	written int64
	reply   bson.D
}

// cursor is the rest of a find.
type cursor struct {
	ns   string
	docs []bson.D
}

// call is one command being run.
type call struct {
	m     *member
	s     *Set
	cmd   bson.D
	name  string
	inTxn bool
	sess  *session
}

// run answers one command. drop means: the connection breaks.
func (m *member) run(cmd bson.D) (reply bson.D, drop bool) {
	if len(cmd) == 0 {
		return nil, true
	}
	c := &call{m: m, s: m.set, cmd: cmd, name: cmd[0].Key}
	c.inTxn = field(cmd, "autocommit") != nil
	fault := None
	m.set.mu.Lock()
	if m.set.fault != nil {
		fault = m.set.fault(c.name, c.inTxn)
	}
	m.set.mu.Unlock()
	switch fault {
	case DropBefore:
		return nil, true
	case Conflict:
		m.set.mu.Lock()
		defer m.set.mu.Unlock()
		if c.session(); c.sess != nil && c.sess.txn != nil {
			m.set.end(c.sess.txn, aborted)
		}
		return errWriteConflict.reply(), false
	}
	return c.answer(), fault == DropAfter
}

// answer runs the command; a single statement waits for transactions in its way.
func (c *call) answer() bson.D {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		c.s.mu.Lock()
		reply, err := c.locked()
		c.s.mu.Unlock()
		var f failure
		switch {
		case err == nil:
			return append(reply, bson.E{Key: "ok", Value: 1.0})
		case errors.Is(err, errConflict) && time.Since(start) < 5*time.Second:
		case errors.As(err, &f):
			return f.reply()
		default:
			return failure{50, "MaxTimeMSExpired", nil}.reply()
		}
	}
}

// session finds the session that the command names.
func (c *call) session() {
	lsid, ok := field(c.cmd, "lsid").(bson.D)
	if !ok {
		return
	}
	id, _ := field(lsid, "id").(bson.Binary)
	if c.sess = c.s.sessions[string(id.Data)]; c.sess == nil {
		c.sess = &session{written: -1}
		c.s.sessions[string(id.Data)] = c.sess
	}
}

func (c *call) locked() (bson.D, error) {
	switch c.name {
	case "hello", "isMaster", "ismaster":
		return c.hello(), nil
	case "ping", "endSessions", "killCursors":
		return bson.D{}, nil
	}
	if c.m != c.s.primary {
		return nil, c.notPrimary()
	}
	c.session()
	switch c.name {
	case "commitTransaction", "abortTransaction":
		return bson.D{}, c.finish()
	case "dbStats":
		return c.s.stats(), nil
	case "getParameter":
		return bson.D{{Key: "transactionLifetimeLimitSeconds", Value: int32(c.s.Lifetime / time.Second)}}, nil
	}
	t, err := c.transaction()
	if err != nil {
		return nil, err
	}
	if c.inTxn {
		reply, err := c.statement(t)
		if err != nil {
			c.s.end(t, aborted)
		}
		if errors.Is(err, errConflict) {
			err = errWriteConflict
		}
		return reply, err
	}
	number, retryable := field(c.cmd, "txnNumber").(int64)
	if retryable && c.sess != nil && c.sess.written == number {
		return append(bson.D(nil), c.sess.reply...), nil
	}
	reply, err := c.statement(t)
	if err != nil {
		c.s.end(t, aborted)
		return nil, err
	}
	c.s.end(t, committed)
	if retryable && c.sess != nil {
		c.sess.written, c.sess.reply = number, append(bson.D(nil), reply...)
	}
	return reply, nil
}

func (c *call) notPrimary() failure {
	f := failure{10107, "NotWritablePrimary", nil}
	if c.inTxn && c.name != "commitTransaction" {
		f.labels = append(f.labels, transient)
	}
	if field(c.cmd, "txnNumber") != nil {
		f.labels = append(f.labels, "RetryableWriteError")
	}
	return f
}

// hello says who leads.
func (c *call) hello() bson.D {
	primary := c.m == c.s.primary
	d := bson.D{{Key: "helloOk", Value: true},
		{Key: "ismaster", Value: primary}, {Key: "isWritablePrimary", Value: primary},
		{Key: "maxBsonObjectSize", Value: int32(16 << 20)}, {Key: "maxMessageSizeBytes", Value: int32(maxMessage)},
		{Key: "maxWriteBatchSize", Value: int32(100_000)}, {Key: "localTime", Value: time.Now()},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(30)}, {Key: "connectionId", Value: int32(1)},
		{Key: "minWireVersion", Value: int32(0)}, {Key: "maxWireVersion", Value: int32(9)}, {Key: "readOnly", Value: false}}
	switch {
	case c.s.Alone:
		return d
	case c.s.Empty:
		d = with(with(d, bson.E{Key: "ismaster", Value: false}), bson.E{Key: "isWritablePrimary", Value: false})
		return append(d, bson.E{Key: "secondary", Value: false}, bson.E{Key: "isreplicaset", Value: true},
			bson.E{Key: "info", Value: "Does not have a valid replica set config"})
	}
	var election bson.ObjectID
	binary.BigEndian.PutUint64(election[4:], uint64(c.s.term))
	hosts := bson.A{}
	for _, m := range c.s.members {
		hosts = append(hosts, m.addr)
	}
	d = append(d, bson.E{Key: "setName", Value: c.s.Name}, bson.E{Key: "setVersion", Value: int32(1)},
		bson.E{Key: "hosts", Value: hosts}, bson.E{Key: "me", Value: c.m.addr}, bson.E{Key: "secondary", Value: !primary})
	if primary {
		d = append(d, bson.E{Key: "electionId", Value: election})
	}
	if c.s.primary != nil {
		d = append(d, bson.E{Key: "primary", Value: c.s.primary.addr})
	}
	return d
}

// transaction is that of the command: the session's, or one for it alone.
func (c *call) transaction() (*txn, error) {
	if !c.inTxn {
		return c.s.begin(), nil
	}
	number, _ := field(c.cmd, "txnNumber").(int64)
	if start, _ := field(c.cmd, "startTransaction").(bool); start {
		if old := c.sess.txn; old != nil {
			c.s.end(old, aborted)
		}
		c.sess.txn = c.s.begin()
		c.sess.txn.session, c.sess.txn.number = c.sess, number
	}
	t := c.sess.txn
	if t != nil && t.state == running && time.Since(t.started) > c.s.Lifetime {
		c.s.end(t, aborted)
	}
	if t == nil || t.number != number || t.state != running {
		return nil, errNoTransaction
	}
	return t, nil
}

// finish commits or aborts; a commit may be asked for again.
func (c *call) finish() error {
	number, _ := field(c.cmd, "txnNumber").(int64)
	if c.sess == nil || c.sess.txn == nil || c.sess.txn.number != number {
		return errNoTransaction
	}
	t := c.sess.txn
	if c.name == "commitTransaction" {
		if t.state == running && time.Since(t.started) > c.s.Lifetime {
			c.s.end(t, aborted)
		}
		if t.state == aborted {
			return errNoTransaction
		}
		c.s.end(t, committed)
		return nil
	}
	if t.state != running {
		return errNoTransaction
	}
	c.s.end(t, aborted)
	return nil
}

func (c *call) ns() string {
	db, _ := field(c.cmd, "$db").(string)
	coll, _ := c.cmd[0].Value.(string)
	return db + "." + coll
}

func (c *call) space() *space {
	sp := c.s.spaces[c.ns()]
	if sp == nil {
		sp = newSpace()
		c.s.spaces[c.ns()] = sp
	}
	return sp
}

func (c *call) statement(t *txn) (bson.D, error) {
	switch c.name {
	case "create":
		if c.s.spaces[c.ns()] != nil {
			return nil, failure{48, "NamespaceExists", nil}
		}
		c.space()
		return bson.D{}, nil
	case "find":
		return c.find(t), nil
	case "getMore":
		return c.more()
	case "insert":
		return c.insert(t)
	case "update":
		return c.update(t)
	case "delete":
		return c.remove(t)
	case "findAndModify":
		return c.findAndModify(t)
	}
	return nil, errNotFound
}

func documents(v any) []bson.D {
	a, _ := v.(bson.A)
	out := make([]bson.D, len(a))
	for i := range a {
		out[i], _ = a[i].(bson.D)
	}
	return out
}

func (c *call) number(name string) int64 {
	switch n := field(c.cmd, name).(type) {
	case int32:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

func (c *call) find(t *txn) bson.D {
	q, _ := field(c.cmd, "filter").(bson.D)
	sort, _ := field(c.cmd, "sort").(bson.D)
	projection, _ := field(c.cmd, "projection").(bson.D)
	reverse := len(sort) > 0 && fmt.Sprint(sort[0].Value) == "-1"
	limit := c.number("limit")
	var docs []bson.D
	c.space().each(t, parseFilter(q), reverse, func(_ *entry, d bson.D) bool {
		if projection != nil {
			var cut bson.D
			for _, e := range d {
				if field(projection, e.Key) != nil {
					cut = append(cut, e)
				}
			}
			d = cut
		}
		docs = append(docs, d)
		return int64(len(docs)) != limit
	})
	batch := c.number("batchSize")
	if batch == 0 {
		batch = 101
	}
	return c.batch("firstBatch", 0, &cursor{c.ns(), docs}, batch)
}

// batch takes documents off a cursor, and keeps the cursor if there is a rest.
func (c *call) batch(name string, id int64, cur *cursor, most int64) bson.D {
	out, size := bson.A{}, 0
	for len(cur.docs) > 0 && int64(len(out)) < most {
		b, _ := bson.Marshal(cur.docs[0])
		if size += len(b); size > maxReply && len(out) > 0 {
			break
		}
		out, cur.docs = append(out, cur.docs[0]), cur.docs[1:]
	}
	delete(c.s.cursors, id)
	if id = 0; len(cur.docs) > 0 {
		c.s.nextCur++
		id = c.s.nextCur
		c.s.cursors[id] = cur
	}
	answer := bson.D{{Key: "id", Value: id}, {Key: "ns", Value: cur.ns}, {Key: name, Value: out}}
	return bson.D{{Key: "cursor", Value: answer}}
}

func (c *call) more() (bson.D, error) {
	id, _ := c.cmd[0].Value.(int64)
	cur := c.s.cursors[id]
	if cur == nil {
		return nil, failure{43, "CursorNotFound", nil}
	}
	batch := c.number("batchSize")
	if batch == 0 {
		batch = 1 << 20
	}
	return c.batch("nextBatch", id, cur, batch), nil
}

func writeError(i int) bson.D {
	return bson.D{{Key: "n", Value: int32(i)}, {Key: "writeErrors", Value: bson.A{bson.D{{Key: "index", Value: int32(i)},
		{Key: "code", Value: int32(11000)}, {Key: "errmsg", Value: "E11000 duplicate key error"}}}}}
}

func (c *call) insert(t *txn) (bson.D, error) {
	docs := documents(field(c.cmd, "documents"))
	for i, d := range docs {
		e := c.space().entry(field(d, "_id").(string), true)
		if t.see(e) != nil {
			if c.inTxn {
				c.s.end(t, aborted)
			}
			return writeError(i), nil
		}
		if err := c.s.write(t, e, d); err != nil {
			return nil, err
		}
	}
	return bson.D{{Key: "n", Value: int32(len(docs))}}, nil
}

// upsert changes the documents of a filter, or makes the one it names.
func (c *call) upsert(t *txn, q, u bson.D, upsert bool) (before, after bson.D, made bool, err error) {
	f := parseFilter(q)
	found := false
	c.space().each(t, f, false, func(e *entry, d bson.D) bool {
		found = true
		before, after = d, change(d, e.id, u)
		err = c.s.write(t, e, after)
		return false
	})
	if found || !upsert || err != nil {
		return before, after, false, err
	}
	e := c.space().entry(f.ids[0], true)
	after = change(nil, e.id, u)
	return nil, after, true, c.s.write(t, e, after)
}

func (c *call) update(t *txn) (bson.D, error) {
	n, upserted := 0, bson.A{}
	for i, up := range documents(field(c.cmd, "updates")) {
		q, _ := field(up, "q").(bson.D)
		u, _ := field(up, "u").(bson.D)
		may, _ := field(up, "upsert").(bool)
		before, _, made, err := c.upsert(t, q, u, may)
		if err != nil {
			return nil, err
		}
		if made {
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: parseFilter(q).ids[0]}})
		}
		if made || before != nil {
			n++
		}
	}
	d := bson.D{{Key: "n", Value: int32(n)}, {Key: "nModified", Value: int32(n - len(upserted))}}
	if len(upserted) > 0 {
		d = append(d, bson.E{Key: "upserted", Value: upserted})
	}
	return d, nil
}

func (c *call) findAndModify(t *txn) (bson.D, error) {
	q, _ := field(c.cmd, "query").(bson.D)
	u, _ := field(c.cmd, "update").(bson.D)
	may, _ := field(c.cmd, "upsert").(bool)
	before, after, _, err := c.upsert(t, q, u, may)
	if err != nil {
		return nil, err
	}
	var value any
	if fresh, _ := field(c.cmd, "new").(bool); fresh && after != nil {
		value = after
	} else if !fresh && before != nil {
		value = before
	}
	return bson.D{{Key: "value", Value: value}}, nil
}

func (c *call) remove(t *txn) (bson.D, error) {
	n := 0
	for _, del := range documents(field(c.cmd, "deletes")) {
		q, _ := field(del, "q").(bson.D)
		one := fmt.Sprint(field(del, "limit")) == "1"
		var err error
		c.space().each(t, parseFilter(q), false, func(e *entry, _ bson.D) bool {
			err = c.s.write(t, e, nil)
			n++
			return !one && err == nil
		})
		if err != nil {
			return nil, err
		}
	}
	return bson.D{{Key: "n", Value: int32(n)}}, nil
}
