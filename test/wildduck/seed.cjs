// seed makes an account with the mail that WildDuck's tests expect: in INBOX
// UIDs 101 to 106 and the next one 1000, and "[Gmail]/Sent Mail" as \Sent.
'use strict';
const { readFileSync } = require('node:fs');
const net = require('node:net');

exports.seed = async function (fixtures) {
  const answer = await fetch(`${process.env.ETHEREAL_API}/user`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"requestor":"test","version":"1"}',
  });
  const account = await answer.json();
  const c = new Connection(process.env.T_HOST, Number(process.env.T_IMAP_PORT));
  await c.run(`LOGIN ${account.user} ${account.pass}`);
  await c.run('SELECT INBOX');
  await c.run(`APPEND INBOX (\\Deleted) {4+}\r\nx: y`);
  await pad(c, 1, 100);
  const crlf = (s) => s.replace(/\r?\n/g, '\r\n');
  const file = (n) => crlf(readFileSync(`${fixtures}/fix${n}.eml`, 'latin1'));
  const small = (n) => crlf(`from: sender@example.com\nto: receiver@example.com\nsubject: test${n}\n\nhello ${n}\n`);
  const mail = [
    ['() "14-Sep-2013 21:22:28 -0300"', file(1)],
    ['(\\Seen)', file(2)],
    ['(\\Seen)', file(3)],
    ['()', file(4)],
    ['()', small(5)],
    ['()', small(6)],
  ];
  for (const [how, text] of mail) await c.run(`APPEND INBOX ${how} {${text.length}+}\r\n${text}`);
  await pad(c, 106, 999);
  await c.run('EXPUNGE');
  await c.run('CREATE "[Gmail]"');
  await c.run('RENAME Sent "[Gmail]/Sent Mail"');
  await c.run('UNSUBSCRIBE Sent');
  await c.run('SUBSCRIBE "[Gmail]/Sent Mail"');
  await c.run('LOGOUT');
  return account;
};

// pad uses up UIDs: it copies the deleted first message until the last UID is reached.
async function pad(c, from, to) {
  const step = 99;
  for (let at = from; at < to; ) {
    const n = Math.min(at < 100 ? at : step, to - at);
    await c.run(`UID COPY 1:${n} INBOX`);
    at += n;
  }
}

class Connection {
  constructor(host, port) {
    this.socket = net.connect(port, host);
    this.text = '';
    this.socket.setEncoding('latin1');
    this.socket.on('data', (d) => {
      this.text += d;
      this.look();
    });
    this.socket.on('error', (err) => this.fail?.(err));
    this.tags = 0;
  }

  run(command) {
    const tag = `s${++this.tags}`;
    this.text = '';
    return new Promise((ok, fail) => {
      this.fail = fail;
      this.look = () => {
        const m = new RegExp(`^${tag} (\\w+)[^\\n]*\\n`, 'm').exec(this.text);
        if (!m) return;
        if (m[1] === 'OK') ok();
        else fail(new Error(`${command.slice(0, 60)}: ${m[0]}`));
      };
      this.socket.write(`${tag} ${command}\r\n`, 'latin1');
    });
  }

  look() {}
}
