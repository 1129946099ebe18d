// The npm client of Mailpit, unchanged: it is told another host only.
import assert from 'node:assert/strict';
import { MailpitClient } from 'mailpit-api';
import nodemailer from 'nodemailer';

const [smtpHost, smtpPort] = process.env.EIDER_TEST_SMTP.split(':');
const [username, password] = (process.env.EIDER_TEST_AUTH || '').split(/:(.*)/);
const pit = new MailpitClient(`http://${process.env.EIDER_TEST_HTTP}`,
  username ? { auth: { username, password } } : {});
const transport = nodemailer.createTransport({ host: smtpHost, port: Number(smtpPort), secure: false,
  ...(username ? { auth: { user: username, pass: password } } : {}) });
for (let i = 0; i < 3; i++) {
  await transport.sendMail({ from: `Sender ${i} <s${i}@example.test>`, to: `Ünser Ziel <t${i}@example.test>`,
    bcc: 'hidden@example.test', subject: `Grüße ${i}`, text: `Inhalt ä ${i}`, html: `<p>Inhalt <b>ä</b> ${i}</p>`,
    attachments: i === 1 ? [{ filename: 'notes.txt', content: 'some notes' }] : [] });
}
transport.close();
const list = await pit.listMessages(0, 2);
assert.equal(list.total, 3);
assert.equal(list.messages_count, 3);
assert.equal(list.unread, 3);
assert.equal(list.messages.length, 2);
assert.deepEqual([list.messages[0].Subject, list.messages[0].From.Address, list.messages[0].To[0].Name],
  ['Grüße 2', 's2@example.test', 'Ünser Ziel']);
assert.equal(list.messages[0].Bcc[0].Address, 'hidden@example.test');
const latest = await pit.getMessageSummary();
assert.equal(latest.Text.trim(), 'Inhalt ä 2');
assert.equal(latest.HTML.trim(), '<p>Inhalt <b>ä</b> 2</p>');
assert.equal((await pit.listMessages()).unread, 2);
await pit.setReadStatus({ IDs: [latest.ID], Read: false });
assert.equal((await pit.listMessages()).unread, 3);
const hit = await pit.searchMessages({ query: 'from:s1@example.test has:attachment subject:"Grüße 1"' });
assert.equal(hit.messages_count, 1);
assert.equal((await pit.searchMessages({ query: 'Inhalt -from:s1@example.test' })).messages_count, 2);
assert.equal((await pit.searchMessages({ query: 'is:unread' })).messages_count, 3);
const one = await pit.getMessageSummary(hit.messages[0].ID);
assert.equal(one.Attachments[0].FileName, 'notes.txt');
const file = await pit.getMessageAttachment(one.ID, one.Attachments[0].PartID);
assert.equal(await file.text(), 'some notes');
assert.match((await pit.getMessageHeaders(one.ID)).From[0], /s1@example\.test/);
assert.match(await pit.getMessageSource(one.ID), /^Return-Path: <s1@example\.test>\r\n/);
assert.equal(typeof (await pit.getInfo()).Messages, 'number');
await pit.getConfiguration();
assert.equal((await pit.renderMessageText(latest.ID)).trim(), 'Inhalt ä 2');
assert.match(await pit.renderMessageHTML(latest.ID), /<b>ä<\/b>/);
assert.equal((await pit.waitForMessage({ query: 'subject:"Grüße 0"' }, { timeout: 5000 })).Subject, 'Grüße 0');
assert.deepEqual(await pit.getTags(), []);
const sent = await pit.sendMessage({ From: { Email: 'api@example.test', Name: 'Äpi' }, To: [{ Email: 'x@example.test' }],
  Subject: 'By ÄPI\r\nX-Evil: yes', Text: 'text', HTML: '<p>html</p>', Headers: { 'X-Own': 'val\r\nX-Evil: yes' },
  Attachments: [{ Filename: 'a.txt', Content: Buffer.from('file').toString('base64'), ContentType: 'text/plain' }] });
const made = await pit.getMessageSummary(sent.ID);
assert.equal(made.Text.trim(), 'text');
assert.equal(made.From.Name, 'Äpi');
assert.equal(made.Attachments[0].FileName, 'a.txt');
assert.equal((await pit.getMessageHeaders(sent.ID))['X-Evil'], undefined);
await assert.rejects(pit.releaseMessage(sent.ID, { To: ['a@b.test'] }), /501/);
await assert.rejects(pit.getMessageSummary('999999'), /404/);
await assert.rejects(pit.sendMessage({ From: { Email: 'api@example.test' }, Subject: 'nobody' }), /400.*recipients/);
await pit.deleteMessagesBySearch({ query: 'from:s0@example.test' });
assert.equal((await pit.listMessages()).total, 3);
await pit.deleteMessages({ IDs: [sent.ID] });
assert.equal((await pit.listMessages()).total, 2);
await pit.deleteMessages({});
assert.equal((await pit.listMessages()).total, 0);
console.log('mailpit: ok');
