// An application's own test, with no word about the server that catches its mail.
const assert = require('node:assert')
const test = require('node:test')
const nodemailer = require('nodemailer')

test('whoever signs up gets a code', async () => {
  const account = await nodemailer.createTestAccount()
  const transport = nodemailer.createTransport({ ...account.smtp, auth: { user: account.user, pass: account.pass } })
  const info = await transport.sendMail({
    from: 'app@example.com', to: 'ada@example.com', subject: 'Welcome', text: 'Your code is 482910.'
  })
  const page = await fetch(nodemailer.getTestMessageUrl(info))
  assert.match(await page.text(), /482910/)
  const got = await fetch(account.api + '/messages/wait?subject=Welcome&timeout=10s',
    { headers: { authorization: 'Bearer ' + account.token } })
  const { message } = await got.json()
  assert.strictEqual(message.codes[0], process.env.WRONG_CODE ?? '482910')
})
