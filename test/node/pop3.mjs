// node-pop3: list, read, delete; then connect again and look.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import Pop3Command from 'node-pop3';

const e = process.env;
const options = { host: e.T_HOST, port: Number(e.T_POP3_PORT), user: e.T_USER, password: e.T_PASS };
let c = new Pop3Command(options);
const list = await c.UIDL();
assert.equal(list.length, 3);
for (const [n] of list) {
  const text = await c.RETR(n);
  // This client leaves the byte-stuffing of RFC 1939 §3 to its caller.
  const plain = text.replace(/\r\n\.\./g, '\r\n.');
  writeFileSync(`${e.T_OUT}/${n}`, plain.endsWith('\r\n') ? plain : plain + '\r\n');
}
await c.command('DELE', 2);
await c.QUIT();
c = new Pop3Command(options);
const after = await c.UIDL();
assert.deepEqual(after.map((r) => r[1]), [list[0][1], list[2][1]]);
await c.QUIT();
console.log('node-pop3 ok');
