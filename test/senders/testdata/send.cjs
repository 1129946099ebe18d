// One mail by Nodemailer, with the transport's options as JSON.
const nodemailer = require('nodemailer')
const transport = nodemailer.createTransport({ connectionTimeout: 20000, greetingTimeout: 20000, ...JSON.parse(process.argv[2]) })
transport.sendMail({ from: 'app@example.com', to: 'ada@example.com', subject: 'Hello', text: 'x' })
  .catch(e => { console.error(e.message); process.exitCode = 1 })
