// imapflow: list, read, flag, move, delete, idle; then connect again and look.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';

const e = process.env;
const connect = async () => {
  const c = new ImapFlow({
    host: e.T_HOST,
    port: Number(e.T_IMAP_PORT),
    secure: false,
    auth: { user: e.T_USER, pass: e.T_PASS },
    logger: false,
  });
  await c.connect();
  return c;
};

let c = await connect();
const names = (await c.list()).map((m) => m.path);
assert(names.includes('INBOX'), names.join());
let lock = await c.getMailboxLock('INBOX');
const uids = [];
for await (const m of c.fetch('1:*', { uid: true, source: true, envelope: true, bodyStructure: true, flags: true })) {
  uids.push(m.uid);
  assert(m.envelope.subject.startsWith('letter '), m.envelope.subject);
  assert.equal(m.bodyStructure.type, 'multipart/mixed');
  assert.equal(m.bodyStructure.childNodes.length, 2);
  writeFileSync(`${e.T_OUT}/${m.uid}`, m.source);
}
assert(await c.messageFlagsAdd({ uid: String(uids[0]) }, ['\\Flagged', 'custom']));
await c.mailboxCreate('Kept');
const moved = await c.messageMove({ uid: String(uids[1]) }, 'Kept');
assert.equal(moved.uidMap.size, 1);
const exists = new Promise((resolve) => c.once('exists', resolve));
const idling = c.idle();
const other = await connect();
await other.append('INBOX', 'Subject: letter appended\r\n\r\nhello\r\n', ['\\Seen']);
const ev = await exists;
assert.equal(ev.count, 3);
await other.logout();
assert(await c.messageDelete({ uid: String(uids[2]) })); // ends the IDLE
await idling;
lock.release();
await c.logout();

c = await connect();
lock = await c.getMailboxLock('INBOX');
assert.deepEqual(await c.search({ flagged: true }, { uid: true }), [uids[0]]);
assert.deepEqual(await c.search({ keyword: 'custom' }, { uid: true }), [uids[0]]);
assert.equal((await c.search({ all: true })).length, 2);
lock.release();
assert.equal((await c.status('Kept', { messages: true })).messages, 1);
await c.logout();
console.log('imapflow ok');
