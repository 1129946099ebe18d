// Nodemailer, unchanged: account, mail, preview URL.
import nodemailer from 'nodemailer';

const account = await nodemailer.createTestAccount();
const again = await nodemailer.createTestAccount();
if (again !== account && again.user !== account.user) throw new Error('the account is not cached');
const transport = nodemailer.createTransport({
  host: account.smtp.host,
  port: account.smtp.port,
  secure: account.smtp.secure,
  auth: { user: account.user, pass: account.pass },
});
await transport.verify();
const info = await transport.sendMail({
  from: 'Ada <ada@example.test>',
  to: 'bob@example.test, "Müller, C." <c@example.test>',
  subject: 'Hello from Nodemailer ✔',
  text: 'Hello in text',
  html: '<p>Hello in <b>HTML</b></p>',
  attachments: [{ filename: 'notes.txt', content: 'some notes' }],
});
const url = nodemailer.getTestMessageUrl(info);
if (!url) throw new Error('no preview URL in ' + info.response);
console.log(JSON.stringify({ url, response: info.response, user: account.user, web: account.web }));
transport.close();
