// The npm client of MailHog, unchanged: it is told another host only.
import assert from 'node:assert/strict';
import mailhog from 'mailhog';
import nodemailer from 'nodemailer';

const [host, port] = process.env.EIDER_TEST_HTTP.split(':');
const [smtpHost, smtpPort] = process.env.EIDER_TEST_SMTP.split(':');
const options = { host, port };
if (process.env.EIDER_TEST_AUTH) options.auth = process.env.EIDER_TEST_AUTH;
const hog = mailhog(options);
const [user, pass] = (process.env.EIDER_TEST_AUTH || '').split(/:(.*)/);
const transport = nodemailer.createTransport({
  host: smtpHost, port: Number(smtpPort), secure: false, ...(user ? { auth: { user, pass } } : {}) });
for (let i = 0; i < 3; i++) {
  await transport.sendMail({ from: `Sender ${i} <s${i}@example.test>`, to: `Ünser Ziel <t${i}@example.test>`,
    subject: `Grüße-${i}`, text: `Inhalt ä ${i}`, html: `<p>Inhalt <b>ä</b> ${i}</p>` });
}
transport.close();
const all = await hog.messages(0, 10);
assert.equal(all.total, 3);
assert.equal(all.count, 3);
assert.equal(all.items[0].subject, 'Grüße-2');
assert.equal(all.items[0].text.trim(), 'Inhalt ä 2');
assert.equal(all.items[0].html.trim(), '<p>Inhalt <b>ä</b> 2</p>');
assert.match(all.items[0].to, /t2@example\.test/);
assert.equal(all.items[0].Raw.From, 's2@example.test');
assert.ok(all.items[0].date instanceof Date && all.items[0].deliveryDate instanceof Date);
assert.equal((await hog.messages(1, 1)).items[0].subject, 'Grüße-1');
assert.equal((await hog.latestFrom('s1@example.test')).subject, 'Grüße-1');
assert.equal((await hog.latestTo('t0@example.test')).subject, 'Grüße-0');
assert.equal((await hog.latestContaining('Inhalt ä 1')).subject, 'Grüße-1');
assert.equal(await hog.latestTo('nobody@example.test'), 0);
assert.match((await hog.releaseMessage(all.items[0].ID, {})).Error, /does not offer/);
await hog.deleteMessage(all.items[0].ID);
assert.equal((await hog.messages()).total, 2);
await hog.deleteAll();
assert.equal((await hog.messages()).total, 0);
console.log('mailhog: ok');
